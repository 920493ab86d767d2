"""Rays and the hypervolume's gradient together: cover the front, and climb where it gains most.

Our own rule. Shapes: K objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, require, resolve_preference
from paretune.weighting.strategies.hypervolume_gradient import HypervolumeGradientWeighting
from paretune.weighting.strategies.rays import RaySweepWeighting


@dataclass(eq=False)
class RaysHypervolumeWeighting(Weighting):
    """The mean of two directions, one that goes to another place of the front every few steps and one that stays.

        w = (1 - share) * w_rays + share * w_hypervolume

    w_rays is that of `RaySweepWeighting`, w_hypervolume that of `HypervolumeGradientWeighting` in its form
    "validation". Rays alone leave a place before the policy has got far there, where learning is slow; the
    hypervolume's gradient alone leaves it only when nothing is to be gained, and covers less.

    Attributes:
        rays: The strategy of the first direction.
        climb: The strategy of the second direction.

    Example:
        >>> weighting = RaysHypervolumeWeighting(2)
        >>> weighting.on_validation([0.75, 0.25])
        >>> weighting.weights
        array([0.375, 0.625])
    """

    preference: Preference
    """Weights before the first observation, and the first ray; a number K means K equal ones."""

    _: KW_ONLY

    share: float = 0.5
    """Share of the hypervolume's gradient, from 0 (rays alone) to 1."""

    every: int = 10
    """Training steps from one ray to the next."""

    mu: float = 0.1
    """Smoothing of the rays, above 0: small looks at the objective furthest below the ray alone."""

    reference: Sequence[float] | None = None
    """Reference point of rays and hypervolume, one number per objective; None is zeros."""

    offset: float = 0.5
    """Where the sequence of rays starts, in [0, 1)."""

    name = "rays-hypervolume"
    when = "As rays, where learning is slow or uneven: half of the weights go to where the front gains most."

    def __post_init__(self) -> None:
        """Check the options and make both strategies."""
        self.preference = resolve_preference(self.preference)
        require("share", self.share, 0 <= self.share <= 1, "from 0 to 1")
        self.rays = RaySweepWeighting(
            self.preference, every=self.every, mu=self.mu, reference=self.reference, offset=self.offset
        )
        self.climb = HypervolumeGradientWeighting(self.preference, reference=self.reference)
        self.reference = self.rays.reference

    @property
    def needs_validation(self) -> bool:
        """True."""
        return True

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1."""
        return (1 - self.share) * self.rays.weights + self.share * self.climb.weights

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Tell the rays of a step with rewards (P, G, K)."""
        self.rays.on_rewards(rewards)

    def on_validation(self, performance: ArrayLike) -> None:
        """Take the hypervolume's gradient at a validation performance (K,)."""
        self.climb.on_validation(performance)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The ray in force (K) and the hypervolume's direction (K)."""
        direction = self.climb.diagnostics()["hypervolume_direction"]
        return {**self.rays.diagnostics(), "hypervolume_direction": direction}

    def state_dict(self) -> dict[str, Any]:
        """The states of both strategies."""
        return {"rays": self.rays.state_dict(), "climb": self.climb.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.rays.load_state_dict(state["rays"])
        self.climb.load_state_dict(state["climb"])
