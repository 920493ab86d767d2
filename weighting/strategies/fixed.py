"""Weights that stay where the user put them: the baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, resolve_preference


@dataclass(eq=False)
class FixedWeighting(Weighting):
    """The preference, unchanged throughout training.

    Example:
        >>> FixedWeighting([2, 1, 1]).weights
        array([0.5 , 0.25, 0.25])
    """

    preference: Preference
    """Non-negative weights of the objectives, normalised to sum 1; a single number K means K equal weights."""

    name = "fixed"
    when = "You know the weights you want, or need a baseline to compare with."

    def __post_init__(self) -> None:
        """Check and normalise the preference."""
        self.preference = resolve_preference(self.preference)

    @property
    def weights(self) -> Weights:
        """The preference (K,)."""
        return np.array(self.preference, dtype=np.float64)
