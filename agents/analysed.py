"""What the comparison of gradients leaves over for an update.

Shapes: B sequences of decisions (responses or episodes), T decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from paretune.agents.policy import Decisions
from paretune.agents.shared_prompts import GroupedTokens
from paretune.weighting.kept_pass import KeptPass

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Analysed:
    """Sequences whose gradients were compared, with what their part of an update's gradient can be made from.

    Attributes:
        rows: Their numbers, among those of all processes.
        passes: This process's forward passes: places in its decisions, the decisions there, log-probabilities (B, T).
        kept: The passes' factors. Score b is `factor` times sequence b's log-probabilities, weighed as in a loss over
            `rows`; or there is a score for each decision.
        factor: What the scores were multiplied by.
    """

    rows: Rows
    passes: list[tuple[Rows, Decisions, Tensor]]
    kept: KeptPass
    factor: float


def coefficients(part: Decisions, advantages: Tensor) -> Tensor | None:
    """Return the coefficients of a part's scores in an update with advantages (B, 1) or (B, T), or None if unknown."""
    of_scores = advantages[:, 0] if advantages.shape[1] == 1 else advantages[part.mask]
    shared = part.shared if isinstance(part, GroupedTokens) else None
    return of_scores if shared is None else shared.coefficients(of_scores)
