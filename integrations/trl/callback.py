"""A weighting that drives the reward weights of a trainer that is otherwise left as it is.

Shapes: B responses of all processes, K reward functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState
from trl import GRPOTrainer, RLOOTrainer

from paretune.integrations.driver import Array, WeightingDriver
from paretune.weighting import Weighting
from paretune.weighting.advantages import SplitWeights
from paretune.weighting.bookkeeping import standard_error_over_prompts

TRLTrainer = GRPOTrainer | RLOOTrainer


class DynamicWeightingCallback(TrainerCallback, ExportableState):
    """Sets the `reward_weights` of a GRPOTrainer or RLOOTrainer by a paretune weighting.

    Events of a step: the trainer computes its rewards; the weighting sees those of all processes; the trainer weighs
    the same rewards with the weights that come of it. So there is no lag: it is what our own agents do. It happens
    whenever the trainer samples, which is once in `steps_per_generation * num_iterations` micro-steps. Evaluations are
    validations, and move the weights of the steps after them; responses are sampled there at the trainer's own
    temperature, so that training rewards and validations measure the same. The standard errors of an evaluation's means
    are over its prompts. For strategies that need validations, set `eval_on_start=True` as well.

    State goes into the trainer's checkpoints and comes back on resume. The trainer's logs have `weights/NAME`, `scale`,
    `hypervolume`, `archive_size` and what else the strategy reports.

    Strategies that need gradients need the trainers in `paretune.integrations.trl`; so do those that multiply all
    weights (`hypervolume`), unless the trainer is set not to normalise them away.

    Attributes:
        weighting: The strategy.
        driver: The strategy with its Pareto archive, once attached.

    Example:
        >>> from paretune.weighting import SAWWeighting
        >>> callback = DynamicWeightingCallback(SAWWeighting(3))
        >>> # trainer = GRPOTrainer(...); callback.attach(trainer); trainer.train()
    """

    def __init__(self, weighting: Weighting, reference: Sequence[float] | None = None) -> None:
        """Wait for a trainer.

        Args:
            weighting: The strategy, with as many weights as the trainer has reward functions.
            reference: Reference point (K,) of the logged hypervolume; None is zeros.
        """
        self.weighting = weighting
        self.driver: WeightingDriver | None = None
        self._reference = reference
        self._trainer: Any = None
        self._evaluated: list[Array] = []  # rewards (B, K) of the evaluation under way, by batch

    def attach(self, trainer: TRLTrainer) -> Self:
        """Drive the reward weights of `trainer` from now on; it need not be among its callbacks before.

        Raises:
            ValueError: If the trainer's settings do not fit the weighting.
        """
        self._refuse_gradients(trainer)
        if self.weighting.moves_scale and not self.weighting.scale_rewards:
            self._refuse_cancelled_scale(trainer)
        self.bind(trainer)
        calculate = trainer._calculate_rewards

        def calculate_and_weigh(*args: Any, **kwargs: Any) -> Tensor:
            rewards_BK = calculate(*args, **kwargs)
            assert trainer.model is not None
            if trainer.model.training:
                self.on_rewards(rewards_BK)
                self._refuse_gradients(trainer)
                if abs(SplitWeights.of(self.weighting).behind - 1) > 1e-9:
                    self._refuse_cancelled_scale(trainer)
                self.set_weights(self.weighting.weights)
                self.log()
            else:
                self.on_evaluation_rewards(rewards_BK)
            return rewards_BK

        self._trainer._calculate_rewards = calculate_and_weigh
        return self

    def bind(self, trainer: TRLTrainer) -> None:
        """Follow the evaluations and checkpoints of `trainer`, and leave its training steps alone.

        Raises:
            ValueError: If the trainer's settings do not fit the weighting, or another callback weighs its rewards.
        """
        callbacks = trainer.callback_handler.callbacks
        others = [c for c in callbacks if isinstance(c, DynamicWeightingCallback) and c is not self]
        if self._trainer is not None or others:
            raise ValueError("attach: must be called once for a trainer, with one callback, got another call")
        args = trainer.args
        if args.restore_callback_states_from_checkpoint:
            raise ValueError(
                "restore_callback_states_from_checkpoint: must be False, got True: it makes new callbacks, which know "
                "no trainer; this one restores itself"
            )
        if isinstance(trainer.eval_dataset, dict) and len(trainer.eval_dataset) > 1:
            raise ValueError(
                f"eval_dataset: must be one dataset, got {len(trainer.eval_dataset)}: an evaluation is a validation"
            )
        if self.weighting.needs_validation and args.eval_strategy == "no":
            raise ValueError(
                f"eval_strategy: must not be 'no' with weighting {self.weighting.name!r}, which learns from "
                "evaluations (eval_on_start=True gives it the first one)"
            )
        self.driver = WeightingDriver(self.weighting, trainer.reward_func_names, self._reference)
        self._trainer = trainer
        if self not in callbacks:
            trainer.add_callback(self)
        self.set_weights(self.weighting.direction)

    def on_rewards(self, rewards: Tensor) -> Array:
        """Show the weighting the rewards (B, K) of all processes, and return them as (P, G, K)."""
        assert self.driver is not None
        return self.driver.on_rewards(rewards.cpu().numpy(), self._trainer.num_generations)

    def on_evaluation_rewards(self, rewards: Tensor) -> None:
        """Keep the rewards (B, K) of a batch of an evaluation, of all processes, for the standard errors."""
        self._evaluated.append(rewards.cpu().double().numpy())

    def set_weights(self, weights: Array) -> None:
        """Set the trainer's reward weights (K,)."""
        self._trainer.reward_weights = torch.tensor(weights, dtype=torch.float32)

    def log(self) -> None:
        """Put weights, scale, hypervolume and the archive's size into the trainer's next log."""
        assert self.driver is not None
        for name, value in self.driver.metrics().items():
            self._trainer._metrics["train"][name].append(value)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Take over the state of the checkpoint that training resumes from.

        Raises:
            ValueError: If it is that of another strategy, or `attach` was forgotten.
        """
        if self.driver is None:
            raise ValueError(
                "DynamicWeightingCallback: must be attached, because transformers shows callbacks no trainer; write "
                "callback.attach(trainer) behind trainer = ..."
            )
        assert isinstance(state.stateful_callbacks, dict)
        kept = state.stateful_callbacks.setdefault(type(self).__name__, self.state())
        if kept["attributes"]:
            self.driver.load_state_dict(kept["attributes"])
        self.set_weights(self.weighting.direction)

    def on_evaluate(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Take the mean rewards of an evaluation as the validation performance (K,), unless it is one with a prefix."""
        metrics: dict[str, float] = kwargs["metrics"]
        batches, self._evaluated = self._evaluated, []
        if self.driver is not None and "eval_runtime" in metrics:
            performance_K = [metrics[f"eval_rewards/{name}/mean"] for name in self.driver.objectives]
            errors_K = self._standard_error(batches)
            self.driver.on_validation(performance_K, state.global_step, errors_K)

    def state(self) -> dict[str, Any]:
        """What transformers writes into trainer_state.json."""
        return {"args": {}, "attributes": {} if self.driver is None else self.driver.state_dict()}

    def _standard_error(self, batches: Sequence[Array]) -> Array | None:
        """Return the standard error (K,) of an evaluation over its prompts; NaN where rewards are missing."""
        if not batches:
            return None
        rewards_BK = np.concatenate(batches)
        return standard_error_over_prompts(rewards_BK, np.arange(len(rewards_BK)) // self._trainer.num_generations_eval)

    def _refuse_gradients(self, trainer: TRLTrainer) -> None:
        if self.weighting.needs_gram:
            raise ValueError(
                f"weighting: {self.weighting.name!r} needs the objectives' gradients, which no callback can see: use "
                f"MultiObjective{_kind(trainer)}"
            )

    def _refuse_cancelled_scale(self, trainer: TRLTrainer) -> None:
        changes, kind = what_cancels_scale(trainer), _kind(trainer)
        if changes:
            raise ValueError(
                f"weighting: {self.weighting.name!r} multiplies all weights by a common factor, which the "
                f"normalisation of {kind} cancels: set {changes} in {kind.removesuffix('Trainer')}Config, or use "
                f"MultiObjective{kind}, which multiplies behind it"
            )


def what_cancels_scale(trainer: TRLTrainer) -> str:
    """Return the settings to change so that a common factor of all rewards reaches the advantages; "" if it does."""
    if isinstance(trainer, RLOOTrainer):
        return "normalize_advantages=False" if trainer.normalize_advantages else ""
    changes = []
    if trainer.multi_objective_aggregation != "sum_then_normalize":
        changes.append('multi_objective_aggregation="sum_then_normalize"')
    if trainer.scale_rewards != "none":
        changes.append('scale_rewards="none"')
    return " and ".join(changes)


def _kind(trainer: TRLTrainer) -> str:
    return "RLOOTrainer" if isinstance(trainer, RLOOTrainer) else "GRPOTrainer"
