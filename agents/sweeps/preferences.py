"""Preferences to train for: evenly spread ones, and new ones where the front is thin.

Shapes: N preferences, K objectives.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.util.ref_dirs import get_reference_directions

Array = NDArray[np.float64]


def even_preferences(objectives: int, number: int) -> Array:
    """Return evenly spread preferences (N, K): non-negative, of sum 1.

    Two objectives: equal steps from one end to the other. More: points of the simplex that keep apart (Riesz energy,
    Blank et al. 2021, IEEE Trans. Evol. Comput. 25(1), as pymoo computes it). A single one is the balanced one.

    Args:
        objectives: K, at least 1.
        number: N, at least 1.

    Raises:
        ValueError: If a number is too small.

    Example:
        >>> even_preferences(2, 3).tolist()
        [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """
    if objectives < 1 or number < 1:
        raise ValueError(f"preferences: must be at least 1, for at least 1 objective, got {number} for {objectives}")
    if number == 1 or objectives == 1:
        return np.full((number, objectives), 1 / objectives)
    if objectives == 2:
        first = np.linspace(0.0, 1.0, number)
        return np.stack([first, 1 - first], axis=1)
    if number < objectives:
        return np.eye(objectives)[:number]
    spread = get_reference_directions("energy", objectives, number, seed=1)
    return spread[np.lexsort(spread.T[::-1])]


def next_preference(preferences: ArrayLike, performances: ArrayLike) -> Array | None:
    """Return the preference (K,) halfway across the widest gap of a front, or None if there is no gap.

    Two preferences are neighbours if no third one lies within the sphere that has them as poles (Gabriel and Sokal
    1969). The gap between neighbours is the distance of their performances, each objective in units of its range.

    Args:
        preferences: What was trained for (N, K).
        performances: What came of it (N, K).

    Example:
        >>> next_preference([[0, 1], [0.5, 0.5], [1, 0]], [[0, 1], [0.9, 0.9], [1, 0.8]]).tolist()
        [0.25, 0.75]
    """
    w_NK, f_NK = np.asarray(preferences, dtype=np.float64), np.asarray(performances, dtype=np.float64)
    extent_K = np.ptp(f_NK, axis=0)
    scaled_NK = f_NK / np.where(extent_K > 0, extent_K, 1.0)
    widest, halfway = 1e-9, None
    for i in range(len(w_NK)):
        for j in range(i):
            middle_K = (w_NK[i] + w_NK[j]) / 2
            nearest = np.linalg.norm(np.delete(w_NK, [i, j], axis=0) - middle_K, axis=1).min(initial=np.inf)
            gap = float(np.linalg.norm(scaled_NK[i] - scaled_NK[j]))
            if gap > widest and nearest >= np.linalg.norm(w_NK[i] - middle_K) - 1e-12:
                widest, halfway = gap, middle_K
    return halfway
