"""SAW, stage-aware weighting: objectives whose rewards differ much within the batch gain weight.

Source: He et al., "SAW: Stage-Aware Dynamic Weighting for Multi-Objective Reinforcement Learning in Large Language
Models", arXiv 2606.07705. Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, require, resolve_preference
from paretune.weighting.observed import check_rewards, normalised


def coefficients_of_variation(rewards: Weights, epsilon: float) -> Weights:
    """Return std_k / (|mean_k| + epsilon) over all responses, (K,), of rewards (P, G, K).

    Example:
        >>> coefficients_of_variation(np.array([[[0.0, 0.25], [1.0, 0.75]]]), 0.0)
        array([1. , 0.5])
    """
    return rewards.std(axis=(0, 1)) / (np.abs(rewards.mean(axis=(0, 1))) + epsilon)


@dataclass(eq=False)
class SAWWeighting(Weighting):
    """The preference times each objective's coefficient of variation in the batch.

        w_k ~ preference_k * std_k / (|mean_k| + epsilon)           std and mean over the P * G rewards of the step

    A learnt objective earns everyone nearly the same: its coefficient is small. One that few responses earn has a
    large one, sqrt((1 - m) / m) for a reward of 0 or 1 with mean m. The weights of a step come from its own rewards.

    The rule is the one that the paper's abstract describes (weights by the relative coefficient of variation within
    the batch). Ours are the preference as a factor, `epsilon`, the mean's absolute value (for rewards below zero),
    weights that sum to 1, and the preference itself where no objective varies.

    Example:
        >>> weighting = SAWWeighting(2, epsilon=1e-6)
        >>> weighting.on_rewards([[[0.0, 0.25], [1.0, 0.75]]])
        >>> weighting.weights.round(4)
        array([0.6667, 0.3333])
    """

    preference: Preference
    """Non-negative factors of the objectives, normalised to sum 1; a single number K means K equal ones."""

    _: KW_ONLY

    epsilon: float = 1e-3
    """Added to the mean's size, above 0: bounds the weight of rewards that are nearly always zero."""

    name = "saw"
    when = "Some objectives are learnt long before others, and should then make room for those."
    paper = "https://arxiv.org/abs/2606.07705"

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        require("epsilon", self.epsilon, 1e-100 <= self.epsilon < math.inf, "a number of at least 1e-100")
        self._weights_K = np.array(self.preference)

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1."""
        return self._weights_K.copy()

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Set the weights from the rewards (P, G, K) of the step."""
        preference_K = np.array(self.preference)
        rewards_PGK = check_rewards(rewards, len(preference_K))
        varies_K = np.ptp(rewards_PGK, axis=(0, 1)) > 0  # where nothing varies, std is zero up to rounding only
        coefficients_K = np.where(varies_K, coefficients_of_variation(rewards_PGK, self.epsilon), 0.0)
        self._weights_K = normalised(preference_K * coefficients_K, preference_K)

    def state_dict(self) -> dict[str, Any]:
        """The weights."""
        return {"weights": self._weights_K.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._weights_K = np.array(state["weights"], dtype=np.float64)
