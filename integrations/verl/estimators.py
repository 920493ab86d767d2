"""Advantage estimators for verl that combine vector rewards by a weighting.

verl hands estimators the sum of rewards alone. The trainers of this package put the vector rewards of a step beside it.

Shapes: B rows, T tokens, K objectives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from paretune.integrations.driver import WeightingDriver
from paretune.integrations.verl.groups import Groups, advantages_of_rows
from paretune.weighting.advantages import (
    AdvantageRule,
    Array,
    Order,
    SplitWeights,
    centred,
    grpo,
    per_objective,
    rloo,
)
from paretune.weighting.bookkeeping import reward_statistics

GRPO_RULE = AdvantageRule(advantage=grpo, normalises=True)
CENTRED_RULE = AdvantageRule(advantage=centred)
RLOO_RULE = AdvantageRule(advantage=rloo)


@dataclass
class TrainingStep:
    """What a trainer knows of a step that verl does not hand to estimators.

    Attributes:
        driver: The strategy with its archive.
        order: Order of weighing and normalising.
        rewards: Vector rewards (B, K) of all rows.
        groups: Which rows answer the same prompt.
        metrics: What an estimator wants logged.
    """

    driver: WeightingDriver
    order: Order
    rewards: Array
    groups: Groups
    metrics: dict[str, float] = field(default_factory=dict)

    def advantages(self, rule: AdvantageRule) -> Array:
        """Show the weighting the rewards, and return the advantages (B,) with the weights that come of it.

        Raises:
            ValueError: If the strategy turns out to need gradients, or a reward is missing.
        """
        rows_PG = self.groups.most
        rewards_PGK = self.driver.on_rewards(self.rewards[rows_PG.ravel()], rows_PG.shape[1])
        refuse_gradients(self.driver)
        self._log(rewards_PGK, rule)
        weights = SplitWeights.of(self.driver.weighting)
        return advantages_of_rows(self.rewards, self.groups, weights, rule, self.order)

    def _log(self, rewards_PGK: Array, rule: AdvantageRule) -> None:
        judged_PGK = per_objective(rewards_PGK, rule, self.order)
        for name, statistics in reward_statistics(rewards_PGK, self.driver.objectives).items():
            self.metrics |= {f"rewards/{name}/{each}": statistics[each] for each in ("mean", "std")}
        self.metrics |= self.driver.advantage_metrics(rewards_PGK, judged_PGK)


_current: ContextVar[TrainingStep | None] = ContextVar("paretune_verl_step", default=None)


@contextmanager
def current_step(step: TrainingStep) -> Iterator[None]:
    """Let the estimators see `step` while verl calls them."""
    token = _current.set(step)
    try:
        yield
    finally:
        _current.reset(token)


@register_adv_est("paretune_grpo")
def paretune_grpo(
    token_level_rewards: Tensor, response_mask: Tensor, config: Mapping[str, Any] | None = None, **_: Any
) -> tuple[Tensor, Tensor]:
    """Return GRPO's advantages and returns, both (B, T), of the vector rewards of the current step.

    `algorithm.norm_adv_by_std_in_grpo=False` leaves out the division by the groups' standard deviations, as in verl's
    own `grpo`.

    Args:
        token_level_rewards: verl's rewards (B, T); only their device and type are used.
        response_mask: 1 where a token was written by the policy, (B, T).
        config: verl's `algorithm`.
        _: What else verl hands to estimators.

    Raises:
        ValueError: If the trainer is not one of this package's.
    """
    normalises = (config or {}).get("norm_adv_by_std_in_grpo", True)
    return _estimate("paretune_grpo", token_level_rewards, response_mask, GRPO_RULE if normalises else CENTRED_RULE)


@register_adv_est("paretune_rloo")
def paretune_rloo(token_level_rewards: Tensor, response_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
    """Return RLOO's advantages and returns, both (B, T); else as `paretune_grpo`."""
    return _estimate("paretune_rloo", token_level_rewards, response_mask, RLOO_RULE)


ESTIMATORS = ("paretune_grpo", "paretune_rloo")


def refuse_gradients(driver: WeightingDriver) -> None:
    """Refuse a strategy that needs gradients.

    Raises:
        ValueError: If it does.
    """
    if driver.weighting.needs_gram:
        raise ValueError(
            f"paretune.weighting: {driver.weighting.name!r} needs the objectives' gradients, and verl has no extension "
            "point that shows them; use a strategy that learns from rewards or validations, or paretune's own agents "
            "or TRL trainers"
        )


def _estimate(name: str, rewards_BT: Tensor, response_mask: Tensor, rule: AdvantageRule) -> tuple[Tensor, Tensor]:
    step = _current.get()
    if step is None:
        raise ValueError(
            f"algorithm.adv_estimator: {name!r} needs vector rewards, which verl's own trainers do not hand on; set "
            "trainer.v1.trainer_mode to paretune_sync, paretune_colocate_async or paretune_separate_async"
        )
    advantages_B = torch.tensor(step.advantages(rule), dtype=rewards_BT.dtype, device=rewards_BT.device)
    advantages_BT = advantages_B[:, None] * response_mask
    return advantages_BT, advantages_BT
