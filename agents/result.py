"""What training led to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretune.weighting import ParetoArchive
from paretune.weighting.archive import hypervolume

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What training led to; performances are on the validation split.

    The archive's points are the best of all validations, by skill or luck: the front and its hypervolume are above the
    truth. `remeasure_front` measures its policies on other prompts.

    Attributes:
        steps: Training steps done in all.
        performance_before: Performance (K,) of the untrained policy.
        performance_after: Performance (K,) at the last validation.
        hypervolume_before: Hypervolume of the untrained policy's performance, to the reference point of zeros.
        hypervolume_after: Hypervolume of the archive.
        front: The archive's points (N, K).
        folder: The run folder, if there is one.
        interrupted: Whether a signal ended the training before its last step.
    """

    steps: int
    performance_before: Array
    performance_after: Array
    hypervolume_before: float
    hypervolume_after: float
    front: Array
    folder: Path | None
    interrupted: bool

    @classmethod
    def of(
        cls,
        steps: int,
        performances: Mapping[int, Array],
        archive: ParetoArchive,
        folder: Path | None,
        interrupted: bool,
    ) -> TrainResult:
        """Sum up `steps` training steps with these validation performances (K,) by step."""
        before = performances[min(performances)]
        return cls(
            steps=steps,
            performance_before=before,
            performance_after=performances[max(performances)],
            hypervolume_before=hypervolume(before[None], archive.reference),
            hypervolume_after=archive.hypervolume(),
            front=archive.front,
            folder=folder,
            interrupted=interrupted,
        )
