"""verl's PPO trainers with a weighting on their driver.

Shapes: B rows, K objectives.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import transfer_queue
from omegaconf import DictConfig
from verl.trainer.ppo.v1 import (
    PPOTrainer,
    PPOTrainerColocateAsync,
    PPOTrainerSeparateAsync,
    PPOTrainerSync,
)
from verl.trainer.ppo.v1.trainer_base import register_trainer

from paretune.integrations.driver import WeightingDriver
from paretune.integrations.verl.estimators import ESTIMATORS, TrainingStep, current_step, refuse_gradients
from paretune.integrations.verl.groups import find_groups
from paretune.integrations.verl.settings import VerlSettings
from paretune.weighting.advantages import Array
from paretune.weighting.bookkeeping import by_objective, flatten, standard_error_over_prompts

if TYPE_CHECKING:
    from transfer_queue import KVBatchMeta

STATE_FILE = "paretune.json"
"""Where a checkpoint folder (`global_step_N`) keeps the weighting's state and the archive."""

logger = logging.getLogger(__name__)
logger.setLevel(os.getenv("VERL_LOGGING_LEVEL", "INFO"))


class MultiObjectiveMixin(PPOTrainer):
    """What this package adds to verl's trainers; all of it runs on the driver, in the process of verl's task runner.

    A step: vector rewards out of the TransferQueue -> weighting -> advantages, by one of our estimators. A validation
    moves the weights of the steps behind it. State lies in the checkpoint folders, as `paretune.json`.

    Attributes:
        mode: verl's name of the trainer that is extended.
        driver: The strategy with its Pareto archive.
    """

    mode: ClassVar[str]

    def __init__(self, config: DictConfig) -> None:
        """Make verl's trainer, and check that the weighting fits.

        Args:
            config: verl's configuration, with settings under `paretune` (see `VerlSettings`).

        Raises:
            ValueError: If a setting cannot be combined with the weighting, or breaks its rule.
        """
        settings = VerlSettings.of(config)
        self.driver = settings.make_driver()
        _check(config, self.driver)
        self._order = settings.order
        self._step_metrics: dict[str, float] = {}
        config.trainer.v1.trainer_mode = self.mode  # verl looks up settings and behaviour by this name
        super().__init__(config)

    def step(self, metrics: dict[str, Any], timing_raw: dict[str, float]) -> KVBatchMeta:
        """Do verl's training step, and add weights, scale, hypervolume and what else is known of it to `metrics`."""
        batch = super().step(metrics, timing_raw)
        values = self.driver.metrics() | self._step_metrics
        metrics.update({f"paretune/{name}": value for name, value in values.items()})
        return batch

    def _compute_advantage(self, batch: KVBatchMeta, metrics: dict[str, Any]) -> KVBatchMeta:
        fields = transfer_queue.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"]
        )
        infos = [extra.get("reward_extra_info", {}) for extra in fields.pop("extra_fields").tolist()]
        rewards_BK = vector_rewards(infos, self.driver.objectives)
        step = TrainingStep(self.driver, self._order, rewards_BK, find_groups(batch.keys, batch.tags))
        with current_step(step):
            batch = super()._compute_advantage(batch, metrics)
        self._step_metrics = step.metrics
        return batch

    def _val_metrics_update(
        self,
        data_sources: list[str],
        sample_uids: list[str],
        reward_extra_infos_dict: dict[str, list[Any]],
        *args: Any,
        **kwargs: Any,
    ) -> dict[str, float]:
        """Take the mean rewards of all validation responses as the validation performance (K,).

        Its standard errors are over prompts, which may have several responses each.
        """
        metrics = super()._val_metrics_update(data_sources, sample_uids, reward_extra_infos_dict, *args, **kwargs)
        names, columns = reward_extra_infos_dict.keys(), reward_extra_infos_dict.values()
        infos = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        rewards_BK = vector_rewards(infos, self.driver.objectives)
        performance_K = rewards_BK.mean(axis=0)
        errors_K = standard_error_over_prompts(rewards_BK, sample_uids)
        self.driver.on_validation(performance_K.tolist(), self.global_steps, errors_K)
        metrics.update(flatten({"paretune/validation": by_objective(performance_K, self.driver.objectives)}))
        metrics["paretune/hypervolume"] = self.driver.archive.hypervolume()
        return metrics

    def _save_checkpoint(self) -> None:
        """Write our state first: verl names the checkpoint as the latest one when it has written its own."""
        folder = Path(self.config.trainer.default_local_dir, f"global_step_{self.global_steps}")
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = folder / f"{STATE_FILE}.unfinished"
        unfinished.write_text(json.dumps(self.driver.state_dict()))
        unfinished.replace(folder / STATE_FILE)
        super()._save_checkpoint()

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        if self.global_steps == 0:
            return
        trainer = self.config.trainer
        resumed = trainer.resume_from_path if trainer.resume_mode == "resume_path" else None
        file = Path(resumed or Path(trainer.default_local_dir, f"global_step_{self.global_steps}"), STATE_FILE)
        if file.exists():
            self.driver.load_state_dict(json.loads(file.read_text()))
        else:
            logger.warning("%s: there is no such file, so the weighting starts anew", file)


@register_trainer("paretune_sync")
class MultiObjectivePPOTrainerSync(MultiObjectiveMixin, PPOTrainerSync):
    """verl's trainer `sync` with a weighting."""

    mode = "sync"


@register_trainer("paretune_colocate_async")
class MultiObjectivePPOTrainerColocateAsync(MultiObjectiveMixin, PPOTrainerColocateAsync):
    """verl's trainer `colocate_async` with a weighting."""

    mode = "colocate_async"


@register_trainer("paretune_separate_async")
class MultiObjectivePPOTrainerSeparateAsync(MultiObjectiveMixin, PPOTrainerSeparateAsync):
    """verl's trainer `separate_async` with a weighting, which sees rewards in each of a step's parts."""

    mode = "separate_async"


def vector_rewards(infos: Sequence[Mapping[str, Any]], objectives: Sequence[str]) -> Array:
    """Return the rewards (B, K) out of what the reward function returned for each of B responses.

    Raises:
        ValueError: If a response lacks one.
    """
    for b, info in enumerate(infos):
        if missing := [name for name in objectives if info.get(name) is None]:
            raise ValueError(
                f"paretune.objectives: the reward function must return {missing[0]!r} for every response (a dict with "
                f"'score' and all of {', '.join(objectives)}), got {', '.join(map(str, info)) or 'nothing'} for "
                f"response {b}"
            )
    return np.array([[float(info[name]) for name in objectives] for info in infos])


def _check(config: DictConfig, driver: WeightingDriver) -> None:
    refuse_gradients(driver)
    algorithm, reward_model = config.algorithm, config.reward.reward_model
    rules = {
        f"algorithm.adv_estimator: must be one of {', '.join(ESTIMATORS)}, got {algorithm.adv_estimator!r}": (
            algorithm.adv_estimator in ESTIMATORS
        ),
        "algorithm.use_kl_in_reward: must be False, got True: the penalty would have no weight; use "
        "actor_rollout_ref.actor.use_kl_loss": not algorithm.use_kl_in_reward,
        f"actor_rollout_ref.rollout.n: must be at least 2, got {config.actor_rollout_ref.rollout.n}: the estimators "
        "compare responses to the same prompt": config.actor_rollout_ref.rollout.n >= 2,
        "reward.reward_model.enable_resource_pool: must be True with a reward model, got False: verl's validation "
        "hands on no vector rewards of one that shares the policy's devices": (
            not reward_model.enable or reward_model.enable_resource_pool
        ),
        f"trainer.test_freq: must be positive with weighting {driver.weighting.name!r}, which learns from validations, "
        f"got {config.trainer.test_freq}": (not driver.weighting.needs_validation or config.trainer.test_freq > 0),
    }
    for message, holds in rules.items():
        if not holds:
            raise ValueError(message)
