"""The exact permutation distribution of a probability of improvement.

If two arms are equal in truth, any n of their n + m runs might as well have been the one arm's. Counting how often each
probability of improvement comes out over all C(n + m, n) ways to deal the runs is the two-sample rank test of Wilcoxon
(1945) and of Mann and Whitney (1947), with ties as they are: exact for any numbers of runs, without a normal
approximation. Over several tasks the runs are dealt within their task only, and the distributions are convolved.

Counting goes by the ranks of the n runs: with doubled midranks r, which are whole numbers also for ties,

    wins - n m / 2  ~  sum of r over the n runs,  wins = number of pairs that the arm wins + ties / 2

and the number of subsets of size n with each sum follows from one run after the other.

Shapes: n runs of an arm, m of the other one, N = n + m, W = 2 n m + 1 numbers of doubled wins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.signal import convolve

Array = NDArray[np.float64]

LEVEL = 0.05
"""A p-value up to this is called significant."""

TRACE = 1e-13
"""What is no larger, of a convolution, is rounding: the product of probabilities that sum to 1 in float64."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """What the runs of two arms come to beside all ways to deal them out again.

    Attributes:
        p: Two-sided p-value: the share of the ways that lead as far away from one half, or farther.
        half_width: How far from one half, at most, equal arms come but for 5 % of the ways; infinite if no way that
            there is would be significant.
        least_p: The smallest p-value that these numbers of runs, with these ties, can have.
    """

    p: float
    half_width: float
    least_p: float


def deal(arm: Sequence[ArrayLike], other: Sequence[ArrayLike]) -> Dealt:
    """Return where the mean probability of improvement lies among those of all ways to deal the runs out again.

    Args:
        arm: The arm's values (n,) in each task; larger is better.
        other: The other arm's values (m,) in the same tasks.

    Example:
        >>> round(deal([[6, 7, 8, 9, 10]], [[1, 2, 3, 4, 5]]).p * math.comb(10, 5), 9)
        2.0
    """
    tasks = [
        (np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)) for x, y in zip(arm, other, strict=True)
    ]
    whole = math.lcm(*(2 * len(x) * len(y) for x, y in tasks))
    wins, chances = 0, np.ones(1)
    for x, y in tasks:
        step = whole // (2 * len(x) * len(y))
        wins += step * doubled_wins(x, y)
        chances = _convolved(chances, _spread(wins_of_all_deals(x, y), step))
    # Distances from one half in units of 1 / (2 T whole), which are whole numbers.
    distance = np.abs(2 * np.arange(len(chances)) - whole * len(tasks))
    found, place = np.unique(distance[chances > 0], return_inverse=True)
    share = np.bincount(place, weights=chances[chances > 0])
    beyond = np.minimum(np.cumsum(share[::-1])[::-1] / share.sum(), 1.0)
    at = min(int(np.searchsorted(found, abs(2 * wins - whole * len(tasks)))), len(found) - 1)
    significant = beyond <= LEVEL
    if not significant.any():
        return Dealt(float(beyond[at]), math.inf, float(beyond[-1]))
    first = int(significant.argmax())
    half_width = (found[first - 1] + found[first]) / 2 / (2 * len(tasks) * whole)
    return Dealt(float(beyond[at]), float(half_width), float(beyond[-1]))


@lru_cache(maxsize=512)
def attained_level(n: int, m: int) -> float:
    """Return the largest p-value up to `LEVEL` that n and m runs without ties can have; 0 if there is none.

    Example:
        >>> round(attained_level(5, 5), 4), attained_level(3, 3)
        (0.0317, 0.0)
    """
    chances = _dealt(tuple(range(2, 2 * (n + m) + 1, 2)), n)
    tails = 2 * np.cumsum(chances[: n * m])
    return float(tails[tails <= LEVEL].max(initial=0.0))


def doubled_wins(x: Array, y: Array) -> int:
    """Return twice the number of pairs of x (n,) and y (m,) in which x is larger, plus those that are equal."""
    return int((2 * (x[:, None] > y) + (x[:, None] == y)).sum())


def wins_of_all_deals(x: Array, y: Array) -> Array:
    """Return the probabilities (W,) of all numbers of doubled wins, if the runs (n,) and (m,) are dealt at random."""
    _, place, count = np.unique(np.concatenate([x, y]), return_inverse=True, return_counts=True)
    doubled_N = (2 * np.cumsum(count) - count + 1)[place]
    return _dealt(tuple(sorted(doubled_N.tolist())), len(x))


@lru_cache(maxsize=512)
def _dealt(doubled_ranks: tuple[int, ...], n: int) -> Array:
    """The probabilities (W,) of doubled wins; wins of n runs are the sum of their ranks, less the smallest sum."""
    m = len(doubled_ranks) - n
    most = sum(doubled_ranks[m:])
    ways = np.zeros((n + 1, most + 1))
    ways[0, 0] = 1.0
    for rank in doubled_ranks:
        ways[1:, rank:] += ways[:-1, : most + 1 - rank].copy()
    wins = np.zeros(2 * n * m + 1)
    sums = ways[n, n * (n + 1) :]
    wins[: len(sums)] = sums
    return wins / wins.sum()


def _spread(chances: Array, step: int) -> Array:
    """The same probabilities on a grid that is finer by a whole number."""
    finer = np.zeros(step * (len(chances) - 1) + 1)
    finer[::step] = chances
    return finer


def _convolved(one: Array, other: Array) -> Array:
    both = convolve(one, other)
    return np.where(both > TRACE * both.max(), both, 0.0)
