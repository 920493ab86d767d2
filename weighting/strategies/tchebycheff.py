"""Smooth Tchebycheff weighting: most weight on the objectives that are furthest from where they should be.

Source: Lin et al., "Smooth Tchebycheff Scalarization for Multi-Objective Optimization", arXiv 2402.19078.
Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, finite_array, require, resolve_preference
from paretune.weighting.observed import LARGEST, RunningPerformance, Source, normalised


def tchebycheff_weights(preference: Weights, gap: Weights, mu: float) -> Weights:
    """Return w_k ~ p_k * exp(p_k * gap_k / mu), normalised to sum 1, (K,).

    Args:
        preference: p (K,), a point of the simplex.
        gap: Ideal minus performance (K,).
        mu: Smoothing, positive.

    Example:
        >>> tchebycheff_weights(np.array([0.5, 0.5]), np.array([2 * np.log(3), 0.0]), 1.0).round(4)
        array([0.75, 0.25])
    """
    with np.errstate(over="ignore"):
        exponents_K = np.clip(preference * gap / mu, -1e300, 1e300)
    exponents_K -= exponents_K[preference > 0].max()
    return normalised(preference * np.exp(np.minimum(exponents_K, 0.0)), preference)


@dataclass(eq=False)
class TchebycheffWeighting(Weighting):
    """The gradient of the smooth Tchebycheff scalarisation at the current performance f, as weights.

        g(f) = mu * log sum_k exp(p_k * (z_k - f_k) / mu)           to be minimised; z: ideal point, p: preference
        w_k ~ -dg/df_k = p_k * softmax_k(p_k * (z_k - f_k) / mu)

    Small mu puts all weight on the largest p_k * (z_k - f_k), which also reaches points of concave fronts; large mu
    leaves the preference. A policy at the end has p_k * (z_k - f_k) nearly equal in all objectives.

    The paper minimises deterministic objectives, so the signs are turned round here, and f is an estimate: a moving
    average of the training rewards, or the last validation. Weights that sum to 1 and the choices of z are ours.

    Example:
        >>> weighting = TchebycheffWeighting(2, mu=0.1)
        >>> weighting.on_rewards([[[0.9, 0.5], [0.9, 0.5]]])  # p * gap = 0.05, 0.25
        >>> weighting.weights.round(4)
        array([0.1192, 0.8808])
    """

    preference: Preference
    """Importance p of each objective's gap, normalised to sum 1; a single number K means K equal ones."""

    _: KW_ONLY

    mu: float = 0.1
    """Smoothing, above 0, in units of preference times reward: small looks at the largest gap alone."""

    ideal: Sequence[float] | None = None
    """Ideal point z, one number per objective, as `source` measures them; None is ones, the best value of an objective
    in [0, 1]."""

    margin: float | None = None
    """For objectives without a bound: z is the best performance seen plus this (at least 0), instead of ideal."""

    source: Source = "rewards"
    """Where the performance comes from: a moving average of the training rewards, which are of sampled responses, or
    the last validation, which is of the likeliest responses (of sampled ones with the setting eval_sampled)."""

    decay: float = 0.9
    """Share of the past in the moving average of the training rewards, from 0 to below 1."""

    name = "tchebycheff"
    when = "You want a balanced compromise, or a point of a concave front that fixed weights cannot reach."
    paper = "https://arxiv.org/abs/2402.19078"

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        k = len(self.preference)
        require("mu", self.mu, 0 < self.mu < math.inf, "a number above 0")
        self._ideal_K = np.ones(k)
        if self.ideal is not None:
            self._ideal_K = np.clip(finite_array("ideal", self.ideal, (k,)), -LARGEST, LARGEST)
            self.ideal = tuple(self._ideal_K.tolist())
        if self.margin is not None:
            require("margin", self.margin, 0 <= self.margin < math.inf, "None or a number of at least 0")
            require("margin", self.margin, self.ideal is None, "None if ideal is given")
        self._performance = RunningPerformance(k, self.source, self.decay)
        self._best_K: Weights | None = None

    @property
    def needs_validation(self) -> bool:
        """Whether the performance comes from validation."""
        return self.source == "validation"

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1; the preference before the first observation."""
        preference_K = np.array(self.preference)
        if self._performance.value is None:
            return preference_K
        return tchebycheff_weights(preference_K, self._gap(), self.mu)

    def on_rewards(self, rewards: ArrayLike) -> None:
        """See the rewards (P, G, K) of a step."""
        if self._performance.on_rewards(rewards):
            self._note_best()

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """See a validation performance (K,)."""
        if self._performance.on_validation(performance):
            self._note_best()

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The gaps z - f (K), once there is a performance."""
        return {} if self._performance.value is None else {"gap": self._gap().tolist()}

    def state_dict(self) -> dict[str, Any]:
        """The performance and the best so far."""
        best = None if self._best_K is None else self._best_K.tolist()
        return {"performance": self._performance.state(), "best": best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._performance.load_state(state["performance"])
        self._best_K = None if state["best"] is None else np.array(state["best"], dtype=np.float64)

    def _note_best(self) -> None:
        assert self._performance.value is not None
        value_K = self._performance.value
        self._best_K = value_K.copy() if self._best_K is None else np.maximum(self._best_K, value_K)

    def _gap(self) -> Weights:
        assert self._performance.value is not None and self._best_K is not None
        ideal_K = self._ideal_K if self.margin is None else self._best_K + self.margin
        return ideal_K - self._performance.value
