"""Hypervolume-guided adaptation: new Pareto-optimal policies are rewarded more, all others less.

Source: Lu et al., "Learning to Optimize Multi-Objective Alignment Through Dynamic Reward Weighting", arXiv 2509.11452,
Algorithm 1. Shapes: K objectives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.archive import ParetoArchive
from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, require, resolve_preference
from paretune.weighting.observed import margin_of

GAIN_ERRORS = 0.5
"""Standard errors that are taken off a validation before its gain is measured, unless an option says otherwise."""


def meta_reward(gain: float, scale: float) -> float:
    """Return r_meta = 0.5 + 1.5 * tanh(gain / scale), in [0.5, 2] (arXiv 2509.11452, Algorithm 1, where scale = 1).

    Args:
        gain: Growth of the hypervolume, non-negative.
        scale: The gain that counts as large, positive.

    Example:
        >>> meta_reward(0.0, 0.01), round(meta_reward(0.01, 0.01), 4), meta_reward(1.0, 0.01)
        (0.5, 1.6424, 2.0)
    """
    return 0.5 + 1.5 * math.tanh(gain / scale)


@dataclass(eq=False)
class HypervolumeWeighting(Weighting):
    """The preference times a meta-reward that tells how much the last validation enlarged the hypervolume.

        gain    = HV(B + {f - z * e}) - HV(B)         f: (K,) validation performance, e: its standard errors, B: archive
        r_meta  = 0.5 + 1.5 * tanh(gain / scale)
        weights = r_meta * preference

    The first performance seen is the untrained policy's (step 0): it starts the archive, and r_meta stays 1. A
    validation changes the weights of the steps after it.

    Departures from the paper, which `exact_paper=True` takes back: the meta-reward multiplies the advantages after
    their normalisation (GRPO's division by the standard deviation would cancel it before), the gain has a scale
    of its own, and it is what z standard errors less would still gain (z: `gain_errors`). A trainer must not clip the
    multiplied gradient to a fixed norm either, which cancels the factor again, and optimizers such as AdamW that divide
    by a running size of the gradient feel its changes, not its level. By default the scale is the mean of all positive
    gains so far, the present one included: a gain of typical size gives tanh(1), r_meta = 1.64, in whatever units the
    objectives are.

    Only a performance with a gain enters the archive. As measured (z = 0, or a trainer that knows no standard errors),
    a policy that no longer changes is in almost every other validation a little better somewhere than all before, and
    those that were lucky stay in the archive, where they hide later gains. Simulated with 128 prompts and a known
    truth (`tests/weighting/test_validation_noise.py`), half a standard error takes away a third of such false gains and
    a twentieth of the real ones, and the meta-reward follows the real gains as before; one takes away two thirds and a
    fifth, and the meta-reward follows them less.

    Attributes:
        archive: The non-dominated validation performances so far.

    Example:
        >>> weighting = HypervolumeWeighting([0.5, 0.5])
        >>> weighting.on_validation([0.5, 0.5])  # the untrained policy
        >>> weighting.scale
        1.0
        >>> weighting.on_validation([0.5, 0.25])  # nothing gained
        >>> weighting.scale
        0.5
    """

    preference: Preference
    """Non-negative weights of the objectives, normalised to sum 1; a single number K means K equal weights."""

    _: KW_ONLY

    gain_scale: float | None = None
    """Hypervolume gain that gives tanh(1), above 0; None takes the mean of the positive gains so far."""

    reference: Sequence[float] | None = None
    """Reference point of the hypervolume, one number per objective; None is zeros."""

    gain_errors: float | None = None
    """Standard errors of a validation that are taken off before its gain is measured, at least 0; None is 0.5, or 0
    with exact_paper. More of them count fewer gains, of the lucky and of the real ones."""

    exact_paper: bool = False
    """The published method: gain scale 1, gains as measured, and the meta-reward multiplies the rewards before
    normalisation."""

    name = "hypervolume"
    when = "You know your preference and want policies that extend the Pareto front rewarded more."
    paper = "https://arxiv.org/abs/2509.11452"

    def __post_init__(self) -> None:
        """Check the options and start with an empty archive."""
        self.preference = resolve_preference(self.preference)
        if self.gain_scale is not None:
            require("gain_scale", self.gain_scale, 0 < self.gain_scale < math.inf, "None or a number above 0")
            rule = "None or 1 with exact_paper=True"
            require("gain_scale", self.gain_scale, not self.exact_paper or self.gain_scale == 1, rule)
        if self.gain_errors is not None:
            rule = "None or a number of at least 0"
            require("gain_errors", self.gain_errors, 0 <= self.gain_errors < math.inf, rule)
            rule = "None or 0 with exact_paper=True"
            require("gain_errors", self.gain_errors, not self.exact_paper or self.gain_errors == 0, rule)
        self.archive = ParetoArchive(len(self.preference) if self.reference is None else self.reference)
        if self.reference is not None:
            rule = f"of length {len(self.preference)}, as the preference"
            require("reference", self.reference, len(self.archive.reference) == len(self.preference), rule)
            self.reference = tuple(self.archive.reference.tolist())
        self._meta_reward = 1.0
        self._gain = 0.0
        self._measured_gain = 0.0
        self._mean_gain = 0.0
        self._positive_gains = 0

    @property
    def needs_validation(self) -> bool:
        """True."""
        return True

    @property
    def reads_errors(self) -> bool:
        """Whether gains have to exceed them."""
        return self._errors > 0

    @property
    def scale_rewards(self) -> bool:
        """Whether the published order is asked for."""
        return self.exact_paper

    @property
    def moves_scale(self) -> bool:
        """True."""
        return True

    @property
    def weights(self) -> Weights:
        """The preference (K,) times the meta-reward."""
        return self._meta_reward * np.array(self.preference, dtype=np.float64)

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """Set the meta-reward from what `performance` (K,) adds to the hypervolume; the first only starts the archive.

        Args:
            performance: (K,).
            standard_error: Of the performance (K,); None takes it as measured.

        Raises:
            ValueError: If an argument has another shape, is not finite, or a standard error is negative.
        """
        untrained = len(self.archive) == 0
        margin = margin_of(standard_error, self._errors, len(self.weights))
        gain, measured_gain = self.archive.gain(performance, margin), self.archive.gain(performance)
        self.archive.add(performance, margin=margin)
        if untrained:
            return
        if gain > 0:
            self._positive_gains += 1
            self._mean_gain += (gain - self._mean_gain) / self._positive_gains
        self._gain, self._measured_gain = gain, measured_gain
        self._meta_reward = meta_reward(gain, self._scale_of_gains())

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The meta-reward in force, the gain it comes from, and what the gain is without regard to standard errors."""
        return {"meta_reward": self._meta_reward, "gain": self._gain, "measured_gain": self._measured_gain}

    def state_dict(self) -> dict[str, Any]:
        """The archive, the meta-reward in force and the running mean of the gains."""
        return {
            "archive": self.archive.state_dict(),
            "meta_reward": self._meta_reward,
            "gain": self._gain,
            "measured_gain": self._measured_gain,
            "mean_gain": self._mean_gain,
            "positive_gains": self._positive_gains,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.archive.load_state_dict(state["archive"])
        self._meta_reward = float(state["meta_reward"])
        self._gain = float(state["gain"])
        self._measured_gain = float(state.get("measured_gain", self._gain))
        self._mean_gain = float(state["mean_gain"])
        self._positive_gains = int(state["positive_gains"])

    @property
    def _errors(self) -> float:
        if self.gain_errors is None:
            return 0.0 if self.exact_paper else GAIN_ERRORS
        return self.gain_errors

    def _scale_of_gains(self) -> float:
        if self.exact_paper:
            return 1.0
        if self.gain_scale is not None:
            return self.gain_scale
        return self._mean_gain or 1.0  # before the first positive gain any scale gives tanh(0)
