"""Objectives: what a response is worth, each a number in [0, 1], larger is better.

Shapes: B responses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.envs.prompts import Prompt

Scores = NDArray[np.float32]


class Objective(ABC):
    """A named callable that scores responses; the hooks below are no-ops unless an objective needs them."""

    name: str

    @abstractmethod
    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Score responses.

        Args:
            prompts: B prompts.
            responses: B responses, one per prompt; plain strings, or `Response` with a token count.

        Returns:
            Scores in [0, 1], shape (B,), float32.
        """

    def counts(self) -> dict[str, int]:
        """Return running counts worth logging (such as answers that could not be decided), by name."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return what has been learned from training responses, JSON-able."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""

    def close(self) -> None:
        """Release processes and files; they come back when needed."""
