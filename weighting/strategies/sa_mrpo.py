"""SA-MRPO: objectives that are nearly mastered give their weight to those with much left to gain.

Source: Wang et al., "Learn What's Left, Not What's Mastered: Saturation Aware Advantage Reweighting for Multi-Reward
Policy Optimization", arXiv 2608.16072. Shapes: P prompts, G responses per prompt, K objectives.
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
from paretune.weighting.observed import LARGEST, mean_rewards, normalised


@dataclass(eq=False)
class SAMRPOWeighting(Weighting):
    """The preference, discounted by how close each objective's mean reward is to its highest value.

        s_k = (mean_k - lowest_k) / (highest_k - lowest_k)      saturation in [0, 1]; mean over the P * G rewards
        w_k ~ preference_k * (1 - s_k)^gamma                    gamma = 0: the preference; the paper's choice is 0.5

    The weights of a step come from its own rewards. The paper weighs advantages that are normalised per objective and
    normalises their sum over the batch: the agents' setting order="normalise_first". Ours are weights that sum to 1
    (the normalisation over the batch cancels their sum), means outside the bounds counted as at the bound, and the
    preference itself where nothing is left to gain.

    Example:
        >>> weighting = SAMRPOWeighting(2)
        >>> weighting.on_rewards([[[0.0, 0.75], [0.0, 0.75]]])
        >>> weighting.weights.round(4)
        array([0.6667, 0.3333])
    """

    preference: Preference
    """Non-negative factors of the objectives, normalised to sum 1; a single number K means K equal ones."""

    _: KW_ONLY

    gamma: float = 0.5
    """Exponent of what is left to gain, at least 0; the larger, the more the weights turn to unmastered objectives."""

    lowest: Sequence[float] | None = None
    """Least mean reward that is possible, one number per objective; None is zeros."""

    highest: Sequence[float] | None = None
    """Greatest mean reward that is possible, one number per objective; None is ones."""

    name = "sa-mrpo"
    when = "Rewards have known bounds, and easy objectives should not keep their share once they are mastered."
    paper = "https://arxiv.org/abs/2608.16072"

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        require("gamma", self.gamma, 0 <= self.gamma < math.inf, "a finite number of at least 0")
        k = len(self.preference)
        self._lowest_K = np.zeros(k) if self.lowest is None else finite_array("lowest", self.lowest, (k,))
        self._highest_K = np.ones(k) if self.highest is None else finite_array("highest", self.highest, (k,))
        rule = "above lowest in every objective"
        require("highest", self._highest_K.tolist(), bool((self._highest_K > self._lowest_K).all()), rule)
        for name, bounds_K in (("lowest", self._lowest_K), ("highest", self._highest_K)):
            require(name, bounds_K.tolist(), bool((np.abs(bounds_K) <= LARGEST).all()), f"at most {LARGEST} in size")
        self.lowest = None if self.lowest is None else tuple(self._lowest_K.tolist())
        self.highest = None if self.highest is None else tuple(self._highest_K.tolist())
        self._saturation_K: Weights | None = None

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1."""
        preference_K = np.array(self.preference)
        if self._saturation_K is None:
            return preference_K
        return normalised(preference_K * (1 - self._saturation_K) ** self.gamma, preference_K)

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Set the weights from the rewards (P, G, K) of the step."""
        above_K = mean_rewards(rewards, len(self._lowest_K)) - self._lowest_K
        self._saturation_K = np.clip(above_K / (self._highest_K - self._lowest_K), 0.0, 1.0)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The saturations s (K) of the last step, once there is one."""
        return {} if self._saturation_K is None else {"saturation": self._saturation_K.tolist()}

    def state_dict(self) -> dict[str, Any]:
        """The saturations."""
        return {"saturation": None if self._saturation_K is None else self._saturation_K.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        saturation = state["saturation"]
        self._saturation_K = None if saturation is None else np.array(saturation, dtype=np.float64)
