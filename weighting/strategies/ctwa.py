"""CTWA: an objective that the training signal stops supporting gains weight until it is supported again.

Source: Lu and Jiang, "Uncovering Cross-Objective Interference in Multi-Objective Alignment", arXiv 2602.06869, Section
5: Covariance Targeted Weight Adaptation. Shapes: P prompts, G responses per prompt, K objectives.
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
from paretune.weighting.observed import check_rewards, normalised

LEAST = 1e-6
"""Share of its preference below which no objective falls: from zero no weight could come back."""

ROUNDING = 1e-12
"""Standard deviation of the signal, in units of the rewards' largest deviation, that is due to rounding."""


def covariances(rewards: Weights, direction: Weights) -> Weights:
    """Return the mean over prompts of each reward's covariance with the training signal, (K,).

    The signal is the weighted sum of the rewards, centred per prompt and divided by its standard deviation there: the
    advantage of GRPO. A prompt whose signal does not vary counts as zero.

    Args:
        rewards: (P, G, K).
        direction: The weights (K,), of sum 1.

    Example:
        >>> covariances(np.array([[[0.0, 1.0], [1.0, 0.5]]]), np.array([0.75, 0.25]))
        array([ 0.5 , -0.25])
    """
    centred_PGK = rewards - rewards.mean(axis=1, keepdims=True)
    centred_PGK[np.broadcast_to(np.ptp(rewards, axis=1, keepdims=True) == 0, rewards.shape)] = 0.0
    score_PG = centred_PGK @ direction
    spread_P1 = score_PG.std(axis=1, keepdims=True)
    varies_P1 = spread_P1 > ROUNDING * np.abs(centred_PGK).max(axis=(1, 2))[:, None]
    signal_PG = np.divide(score_PG, spread_P1, out=np.zeros_like(score_PG), where=varies_P1)
    return (centred_PGK * signal_PG[..., None]).mean(axis=(0, 1))


@dataclass(eq=False)
class CTWAWeighting(Weighting):
    """Raises the logarithms of the weights of objectives whose covariance with the signal is below its target.

        c_k     = mean over prompts of cov(r_k, A)              A: training signal, the advantages
        mean_k <- (1 - tau) * mean_k + tau * c_k
        log w_k <- log w_k + rate * max(0, target_k - mean_k)   then normalised to sum 1

    To first order, training on a signal changes an objective by its covariance with that signal; a negative one says
    that the objective is being sacrificed. The rule is that of the paper and its code (github.com/yining610/ctwa),
    where rate is 0.05 and the targets of accuracy, conciseness and clarity are 0.15, 0.08 and 0.08.

    Departures: the signal is GRPO's advantage under the current weights, before the update and without clipping (a
    strategy sees rewards, not log-probabilities); with one response per prompt the batch is one group. An objective
    that does not vary in a batch is left as it is, because no weight could raise its covariance. The weights sum to 1.

    Example:
        >>> weighting = CTWAWeighting([0.75, 0.25], rate=1.0, target=0.0, tau=1.0)
        >>> weighting.on_rewards([[[0.0, 1.0], [1.0, 0.5]]])  # log w_2 + 0.25
        >>> weighting.weights.round(4)
        array([0.7003, 0.2997])
    """

    preference: Preference
    """Initial weights of the objectives, normalised to sum 1; a single number K means K equal ones. Zeros stay zero."""

    _: KW_ONLY

    target: float | Sequence[float] = 0.1
    """Least wanted covariance, in units of the reward: one number for all objectives, or one per objective."""

    rate: float = 0.05
    """Rise of a weight's logarithm per step and unit of missing covariance, above 0."""

    tau: float = 0.1
    """Share of the newest covariance in the running mean, from above 0 (slow) to 1 (no memory)."""

    name = "ctwa"
    when = "Training raises some objectives at the cost of others, and none of them may be sacrificed."
    paper = "https://arxiv.org/abs/2602.06869"

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        k = len(self.preference)
        if isinstance(self.target, Sequence):
            self._target_K = finite_array("target", self.target, (k,))
            self.target = tuple(self._target_K.tolist())
        else:
            require("target", self.target, math.isfinite(self.target), "a finite number, or one per objective")
            self._target_K = np.full(k, float(self.target))
        require("rate", self.rate, 0 < self.rate < math.inf, "a number above 0")
        require("tau", self.tau, 0 < self.tau <= 1, "in (0, 1]")
        self._weights_K = np.array(self.preference)
        self._mean_K: Weights | None = None

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1."""
        return self._weights_K.copy()

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Move the weights by one update from the rewards (P, G, K) of the step."""
        preference_K = np.array(self.preference)
        rewards_PGK = check_rewards(rewards, len(preference_K))
        if rewards_PGK.shape[1] == 1:
            rewards_PGK = rewards_PGK.swapaxes(0, 1)
        covariance_K = covariances(rewards_PGK, self._weights_K)
        varies_K = (np.ptp(rewards_PGK, axis=1) > 0).any(axis=0)
        mean_K = covariance_K if self._mean_K is None else (1 - self.tau) * self._mean_K + self.tau * covariance_K
        self._mean_K = np.where(varies_K, mean_K, 0.0 if self._mean_K is None else self._mean_K)
        with np.errstate(over="ignore"):
            missing_K = self.rate * np.maximum(self._target_K - self._mean_K, 0.0)
        rises_K = np.where(varies_K, np.minimum(missing_K, 1e300), 0.0)
        raised_K = normalised(self._weights_K * np.exp(rises_K - rises_K.max()), self._weights_K)
        self._weights_K = normalised(np.maximum(raised_K, LEAST * preference_K), preference_K)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The running means (K) of the covariances, once there are any."""
        return {} if self._mean_K is None else {"covariance": self._mean_K.tolist()}

    def state_dict(self) -> dict[str, Any]:
        """The weights and the running means."""
        return {"weights": self._weights_K.tolist(), "mean": None if self._mean_K is None else self._mean_K.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._weights_K = np.array(state["weights"], dtype=np.float64)
        self._mean_K = None if state["mean"] is None else np.array(state["mean"], dtype=np.float64)
