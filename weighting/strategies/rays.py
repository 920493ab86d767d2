"""Ray sweep: one run is led along one ray after another, and its validated policies cover the Pareto front.

Our own rule, from parts that are known: the hypervolume is an average over directions (Golovin and Zhang, "Random
Hypervolume Scalarizations for Provable Multi-Objective Black Box Optimization", arXiv 2006.04655), and Tchebycheff
scalarisations reach points of concave fronts (Lin et al., arXiv 2402.19078). Shapes: K objectives.
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
from paretune.weighting.observed import LARGEST, RunningPerformance, Source, check_rewards, normalised

LEAST = 0.02
"""Least share of an objective in a ray: one along the front's edge would never look at the objective again."""


def ray_at(number: int, n_objectives: int, offset: float) -> Weights:
    """Return the ray of this number (K,), a point of the simplex; many of them cover the simplex evenly.

    The gaps between the sorted coordinates of the sequence offset + n / g, offset + n / g^2, ... mod 1, where
    g^K = g + 1: a low-discrepancy sequence (Roberts 2018, a generalised golden ratio).

    Args:
        number: n, at least 0.
        n_objectives: K.
        offset: Where the sequence starts, in [0, 1).

    Example:
        >>> ray_at(0, 2, 0.25), ray_at(1, 2, 0.25).round(3)
        (array([0.25, 0.75]), array([0.868, 0.132]))
    """
    ratio = 1.5
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / n_objectives)
    cube = np.sort((offset + number * ratio ** -np.arange(1.0, n_objectives)) % 1.0)
    return np.diff(cube, prepend=0.0, append=1.0)


def weights_towards(ray: Weights, heights: Weights, mu: float) -> Weights:
    """Return w_k ~ softmax_k(-c / mu) / p_k with c_k = heights_k / p_k, normalised to sum 1, (K,).

    It is the gradient of a smooth min_k c_k: how far along the ray the box below the heights reaches.

    Args:
        ray: p (K,), positive, of sum 1.
        heights: Performance above the reference (K,), in units that make the objectives comparable.
        mu: Smoothing, positive.

    Example:
        >>> weights_towards(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 0.1)
        array([0.5, 0.5])
    """
    with np.errstate(over="ignore"):
        along_K = np.clip(heights / ray, -1e300, 1e300)
        exponents_K = np.maximum((along_K.min() - along_K) / mu, -1e300)
    return normalised(np.exp(exponents_K) / ray, ray)


@dataclass(eq=False)
class RaySweepWeighting(Weighting):
    """Pulls the policy to another ray from the reference point every few steps.

        c_k = (f_k - reference_k) / (s_k * p_k)          f: performance (K,), p: the ray in force, of sum 1
        w_k ~ softmax_k(-c / mu) / (s_k * p_k)           s_k: best f_k so far - reference_k (1 until that is positive)

    The hypervolume of a set of points is, up to a constant, the mean over all directions p of (the largest min_k c_k
    among the points)^K. So every ray that is followed outwards adds to it, and rays spread evenly over all directions
    (`ray_at`) leave no gap. The weights are the gradient of a smooth min_k c_k: below the ray in one objective, that
    one counts; on the ray, the objectives gain in the ray's proportions. Unlike fixed weights this reaches points of
    concave fronts too. The result of a run is its archive: the last policy is just the last compromise.

    What the choice of rays by the archive's largest gap, by its missing volume, or from the Gram matrix brought in
    trials was no more than even spread, and often less: volume above a front that is out of reach looks like a gap.

    Example:
        >>> weighting = RaySweepWeighting(2)
        >>> weighting.on_rewards([[[0.5, 0.5], [0.5, 0.4]]])
        >>> weighting.ray, weighting.weights.round(3)
        (array([0.5, 0.5]), array([0.474, 0.526]))
    """

    preference: Preference
    """The first ray, and how the rays are stretched: equal ones give even spread; a number K means K equal ones."""

    _: KW_ONLY

    every: int = 10
    """Training steps from one ray to the next."""

    mu: float = 0.1
    """Smoothing, above 0: small looks at the objective furthest below the ray alone."""

    reference: Sequence[float] | None = None
    """Reference point that the rays start from, one number per objective, as `source` measures them; None is zeros."""

    source: Source = "rewards"
    """Where the performance comes from: a moving average of the training rewards, which are of sampled responses, or
    the last validation, which is of the likeliest responses (of sampled ones with the setting eval_sampled)."""

    decay: float = 0.8
    """Share of the past in the moving average of the training rewards, from 0 to below 1."""

    offset: float = 0.5
    """Where the sequence of rays starts, in [0, 1)."""

    name = "rays"
    when = "You have no preference, and want the policies that one run passes through to cover the whole front."

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        k = len(self.preference)
        require("every", self.every, self.every >= 1 and self.every % 1 == 0, "a whole number of at least 1")
        require("mu", self.mu, 0 < self.mu < math.inf, "a number above 0")
        require("offset", self.offset, 0 <= self.offset < 1, "in [0, 1)")
        reference_K = np.zeros(k) if self.reference is None else finite_array("reference", self.reference, (k,))
        self.reference = None if self.reference is None else tuple(reference_K.tolist())
        self._reference_K = np.clip(reference_K, -LARGEST, LARGEST)
        self._wanted_K = np.array(self.preference) > 0
        self._best_K = self._reference_K.copy()
        self._performance = RunningPerformance(k, self.source, self.decay)
        self._steps = 0

    @property
    def needs_validation(self) -> bool:
        """Whether the performance comes from validation."""
        return self.source == "validation"

    @property
    def ray(self) -> Weights:
        """The ray in force (K,), of sum 1."""
        number = max(self._steps - 1, 0) // self.every
        preference_K = np.array(self.preference)
        if number == 0:
            return preference_K
        ray_K = np.zeros(len(preference_K))
        ray_K[self._wanted_K] = ray_at(number, int(self._wanted_K.sum()), self.offset)
        return normalised(ray_K * preference_K, preference_K)

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1; the preference before the first observation."""
        preference_K = np.array(self.preference)
        if self._performance.value is None or self._wanted_K.sum() == 1:
            return preference_K
        wanted_K = self._wanted_K
        range_K = np.where(self._best_K > self._reference_K, self._best_K - self._reference_K, 1.0)[wanted_K]
        with np.errstate(over="ignore"):
            heights_A = (self._performance.value - self._reference_K)[wanted_K] / range_K
        ray_A = np.maximum(self.ray[wanted_K], LEAST / len(preference_K))
        weights_K = np.zeros(len(preference_K))
        towards_A = weights_towards(ray_A, heights_A, self.mu)
        weights_K[wanted_K] = normalised(towards_A * (range_K.min() / range_K), preference_K[wanted_K])
        return weights_K

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Count a step with rewards (P, G, K), after which the next ray may be in force."""
        check_rewards(rewards, len(self._reference_K))
        self._steps += 1
        if self._performance.on_rewards(rewards):
            self._note_best()

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """See a validation performance (K,)."""
        if self._performance.on_validation(performance):
            self._note_best()

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The ray in force (K)."""
        return {"ray": self.ray.tolist()}

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, which the ray follows from, the performance and the best so far."""
        return {"steps": self._steps, "performance": self._performance.state(), "best": self._best_K.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._steps = int(state["steps"])
        self._performance.load_state(state["performance"])
        self._best_K = np.array(state["best"], dtype=np.float64)

    def _note_best(self) -> None:
        assert self._performance.value is not None
        self._best_K = np.maximum(self._best_K, self._performance.value)
