"""The Gram matrix of the objectives' gradients from several forward passes of a trainer's own.

How a trainer compares gradients on a step's responses: `compared_responses` draws some of them, their advantages get
the factors with which they stand for all, the trainer says how each part is scored, and part by part joins the matrix.

Shapes: M responses (or decisions) of a part, K objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from paretune.weighting.gradients.analyzer import GradientAnalyzer
from paretune.weighting.gradients.shared_rows import SharedRows
from paretune.weighting.gradients.split import Split


@dataclass(frozen=True, eq=False, slots=True)
class Part:
    """What goes into one forward pass.

    Attributes:
        score: Makes the pass, and returns the scores (M,) of `GradientAnalyzer.gram`.
        advantages: Those of the objectives (M, K), for these scores.
        responses: The score that each position belongs to, see `GradientAnalyzer.watch`.
        shared: The rows that several scores share, see there.
        split: The parts of a batch that these scores are in.
    """

    score: Callable[[], Tensor]
    advantages: NDArray[np.float64]
    responses: Tensor | None = None
    shared: SharedRows | None = None
    split: Split | None = None


def gram_of_parts(analyzer: GradientAnalyzer, parts: Sequence[Part], *, keep: bool = False) -> NDArray[np.float64]:
    """Return the Gram matrix (K, K) of M_jk = <g_j, g_k>, g_k the mean over all scores of advantages_k * grad score.

    With a split it is (S * K, S * K), as `GradientAnalyzer.gram` has it.

    Args:
        analyzer: Of the model that the parts are scored by.
        parts: One at least; a process that has no response of its own takes part with one that counts for nothing.
        keep: Whether the analyzer is to keep the passes, in its `kept`.

    Example:
        >>> import torch
        >>> policy = torch.nn.Linear(3, 1, bias=False)
        >>> analyzer = GradientAnalyzer(policy)
        >>> one, other = (Part(lambda x=x: policy(x)[:, 0], np.eye(2)) for x in (torch.eye(3)[:2], torch.eye(3)[1:]))
        >>> 16 * gram_of_parts(analyzer, [one, other])
        array([[2., 1.],
               [1., 2.]])
    """
    for part in parts[:-1]:
        analyzer.add(_scores(analyzer, part, keep), part.advantages, part.split)
    return analyzer.gram(_scores(analyzer, parts[-1], keep), parts[-1].advantages, parts[-1].split)


def _scores(analyzer: GradientAnalyzer, part: Part, keep: bool) -> Tensor:
    with analyzer.watch(part.responses, keep=keep, shared=part.shared):
        return part.score()
