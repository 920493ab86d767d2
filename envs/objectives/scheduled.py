"""Objectives that enter or leave training over time.

Shapes: B responses.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.objectives.combining import Combination, ObjectiveFunction, as_objective
from paretune.envs.prompts import Prompt

Points = Sequence[Sequence[float]]


class TrainingClock(Objective):
    """A factor that depends on how many batches of training responses came before; 1 for all other responses.

    Example:
        >>> clock = TrainingClock([[0, 0.0], [2, 1.0]])
        >>> prompts = [Prompt.from_question("1 + 1?")]
        >>> [clock(prompts, ["2"]).item() for _ in range(4)]
        [0.0, 0.5, 1.0, 1.0]
    """

    def __init__(self, points: Points) -> None:
        """Set up before the first batch.

        Args:
            points: [batch, factor] for each point, batches ascending from 0, factors in [0, 1]; straight lines between
                them, and the last factor from the last point on.

        Raises:
            ValueError: If they are not like that.
        """
        try:
            given = np.array(points, dtype=np.float64)
        except (TypeError, ValueError):
            given = np.zeros(0)
        if given.ndim != 2 or given.shape[1] != 2 or not np.isfinite(given).all():
            raise ValueError(f"points: must be a list of [batch, factor], got {points!r}")
        batches, factors = given.T
        if batches[0] != 0 or (np.diff(batches) <= 0).any():
            raise ValueError(f"points: must have batches that ascend from 0, got {batches.tolist()}")
        if (factors < 0).any() or (factors > 1).any():
            raise ValueError(f"points: must have factors in [0, 1], got {factors.tolist()}")
        self.name = "clock"
        self.batches, self.factors = batches, factors
        self._batches_seen = 0

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Return the factors (B,), float32; a batch with training prompts counts."""
        train_B = np.array([prompt.split == "train" for prompt in prompts], dtype=bool)
        factor = np.interp(self._batches_seen, self.batches, self.factors)
        self._batches_seen += bool(train_B.any())
        return np.where(train_B, factor, 1.0).astype(np.float32)

    def state_dict(self) -> dict[str, Any]:
        """Return how many training batches were seen."""
        return {"batches": self._batches_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._batches_seen = state["batches"]


class Scheduled(Combination):
    """An objective times a factor that changes while training goes on.

    "Length counts from step 50 on" is `Scheduled(conciseness, [[0, 0], [49, 0], [50, 1]])`. Evaluations see the
    objective as it is. In an agent's training one batch is one step. For weights that depend on time there is the
    strategy `schedule`; this is for parts of a sum, or gates, that a weighting does not see.

    Example:
        >>> from paretune.envs.objectives.combining import FunctionObjective
        >>> brief = FunctionObjective("brief", lambda prompts, responses: [1.0] * len(responses))
        >>> late, prompts = Scheduled(brief, [[0, 0.0], [4, 1.0]]), [Prompt.from_question("1 + 1?")]
        >>> [late(prompts, ["2"]).item() for _ in range(3)]
        [0.0, 0.25, 0.5]
    """

    def __init__(self, objective: Objective | ObjectiveFunction, points: Points, name: str | None = None) -> None:
        """Put an objective on a schedule.

        Args:
            objective: What is scheduled.
            points: [batch, factor] for each point, as `TrainingClock` has them.
            name: The result's name; None keeps that of `objective`.

        Raises:
            ValueError: If the points are not like that.
        """
        inner = as_objective(objective)
        super().__init__(name or inner.name, (inner, TrainingClock(points)))

    def combine(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the products (B,) of score and factor (B, 2)."""
        return scores.prod(axis=1)
