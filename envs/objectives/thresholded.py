"""Objectives that ask for a level and no more.

Shapes: B responses.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paretune.envs.objectives.base import Objective
from paretune.envs.objectives.combining import Combination, ObjectiveFunction, reaches


class Thresholded(Combination):
    """1 where an objective reaches a threshold, and below it 0, or a ramp.

    Example:
        >>> from paretune.envs.objectives.combining import FunctionObjective
        >>> from paretune.envs.prompts import Prompt
        >>> length = FunctionObjective("length", lambda prompts, responses: [len(text) / 10 for text in responses])
        >>> prompts, responses = [Prompt.from_question("Count.")] * 3, ["12", "1234", "12345678"]
        >>> Thresholded(length, 0.8)(prompts, responses)
        array([0., 0., 1.], dtype=float32)
        >>> Thresholded(length, 0.8, ramp_from=0.0)(prompts, responses)
        array([0.25, 0.5 , 1.  ], dtype=float32)
    """

    def __init__(
        self,
        objective: Objective | ObjectiveFunction,
        threshold: float,
        ramp_from: float | None = None,
        name: str | None = None,
    ) -> None:
        """Put a threshold behind an objective.

        Args:
            objective: What must reach the threshold.
            threshold: The score from which on the result is 1, in (0, 1].
            ramp_from: The score up to which the result is 0 and from which it rises in a straight line, at least 0 and
                below the threshold; None is no ramp: 0 below the threshold.
            name: The result's name; None keeps that of `objective`.

        Raises:
            ValueError: If an argument breaks its rule.
        """
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold: must be in (0, 1], got {threshold}")
        if ramp_from is not None and not 0 <= ramp_from < threshold:
            raise ValueError(f"ramp_from: must be in [0, threshold) with threshold = {threshold}, got {ramp_from}")
        super().__init__(name or "", (objective,))
        self.name = name or self.parts[0].name
        self.threshold = threshold
        self.ramp_from = ramp_from

    def combine(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the results (B,), given the objective's scores (B, 1)."""
        reached_B = reaches(scores[:, 0], self.threshold)
        if self.ramp_from is None:
            return reached_B.astype(np.float32)
        ramp_B = (scores[:, 0] - self.ramp_from) / (self.threshold - self.ramp_from)
        return np.where(reached_B, 1, np.clip(ramp_B, 0, 1))
