"""Lagrangian weighting: hard constraints such as "accuracy at least 0.8", the rest by preference.

Source: dual ascent, e.g. Boyd and Vandenberghe, Convex Optimization (2004), chapter 5; for rewards, Tessler et al.,
"Reward Constrained Policy Optimization", arXiv 1805.11074. Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, require, resolve_preference
from paretune.weighting.observed import RunningPerformance, Source, normalised


@dataclass(eq=False)
class LagrangianWeighting(Weighting):
    """Maximises the preferred objectives while those with a threshold stay at or above it.

        L(f, lambda) = sum_free p_k * f_k + sum_constrained lambda_k * (f_k - threshold_k)
        lambda_k <- min(largest, max(0, lambda_k + rate * (threshold_k - f_k)))         dual ascent
        w_k ~ p_k where free, lambda_k where constrained; normalised to sum 1           p: preference

    The multipliers start at the preference. One of an objective that stays below its threshold grows until it is met;
    one above loses its weight to the free objectives. If nothing has weight (no objective is free, and all thresholds
    are met), the weights are the preference. A step's weights already come from its own rewards.

    The performance f that thresholds are compared with is logged as "performance". Sampled responses (`source`
    "rewards") are usually worse than the likeliest ones ("validation"), so that the same threshold is a stricter one
    there. Standard errors are not taken off f: noise of both signs averages out in the multipliers, and a margin is a
    higher threshold.

    Example:
        >>> weighting = LagrangianWeighting(2, thresholds=[0.75, None], rate=1.0)
        >>> weighting.on_rewards([[[0.25, 0.5], [0.25, 0.5]]])  # lambda = 0.5 + 1 * (0.75 - 0.25)
        >>> weighting.weights.round(4)
        array([0.6667, 0.3333])
    """

    preference: Preference
    """Weights of the free objectives and first multipliers of the others; a single number K means K equal ones."""

    _: KW_ONLY

    thresholds: Sequence[float | None] | None = None
    """Least wanted performance of each objective, one at least, as `source` measures it; None, or -inf on the command
    line, for a free one."""

    rate: float = 0.05
    """Step size of the multipliers, above 0, per step or validation and unit of missing performance."""

    largest: float = 10.0
    """Upper bound of the multipliers, above 0: a threshold out of reach leaves the others some weight."""

    source: Source = "rewards"
    """Where the performance comes from: a moving average of the training rewards, which are of sampled responses, or
    the last validation, which is of the likeliest responses (of sampled ones with the setting eval_sampled)."""

    decay: float = 0.9
    """Share of the past in the moving average of the training rewards, from 0 to below 1."""

    name = "lagrangian"
    when = "Some objectives have a level that must be met, and only beyond it do the others count."
    paper = "https://arxiv.org/abs/1805.11074"

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        k = len(self.preference)
        thresholds = [-math.inf if each is None else float(each) for each in self.thresholds or ()]
        given = any(math.isfinite(each) for each in thresholds)
        require("thresholds", self.thresholds, given, "given for at least one objective")
        require("thresholds", self.thresholds, len(thresholds) == k, f"of length {k}, as the preference")
        sound = all(each < math.inf for each in thresholds)
        require("thresholds", self.thresholds, sound, "finite numbers, None or -inf")
        self.thresholds = tuple(each if math.isfinite(each) else None for each in thresholds)
        require("rate", self.rate, 0 < self.rate < math.inf, "a number above 0")
        require("largest", self.largest, 0 < self.largest < math.inf, "a number above 0")
        self._thresholds_K = np.array(thresholds)
        self._constrained_K = np.isfinite(self._thresholds_K)
        self._multipliers_K = np.where(self._constrained_K, np.minimum(self.preference, self.largest), 0.0)
        self._performance = RunningPerformance(k, self.source, self.decay)

    @property
    def needs_validation(self) -> bool:
        """Whether the performance comes from validation."""
        return self.source == "validation"

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1."""
        preference_K = np.array(self.preference)
        return normalised(np.where(self._constrained_K, self._multipliers_K, preference_K), preference_K)

    def on_rewards(self, rewards: ArrayLike) -> None:
        """See the rewards (P, G, K) of a step."""
        if self._performance.on_rewards(rewards):
            self._ascend()

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """See a validation performance (K,)."""
        if self._performance.on_validation(performance):
            self._ascend()

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The multipliers (K), zero for free objectives, and the performance (K) that they come from, once seen."""
        seen = {} if self._performance.value is None else {"performance": self._performance.value.tolist()}
        return {"multipliers": self._multipliers_K.tolist(), **seen}

    def state_dict(self) -> dict[str, Any]:
        """The multipliers and the performance."""
        return {"multipliers": self._multipliers_K.tolist(), "performance": self._performance.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._multipliers_K = np.array(state["multipliers"], dtype=np.float64)
        self._performance.load_state(state["performance"])

    def _ascend(self) -> None:
        assert self._performance.value is not None
        with np.errstate(over="ignore"):
            moved_K = self._multipliers_K + self.rate * (self._thresholds_K - self._performance.value)
        self._multipliers_K = np.where(self._constrained_K, np.clip(moved_K, 0.0, self.largest), 0.0)
