"""Weights by a hand-written schedule over the training steps.

Shapes: P prompts, G responses per prompt, K objectives, N points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, finite_array, require, resolve_preference
from paretune.weighting.observed import check_rewards


@dataclass(eq=False)
class ScheduleWeighting(Weighting):
    """Weights that move in straight lines from point to point, over the training steps.

    A point is [step, weight of the first objective, weight of the second, ...], its weights normalised to sum 1. The
    first training step is step 1. The schedule begins at the preference at step 0, unless it has a point for step 0
    itself, and stays at its last point. Two points with the same weights hold them; two that are one step apart make a
    jump.

    Example:
        >>> weighting = ScheduleWeighting([1, 0], points=[[2, 0, 1]])
        >>> for _ in range(3):
        ...     weighting.on_rewards(np.zeros((1, 1, 2)))
        ...     print(weighting.weights)
        [0.5 0.5]
        [0. 1.]
        [0. 1.]
    """

    preference: Preference
    """Weights at step 0, normalised to sum 1; a single number K means K equal ones."""

    _: KW_ONLY

    points: Sequence[Sequence[float]] | None = None
    """Where the schedule leads: [step, weights...] for each point, steps ascending from 0. At least one is needed."""

    name = "schedule"
    when = "You know in which order the objectives should be learnt."

    def __post_init__(self) -> None:
        """Check the points and start at the first."""
        self.preference = resolve_preference(self.preference)
        k = len(self.preference)
        require("points", self.points, bool(self.points), "a list of at least one point [step, weights...]")
        rows = [finite_array(f"points[{n}]", row, (1 + k,)).tolist() for n, row in enumerate(self.points or ())]
        steps = [row[0] for row in rows]
        ascending = steps[0] >= 0 and all(first < second for first, second in pairwise(steps))
        require("points", self.points, ascending, "points with ascending steps of at least 0")
        weights = [self._weights_of(n, row[1:]) for n, row in enumerate(rows)]
        self.points = tuple((step, *shares) for step, shares in zip(steps, weights, strict=True))
        if steps[0] > 0:
            steps, weights = [0.0, *steps], [self.preference, *weights]
        self._steps_N, self._weights_NK = np.array(steps), np.array(weights)
        self._steps = 0

    @property
    def weights(self) -> Weights:
        """The weights (K,) of the current step, of sum 1."""
        return np.array([np.interp(self._steps, self._steps_N, weights_N) for weights_N in self._weights_NK.T])

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Count a step with rewards (P, G, K)."""
        check_rewards(rewards, self._weights_NK.shape[1])
        self._steps += 1

    def state_dict(self) -> dict[str, Any]:
        """The number of steps."""
        return {"steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._steps = int(state["steps"])

    @staticmethod
    def _weights_of(n: int, weights: Sequence[float]) -> tuple[float, ...]:
        """Return the weights of a point normalised to sum 1; an error names the point."""
        sound = min(weights) >= 0 and max(weights) > 0
        require(f"points[{n}]", weights, sound, "a step and non-negative weights with a positive sum")
        return resolve_preference(weights)
