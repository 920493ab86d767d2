"""What strategies see, made safe for arithmetic: batches of rewards, and the performance of the current policy.

Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.weighting.base import Weights
from paretune.weighting.inputs import finite_array, require, require_known

Source = Literal["rewards", "validation"]

LARGEST = 1e150
"""Observations beyond this size count as this size, so that their squares are finite."""


def check_rewards(rewards: ArrayLike, n_objectives: int) -> NDArray[np.float64]:
    """Return the rewards (P, G, K) of a step as an array.

    Raises:
        ValueError: If they have another shape, are not finite, or there are none.
    """
    rewards_PGK = finite_array("rewards", rewards, (None, None, n_objectives))
    require("rewards", rewards_PGK.shape, rewards_PGK.size > 0, "at least one response's")
    return np.clip(rewards_PGK, -LARGEST, LARGEST)


def mean_rewards(rewards: ArrayLike, n_objectives: int) -> Weights:
    """Return the mean (K,) of the rewards (P, G, K) of a step.

    Example:
        >>> mean_rewards([[[0.0, 1.0], [1.0, 1.0]]], 2)
        array([0.5, 1. ])
    """
    return check_rewards(rewards, n_objectives).mean(axis=(0, 1))


def check_performance(performance: ArrayLike, n_objectives: int) -> Weights:
    """Return a validation performance as an array (K,).

    Raises:
        ValueError: If it has another shape or is not finite.
    """
    return np.clip(finite_array("performance", performance, (n_objectives,)), -LARGEST, LARGEST)


def margin_of(standard_error: ArrayLike | None, errors: float, n_objectives: int) -> Weights | None:
    """Return as many standard errors as `errors` says (K,); None if none are known or wanted.

    Raises:
        ValueError: If they have another shape, or one is negative or not finite.
    """
    if standard_error is None or errors == 0:
        return None
    error_K = finite_array("standard_error", standard_error, (n_objectives,))
    require("standard_error", error_K.tolist(), bool((error_K >= 0).all()), "non-negative")
    return errors * error_K


def normalised(weights: Weights, otherwise: Weights) -> Weights:
    """Return the weights (K,) divided by their sum, or `otherwise` if all of them are zero.

    Args:
        weights: Non-negative and finite.
        otherwise: A point of the simplex.

    Example:
        >>> normalised(np.array([3.0, 1.0]), np.array([0.5, 0.5])), normalised(np.zeros(2), np.array([0.5, 0.5]))
        (array([0.75, 0.25]), array([0.5, 0.5]))
    """
    largest = weights.max()
    if largest == 0:
        return otherwise.copy()
    shares_K = weights / largest  # the sum of the weights themselves may overflow
    return shares_K / shares_K.sum()


class RunningPerformance:
    """The performance (K,) of the current policy, from the rewards of training or from validation.

    From rewards it is the moving average f <- decay * f + (1 - decay) * (mean of the step), which starts at the first
    step's mean; from validation it is the last one.

    Attributes:
        value: The performance, or None before the first observation.
    """

    def __init__(self, n_objectives: int, source: Source, decay: float) -> None:
        """Start without an observation.

        Raises:
            ValueError: If `source` or `decay` is out of range.
        """
        require_known("source", source, get_args(Source))
        require("decay", decay, 0 <= decay < 1, "in [0, 1)")
        self._n_objectives, self._source, self._decay = n_objectives, source, decay
        self.value: Weights | None = None

    def on_rewards(self, rewards: ArrayLike) -> bool:
        """See the rewards (P, G, K) of a step; return whether they are what the performance comes from."""
        mean_K = mean_rewards(rewards, self._n_objectives)
        if self._source != "rewards":
            return False
        self.value = mean_K if self.value is None else self._decay * self.value + (1 - self._decay) * mean_K
        return True

    def on_validation(self, performance: ArrayLike) -> bool:
        """See a validation performance (K,); return whether it is what the performance comes from."""
        performance_K = check_performance(performance, self._n_objectives)
        if self._source != "validation":
            return False
        self.value = performance_K
        return True

    def state(self) -> list[float] | None:
        """The value, JSON-able."""
        return None if self.value is None else self.value.tolist()

    def load_state(self, state: Any) -> None:
        """Restore what `state` returned."""
        self.value = None if state is None else np.array(state, dtype=np.float64)
