"""From vector rewards to advantages.

Shapes: P prompts, G responses per prompt, T decisions of a response that are judged separately (1 if all share its
reward), K objectives. All arithmetic is float64, so that equal rewards give advantages of exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paretune.weighting.base import Weighting

Array = NDArray[np.float64]
Order = Literal["weigh_first", "normalise_first"]

EPSILON = 1e-6
"""Added to every standard deviation that advantages are divided by, unless a rule has another one."""


@dataclass(frozen=True, kw_only=True)
class AdvantageRule:
    """How one reward becomes advantages.

    Attributes:
        advantage: From rewards (P, G) to advantages (P, G).
        group: Whether it compares responses within groups, which then need two responses, or over the batch.
        normalises: Whether its advantages are already divided by a standard deviation.
        epsilon: Added to the standard deviations of the order "normalise_first".
    """

    advantage: Callable[[Array], Array]
    group: bool = True
    normalises: bool = False
    epsilon: float = EPSILON


def reinforce(rewards: Array) -> Array:
    """Return A = r - mean over the batch, (P, G) from (P, G); Williams 1992 with the batch mean as baseline."""
    return rewards - rewards.mean()


def centred(rewards: Array) -> Array:
    """Return A = r - group mean, (P, G) from (P, G); exactly 0 in groups of equal rewards."""
    difference = rewards - rewards.mean(axis=1, keepdims=True)
    return np.where(np.ptp(rewards, axis=1, keepdims=True) == 0, 0.0, difference)


def rloo(rewards: Array) -> Array:
    """Return A = r - mean of the group's other responses = (r - mean) * G / (G - 1); arXiv 2402.14740.

    Example:
        >>> rloo(np.array([[1.0, 0.0, 0.0]])).tolist()
        [[1.0, -0.5, -0.5]]
    """
    g = rewards.shape[1]
    return centred(rewards) * g / (g - 1)


def grpo(rewards: Array, epsilon: float = EPSILON) -> Array:
    """Return A = (r - group mean) / (group std + epsilon), with the sample standard deviation; arXiv 2402.03300.

    Example:
        >>> grpo(np.array([[1.0, 0.0, -1.0]])).round(3).tolist()
        [[1.0, 0.0, -1.0]]
    """
    return centred(rewards) / (rewards.std(axis=1, ddof=1, keepdims=True) + epsilon)


def per_objective(credit: Array, rule: AdvantageRule, order: Order) -> Array:
    """Return each objective's own advantages, of the shape of `credit`.

    With "normalise_first" they are in standard deviations of the objective: within the group or over the batch,
    wherever the rule compares.

    Args:
        credit: What decisions are judged by, (P, G, K) or (P, G, T, K); they are compared at the same t.
        rule: Gives the advantage function.
        order: Order of weighing and normalising.
    """
    credit = np.asarray(credit, dtype=np.float64)
    advantages = _of_each_slice(rule.advantage, credit)
    if order == "weigh_first" or rule.normalises:
        return advantages
    return advantages / (credit.std(axis=1 if rule.group else (0, 1), ddof=1, keepdims=True) + rule.epsilon)


@dataclass(frozen=True)
class SplitWeights:
    """Weights as a direction and two factors, whose product is the weights' sum.

    Attributes:
        direction: Weights (K,) that sum to 1.
        before: Multiplies the rewards, as arXiv 2509.11452 publishes it: a normalisation behind it cancels it.
        behind: Multiplies the advantages, behind all normalisations. A gradient is clipped as if it were not there:
            clipping to a fixed norm would cancel it.

    Example:
        >>> from paretune.weighting import FixedWeighting
        >>> SplitWeights.of(FixedWeighting([3, 1]))
        SplitWeights(direction=array([0.75, 0.25]), before=1.0, behind=1.0)
    """

    direction: Array
    before: float = 1.0
    behind: float = 1.0

    @classmethod
    def of(cls, weighting: Weighting) -> SplitWeights:
        """Return the present weights of a strategy: their sum goes behind, unless it is to multiply the rewards."""
        direction, scale = weighting.direction, weighting.scale
        return cls(direction, before=scale) if weighting.scale_rewards else cls(direction, behind=scale)

    @property
    def of_rewards(self) -> Array:
        """What a trainer that weighs rewards weighs them with (K,)."""
        return self.before * self.direction


def weighed(credit: Array, weights: SplitWeights, rule: AdvantageRule, order: Order) -> Array:
    """Return weighed advantages (P, G), or (P, G, T); with "normalise_first" not yet normalised over the batch.

        weigh_first:      A = advantage(sum_k w_k r_k)
        normalise_first:  A = sum_k w_k advantage_k(r_k)

    Args:
        credit: What decisions are judged by: the rewards r of responses (P, G, K), or (P, G, T, K).
        weights: Their direction w weighs, and their factor `before` multiplies r.
        rule: Gives the advantage function.
        order: Order of weighing and normalising.
    """
    credit = np.asarray(credit, dtype=np.float64) * weights.before
    if order == "weigh_first":
        return _of_each_slice(rule.advantage, credit @ weights.direction)
    return per_objective(credit, rule, order) @ weights.direction


def combined(
    credit: Array, weights: SplitWeights, rule: AdvantageRule, order: Order = "weigh_first"
) -> tuple[Array, float]:
    """Return advantages A (P, G), or (P, G, T), and the scale that is still to be applied: train with scale * A.

    They are those of `weighed`, with "normalise_first" normalised over the batch then (GDPO, arXiv 2601.05242).
    """
    advantages = weighed(credit, weights, rule, order)
    if order == "normalise_first":
        advantages = batch_normalised(advantages, rule.epsilon)
    return advantages, weights.behind


def batch_normalised(advantages: Array, epsilon: float = EPSILON) -> Array:
    """Return advantages (P, G), or (P, G, T), in standard deviations from their mean over the batch."""
    mean, std = advantages.mean(axis=(0, 1), keepdims=True), advantages.std(axis=(0, 1), ddof=1, keepdims=True)
    return (advantages - mean) / (std + epsilon)


def zero_variance_groups(rewards: Array) -> float:
    """Return the share of prompts whose responses all got the same vector reward (P, G, K): nothing to learn there."""
    return float((np.ptp(rewards, axis=1) == 0).all(axis=1).mean())


def conflict(advantages: Array, direction: Array) -> float:
    """Return how much of the objectives' weighed advantages (..., K) cancels, in [0, 1].

    1 - sum |sum_k w_k A_k| / sum sum_k |w_k A_k|, sums over decisions: 0 where all objectives agree on each.
    """
    weighed = advantages * direction
    total = np.abs(weighed).sum()
    return max(0.0, float(1 - np.abs(weighed.sum(axis=-1)).sum() / total)) if total > 0 else 0.0


def _of_each_slice(function: Callable[[Array], Array], values: Array) -> Array:
    """Apply a function of (P, G) to each slice of (P, G, ...)."""
    slices = values.reshape(*values.shape[:2], -1)
    return np.stack([function(slice_PG) for slice_PG in np.moveaxis(slices, 2, 0)], axis=2).reshape(values.shape)
