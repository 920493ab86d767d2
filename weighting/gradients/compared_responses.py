"""Which sequences' gradients are compared, where comparing those of all would cost too much.

A decision's score has a gradient with respect to the logits of at least 1 - p and at most sqrt(2) (1 - p) if p is its
probability. So a sequence's part in the gradients is about sum_t |a_t| (1 - p_t), which its chance of being drawn is
proportional to, but for a little more that allows for what this leaves out.

Shapes: B sequences of decisions (responses or episodes), T decisions, K objectives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paretune.weighting.gradients.proportional_draw import chances, draw
from paretune.weighting.gradients.split import Split

Array = NDArray[np.float64]

FEW = 8
"""Sequences that are compared by default at least, of a quarter."""

LEAST_DOUBT = 0.1
"""What is added to the doubt 1 - p of a decision before sequences are drawn, as a share of the mean doubt."""


def default_number(sequences: int) -> int:
    """Return how many of a step's sequences are compared by default, where not all are.

    The errors of products of gradients fall as fast as the number of sequences rises (and their squares four times as
    fast as the cost of a comparison at fewer steps), so that few are no bargain.

    Example:
        >>> [default_number(sequences) for sequences in (2, 16, 32, 128, 512)]
        [2, 8, 8, 32, 128]
    """
    return min(max(FEW, sequences // 4), sequences)


def traits(advantages: Array, log_probs: NDArray[np.floating] | None, mask: NDArray[np.bool_]) -> Array:
    """Return what tells how much each sequence is likely to add to the gradients (B, 4).

    Args:
        advantages: Those of the objectives, (B, T, K) for each decision, or (B, 1, K) for a sequence.
        log_probs: Log-probabilities (B, T) of the decisions; None, where they are not known, takes all for unlikely.
        mask: Which decisions count (B, T).
    """
    sizes = np.linalg.norm(advantages, axis=2)
    doubts_BT = mask * (1.0 if log_probs is None else (1 - np.exp(log_probs.astype(np.float64))).clip(0))
    sums = [(sizes * doubts_BT).sum(1), (sizes * mask).sum(1), doubts_BT.sum(1), mask.sum(1)]
    return np.stack(sums, axis=1).astype(np.float64)


def drawn(
    traits_B4: Array, number: int, rng: np.random.Generator, split: Split | None = None
) -> tuple[NDArray[np.int64], Array]:
    """Draw the sequences that are compared.

    The sum of the gradients of those drawn, with their factors, has the sum of all as its expectation. Its product with
    itself has not: that is larger by the variance of the draw. In a split, each part's are drawn by themselves, so that
    products of different parts have the expectation of the whole parts' products.

    Args:
        traits_B4: What `traits` returns, of all sequences (B, 4).
        number: How many, at least one for each part.
        rng: The source of the draw.
        split: The parts of a split.

    Returns:
        Their numbers, and factors (B,) of the advantages with which they stand for all: the inverse chances.
    """
    doubtful_B, judged_B, doubts_B, lengths_B = traits_B4.T
    sizes_B = doubtful_B + LEAST_DOUBT * doubts_B.sum() / lengths_B.sum() * judged_B
    parts = 1 if split is None else split.number
    rows, factors_B = [], np.ones(len(sizes_B))
    for part in range(parts):
        own = np.arange(len(sizes_B)) if split is None else np.flatnonzero(split.of == part)
        chances_N = chances(sizes_B[own], number // parts + (part < number % parts))
        rows.append(own[draw(chances_N, rng)])
        factors_B[own] = 1 / np.where(chances_N > 0, chances_N, 1.0)
    return np.sort(np.concatenate(rows)), factors_B


def places(rows: NDArray[np.int64], share: slice) -> NDArray[np.int64]:
    """Return where those of the sequences `rows` that are in a process's share of all are in it.

    Example:
        >>> places(np.array([0, 4, 5, 9]), slice(4, 8)).tolist()
        [0, 1]
    """
    return rows[(rows >= share.start) & (rows < share.stop)] - share.start
