"""Drawing some terms of a sum so that it can be estimated from them.

With p_b the probability that term x_b is drawn, the sum of x_b / p_b over the drawn ones has the expectation sum_b x_b,
whatever the probabilities are where x_b is not 0, and varies the less the nearer they are to proportional to |x_b|.

Sources: Horvitz and Thompson, "A Generalization of Sampling Without Replacement From a Finite Universe", JASA 47
(1952); the systematic draw: Madow, "On the Theory of Systematic Sampling, II", Ann. Math. Statist. 20 (1949).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def chances(sizes: Array, number: int) -> Array:
    """Return probabilities (B,) of being drawn that are proportional to `sizes`, but at most 1, and add up to `number`.

    Where fewer sizes than that are above 0, these have probability 1; if none is, all probabilities are equal.

    Args:
        sizes: About how large the terms are (B,), at least 0.
        number: How many terms are drawn, at least 1.

    Example:
        >>> chances(np.array([6.0, 1.0, 1.0, 0.0]), 2)
        array([1. , 0.5, 0.5, 0. ])
    """
    if not sizes.any():
        return np.full(len(sizes), min(number / len(sizes), 1.0))
    probabilities = np.zeros(len(sizes))
    open_B = sizes > 0
    while open_B.any():
        left = number - np.count_nonzero((sizes > 0) & ~open_B)
        probabilities[open_B] = left * sizes[open_B] / sizes[open_B].sum()
        certain_B = open_B & (probabilities >= 1)
        if not certain_B.any():
            break
        probabilities[certain_B] = 1.0
        open_B &= ~certain_B
    return probabilities


def draw(probabilities: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return different terms, in ascending order, each drawn with its probability (B,).

    There are as many as the probabilities add up to, rounded up or down.
    """
    order = rng.permutation(len(probabilities))
    cumulated = np.cumsum(probabilities[order])
    total = np.rint(cumulated[-1])
    if abs(cumulated[-1] - total) < 1e-9 * total:
        cumulated *= total / cumulated[-1]
    marks = np.floor(cumulated + rng.random())
    return np.sort(order[np.diff(marks, prepend=0.0) > 0])
