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
from paretune.weighting.observed import Source
from paretune.weighting.strategies.hypervolume_gradient import HypervolumeGradientWeighting
from paretune.weighting.strategies.rays import RaySweepWeighting


@dataclass(eq=False)
class RaysHypervolumeWeighting(Weighting):
    """The mean of two directions, one that goes to another place of the front every few steps and one that stays.

        w = (1 - share) * w_rays + share * w_hypervolume

    w_rays is that of `RaySweepWeighting`, w_hypervolume that of `HypervolumeGradientWeighting` in its form
    "validation". Rays alone leave a place before the policy has got far there, where learning is slow; the
    hypervolume's gradient alone leaves it only when nothing is to be gained, and covers less.

    Both are at the current policy, but not by the same measurement unless `source` is "validation": the rays follow
    every step's sampled training rewards, the hypervolume's gradient the last validation.

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

    lead_errors: float = 2.0
    """Standard errors of the last validation that an earlier one must be ahead in an objective to count as ahead, for
    the hypervolume's gradient; at least 0."""

    source: Source = "rewards"
    """Where the rays' performance comes from: a moving average of the training rewards, which are of sampled responses,
    or the last validation, which is what the hypervolume's gradient is taken at."""

    name = "rays-hypervolume"
    when = "As rays, where learning is slow or uneven: half of the weights go to where the front gains most."

    def __post_init__(self) -> None:
        """Check the options and make both strategies."""
        self.preference = resolve_preference(self.preference)
        require("share", self.share, 0 <= self.share <= 1, "from 0 to 1")
        self.rays = RaySweepWeighting(
            self.preference,
            every=self.every,
            mu=self.mu,
            reference=self.reference,
            source=self.source,
            offset=self.offset,
        )
        self.climb = HypervolumeGradientWeighting(
            self.preference, reference=self.reference, lead_errors=self.lead_errors
        )
        self.reference = self.rays.reference

    @property
    def needs_validation(self) -> bool:
        """True."""
        return True

    @property
    def reads_errors(self) -> bool:
        """As the hypervolume's gradient has it."""
        return self.climb.reads_errors

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1."""
        return (1 - self.share) * self.rays.weights + self.share * self.climb.weights

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Tell the rays of a step with rewards (P, G, K)."""
        self.rays.on_rewards(rewards)

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """Take the hypervolume's gradient at a validation performance (K,), and tell the rays."""
        self.climb.on_validation(performance, standard_error)
        self.rays.on_validation(performance)

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
