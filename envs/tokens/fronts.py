"""Exact sets of best returns: non-dominated points, the convex coverage set, and dynamic programming over them.

Shapes: N points, K objectives, L positions, V tokens. Every objective is maximised.
"""

from __future__ import annotations

from collections.abc import Callable

import moocore
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Rewards = Callable[[int, int], Points]
Prune = Callable[[Points], Points]

DECIMALS = 12
"""Points that agree to so many decimals are one point."""

MAX_COMPARED = 200_000_000
"""Most returns that are compared for one front: about a minute."""


def pareto_set(points: Points) -> Points:
    """Return the points (N, K) that no other dominates, each once, in ascending order.

    Example:
        >>> pareto_set(np.array([[1.0, 0.0], [0.4, 0.4], [0.0, 1.0], [0.3, 0.4]])).tolist()
        [[0.0, 1.0], [0.4, 0.4], [1.0, 0.0]]
    """
    points = np.round(points, DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
    best = points[moocore.is_nondominated(points, maximise=True)]
    return best[np.lexsort(best.T[::-1])]


def convex_set(points: Points) -> Points:
    """Return the convex coverage set of points (N, K): those that are best for some weights w >= 0, sum w = 1.

    Of points on a common face only the corners are kept, as mixtures of them reach the others. With two objectives
    this is the upper right part of the convex hull. With more, weights are looked for by linear programs, one for
    each point that is tried (White 1991, called CPrune in Roijers et al. 2013, JAIR 48, section 4.2.2).

    Example:
        >>> convex_set(np.array([[1.0, 0.0], [0.4, 0.4], [0.0, 1.0]])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    points = pareto_set(points)
    if len(points) == 1:
        return points
    return _upper_hull(points) if points.shape[1] == 2 else _prune_by_weights(points)


def best_returns(rewards: Rewards, vocabulary: int, length: int, gamma: float, prune: Prune) -> Points:
    """Return the best discounted returns (N, K) of a text, by going backwards over its positions.

        F(L, v) = {0}
        F(t, u) = prune of the union over v of  rewards(t, u)_v + gamma * F(t + 1, v)

    Args:
        rewards: From position t and last token u to the rewards (V, K) of each new token.
        vocabulary: V.
        length: L.
        gamma: Discount.
        prune: Drops the points of a set that are not wanted, `pareto_set` or `convex_set`.

    Returns:
        F(0, 0).

    Raises:
        ValueError: If more than `MAX_COMPARED` returns would have to be compared.
    """
    k = rewards(0, 0).shape[1]
    following = [np.zeros((1, k))] * vocabulary
    compared = 0
    for position in reversed(range(length)):
        stacked = gamma * np.concatenate(following)
        sizes = [len(points) for points in following]
        lasts = range(vocabulary) if position else range(1)
        compared += sum(sizes) * len(lasts)
        if compared > MAX_COMPARED:
            raise ValueError(
                f"gamma: must leave at most {MAX_COMPARED} returns to be compared for a front, got {compared} from "
                f"position {position} on with gamma={gamma}; make the text shorter, the vocabulary smaller or gamma 1"
            )
        following = [prune(stacked + np.repeat(rewards(position, last), sizes, axis=0)) for last in lasts]
    return following[0]


def _upper_hull(points: Points) -> Points:
    """Return the corners of the upper right hull of a Pareto set (N, 2) in ascending order (Andrew 1979)."""
    hull: list[NDArray[np.float64]] = []
    for point in points:
        while len(hull) >= 2 and _turn(hull[-2], hull[-1], point) >= -(10.0**-DECIMALS):
            hull.pop()
        hull.append(point)
    return np.array(hull)


def _turn(a: Points, b: Points, c: Points) -> float:
    """Twice the signed area of the triangle a, b, c; positive if it turns left."""
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _prune_by_weights(points: Points) -> Points:
    kept = [_best_at(points, np.eye(points.shape[1])[k]) for k in range(points.shape[1])]
    candidates = [i for i in range(len(points)) if i not in kept]
    while candidates:
        weights = _weights_where_better(points[candidates[-1]], points[kept])
        if weights is None:
            candidates.pop()
        else:
            best = _best_at(points, weights, among=candidates)
            kept.append(best)
            candidates.remove(best)
    return points[sorted(set(kept))]


def _best_at(points: Points, weights: Points, among: list[int] | None = None) -> int:
    """Index of a point that is best for `weights`; of equal ones the lexicographically largest, which is a corner."""
    indices = np.arange(len(points)) if among is None else np.array(among)
    values = points[indices] @ weights
    best = indices[values >= values.max() - 10.0**-DECIMALS]
    return int(max(best, key=lambda i: tuple(points[i])))


def _weights_where_better(point: Points, others: Points) -> Points | None:
    """Return weights (K,) for which `point` (K,) is better than all `others` (N, K), or None.

    max x  such that  w . (point - q) >= x for all q,  w >= 0,  sum w = 1.
    """
    from scipy.optimize import linprog  # takes most of the package's import time, and few fronts need it

    n, k = others.shape
    result = linprog(
        c=np.append(np.zeros(k), -1.0),
        A_ub=np.column_stack([others - point, np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(k), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0, None)] * k + [(None, None)],
    )
    return result.x[:k] if result.status == 0 and -result.fun > 1e-9 else None
