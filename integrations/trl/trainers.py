"""TRL's trainers with the rewards kept apart: strategies that need gradients, and multipliers, work in these.

Shapes: B responses of all processes (those to a prompt side by side), P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from trl import GRPOTrainer, RLOOTrainer

from paretune.integrations.trl.callback import DynamicWeightingCallback
from paretune.integrations.trl.gradients import drawn_responses, gram_of_batch, make_analyzer, split_of_batch
from paretune.weighting import Weighting
from paretune.weighting.advantages import (
    AdvantageRule,
    Order,
    SplitWeights,
    batch_normalised,
    centred,
    combined,
    grpo,
    per_objective,
    rloo,
)
from paretune.weighting.bookkeeping import show_gradients
from paretune.weighting.gradients.analyzer import Mode
from paretune.weighting.gradients.split import PARTS
from paretune.weighting.gram_estimate import GramEstimate, estimate_of_parts
from paretune.weighting.inputs import require_known

Array = NDArray[np.float64]
Aggregation = Literal["sum_then_normalize", "normalize_then_sum"]
Estimate = Literal["split", "batch"]
ORDERS: dict[str, Order] = {"sum_then_normalize": "weigh_first", "normalize_then_sum": "normalise_first"}

EPSILON = 1e-4
"""What TRL adds to standard deviations."""

GRPO_RULES = {
    "group": AdvantageRule(advantage=partial(grpo, epsilon=EPSILON), normalises=True, epsilon=EPSILON),
    "batch": AdvantageRule(advantage=lambda r: centred(r) / (r.std(ddof=1) + EPSILON), epsilon=EPSILON),
    "none": AdvantageRule(advantage=centred, epsilon=EPSILON),
}
"""Advantages by TRL's setting `scale_rewards`."""
RLOO_RULE = AdvantageRule(advantage=rloo, epsilon=EPSILON)

EITHER_TRAINER: Any = object
"""What `MultiObjectiveTrainer` stands in front of: either of TRL's trainers, which have no type in common."""


class MultiObjectiveTrainer(EITHER_TRAINER):
    """What both trainers add to TRL's: weights and advantages from the vector rewards of the same step.

    Attributes:
        weighting: The strategy.
        dynamic: The callback that follows evaluations and checkpoints; `dynamic.driver.archive` is the Pareto archive.
    """

    order: Order
    rule: AdvantageRule

    def __init__(
        self,
        *args: Any,
        weighting: Weighting,
        reference: Sequence[float] | None = None,
        gradient_parameters: str = "all",
        gradient_mode: Mode = "auto",
        gradient_estimate: Estimate = "split",
        gradient_parts: int = PARTS,
        gradient_responses: int | None = None,
        gradient_every: int = 1,
        **kwargs: Any,
    ) -> None:
        """Make TRL's trainer, and check that the weighting fits.

        Args:
            *args: TRL's arguments.
            weighting: The strategy, with as many weights as there are reward functions.
            reference: Reference point (K,) of the logged hypervolume; None is zeros.
            gradient_parameters: Which parameters' gradients strategies compare that need gradients, see
                `paretune.weighting.GradientAnalyzer`.
            gradient_mode: How they are compared, see there.
            gradient_estimate: "split" for products of the gradients of different parts of a generation's prompts,
                which have no bias and come with their errors, or "batch" for those of the batch's gradients with
                themselves, as arXiv 2509.11452 has it.
            gradient_parts: How many parts, at least 2; of fewer prompts, each is one. Errors are known from 4 on.
            gradient_responses: On how many of a generation's responses, which are drawn so that they stand for all
                (`paretune.weighting.gradients.compared_responses`); None is a quarter, at least 8.
            gradient_every: At every how many generations; in between the last comparison holds.
            **kwargs: TRL's arguments.

        Raises:
            ValueError: If the weighting does not fit, or a setting cannot be combined with it.
        """
        require_known("gradient_estimate", gradient_estimate, get_args(Estimate))
        least = 2 if gradient_estimate == "split" else 1
        numbers = [("gradient_responses", gradient_responses, least), ("gradient_every", gradient_every, 1)]
        for name, value, lowest in [*numbers, ("gradient_parts", gradient_parts, 2)]:
            if value is not None and value < lowest:
                raise ValueError(f"{name}: must be at least {lowest}, got {value}")
        super().__init__(*args, **kwargs)
        prompts = self.args.generation_batch_size // self.num_generations
        if weighting.needs_gram and gradient_estimate == "split" and prompts < 2:
            raise ValueError(
                f"generation_batch_size: must hold at least 2 prompts ({self.num_generations} responses each) where "
                f'gradients of different ones are compared, got {prompts}; gradient_estimate="batch" does with one'
            )
        self.weighting = weighting
        self.dynamic = DynamicWeightingCallback(weighting, reference)
        self.dynamic.bind(self)
        self._gradient_options = gradient_parameters, gradient_mode
        self._analyzer = make_analyzer(self, *self._gradient_options) if weighting.needs_gram else None
        self._gradient_responses, self._gradient_every = gradient_responses, gradient_every
        self._parts = gradient_parts if gradient_estimate == "split" else None
        self._generations = 0
        self._gram: Array | GramEstimate = np.empty((0, 0))
        self._rewards_PGK = np.empty((0, 0, 0))
        self._weights = SplitWeights.of(weighting)

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        rewards_BK = super()._calculate_rewards(*args, **kwargs)
        if self.model.training:
            self._rewards_PGK = self.dynamic.on_rewards(rewards_BK)
            self._take_weights()
        else:
            self.dynamic.on_evaluation_rewards(rewards_BK)
        return rewards_BK

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        """Let TRL sample, score and log; then put our advantages in the place of its own."""
        batch = super()._generate_and_score_completions(inputs)
        if self.model.training:
            judged_PGK = per_objective(self._rewards_PGK, self.rule, self.order)
            if self.weighting.needs_gram:
                self._compare_gradients(batch, judged_PGK)
            self._take_weights()
            theirs_B = self.accelerator.gather(batch["advantages"])
            advantages_B = self._advantages(theirs_B.cpu().double().numpy()).ravel()
            ours = torch.tensor(advantages_B[self._share(batch)], dtype=theirs_B.dtype, device=theirs_B.device)
            batch["advantages"] = ours
            self._log(advantages_B, judged_PGK)
        else:
            for name in self.reward_func_names:
                self._logs["extra"][f"advantage_{name}"].extend([None] * self._everywhere(batch))
        return batch

    def _advantages(self, theirs: Array) -> Array:
        """Return the advantages (P, G) that the policy is trained with; `theirs` (B,) are TRL's."""
        raise NotImplementedError

    def _compare_gradients(self, batch: dict[str, Any], judged_PGK: Array) -> None:
        if self._generations % self._gradient_every == 0:
            self._gram = self._compared(batch, judged_PGK.reshape(-1, judged_PGK.shape[-1])[self._share(batch)])
        self._generations += 1
        show_gradients(self._gram, self._get_learning_rate(), self.weighting)

    def _compared(self, batch: dict[str, Any], own_BK: Array) -> Array | GramEstimate:
        if self._analyzer is None:
            self._analyzer = make_analyzer(self, *self._gradient_options)
        step, number = self.state.global_step, self._gradient_responses
        self._analyzer.redraw(step)
        rng, split = np.random.default_rng((self.args.seed, step)), None
        if self._parts is not None:
            split = split_of_batch(self, batch, min(self._parts, number or self._parts), rng)
        rows, factors_B = drawn_responses(self, batch, own_BK, number, rng, split)
        products = gram_of_batch(self, self._analyzer, batch, own_BK * factors_B[:, None], rows, split)
        return products if split is None else estimate_of_parts(products, split.shares)

    def _take_weights(self) -> None:
        """Take the strategy's present weights, and give TRL what rewards are weighed with."""
        self._weights = SplitWeights.of(self.weighting)
        self.dynamic.set_weights(self._weights.of_rewards)

    def _share(self, batch: dict[str, Any]) -> slice:
        """Return which of all responses are this process's."""
        size, rank = len(batch["advantages"]), self.accelerator.process_index
        return slice(rank * size, (rank + 1) * size)

    def _everywhere(self, batch: dict[str, Any]) -> int:
        return len(batch["advantages"]) * self.accelerator.num_processes

    def _log(self, advantages_B: Array, judged_PGK: Array) -> None:
        """Correct TRL's logs where weights moved after it logged, and add ours."""
        metrics, logs = self._metrics["train"], self._logs
        weighed_PG = self._rewards_PGK @ self._weights.of_rewards
        metrics["reward"][-1], metrics["reward_std"][-1] = float(weighed_PG.mean()), float(weighed_PG.std(ddof=1))
        for _ in advantages_B:
            logs["advantages"].pop()
        logs["advantages"].extend(advantages_B.tolist())
        for k, name in enumerate(self.reward_func_names):
            logs["extra"][f"advantage_{name}"].extend(judged_PGK[..., k].ravel().tolist())
        assert self.dynamic.driver is not None
        for name, value in self.dynamic.driver.advantage_metrics(self._rewards_PGK, judged_PGK).items():
            metrics[name].append(value)
        self.dynamic.log()

    def _clip_grad_norm(self, model: Any) -> Any:
        """Clip as if there were no multiplier: clipping to a fixed norm would cancel it."""
        args = self.args
        limit = args.max_grad_norm
        args.max_grad_norm = limit * self._weights.behind
        try:
            return super()._clip_grad_norm(model)
        finally:
            args.max_grad_norm = limit


class MultiObjectiveGRPOTrainer(MultiObjectiveTrainer, GRPOTrainer):
    """GRPOTrainer with any paretune weighting; settings and further arguments are TRL's.

    Each step: rewards of all processes -> weights -> advantages, by TRL's `multi_objective_aggregation` and
    `scale_rewards`; a multiplier comes after that normalisation. The completions table and the logs have each
    objective's advantage besides.

    Example:
        >>> from paretune.weighting import GradientWeighting
        >>> # trainer = MultiObjectiveGRPOTrainer(model, reward_funcs, args, dataset, weighting=GradientWeighting(3))
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the trainer; for the arguments see `MultiObjectiveTrainer`."""
        super().__init__(*args, **kwargs)
        self.order = ORDERS[self.multi_objective_aggregation]
        # with "normalize_then_sum" TRL divides by the groups' standard deviations, whatever scale_rewards says
        self.rule = GRPO_RULES[self.scale_rewards if self.order == "weigh_first" else "group"]

    def _advantages(self, theirs: Array) -> Array:
        advantages_PG, scale = combined(self._rewards_PGK, self._weights, self.rule, self.order)
        return scale * advantages_PG


class MultiObjectiveRLOOTrainer(MultiObjectiveTrainer, RLOOTrainer):
    """RLOOTrainer with any paretune weighting, and with both orders of aggregation.

    TRL's RLOO subtracts beta * KL from the rewards. Here this penalty joins behind the objectives' weights, and is
    multiplied and normalised with them.

    Attributes:
        multi_objective_aggregation: "sum_then_normalize" or "normalize_then_sum", as in TRL's GRPOTrainer.
    """

    def __init__(
        self, *args: Any, multi_objective_aggregation: Aggregation = "sum_then_normalize", **kwargs: Any
    ) -> None:
        """Make the trainer.

        Args:
            *args: Those of `MultiObjectiveTrainer` and TRL.
            multi_objective_aggregation: "sum_then_normalize" weighs rewards first; "normalize_then_sum" divides each
                objective by its groups' standard deviations, weighs, and normalises over the batch.
            **kwargs: Those of `MultiObjectiveTrainer` and TRL.

        Raises:
            ValueError: If an argument breaks its rule.
        """
        if multi_objective_aggregation not in get_args(Aggregation):
            raise ValueError(
                f"multi_objective_aggregation: must be one of {', '.join(get_args(Aggregation))}, got "
                f"{multi_objective_aggregation!r}"
            )
        super().__init__(*args, **kwargs)
        self.multi_objective_aggregation = multi_objective_aggregation
        self.order, self.rule = ORDERS[multi_objective_aggregation], RLOO_RULE
        if self.reward_clip_range and self.order == "normalise_first":
            raise ValueError(
                f"reward_clip_range: must be None with normalize_then_sum, which has no weighed reward to clip, got "
                f"{self.reward_clip_range}"
            )
        # TRL's own normalisation is left to us: what it makes of the rewards must stay linear in its KL penalty.
        self._normalise, self.normalize_advantages = self.normalize_advantages, False
        self._first_weights = self._weights.of_rewards

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        rewards_BK = super()._calculate_rewards(*args, **kwargs)
        self._first_weights = self.reward_weights.double().numpy()
        return rewards_BK

    def _advantages(self, theirs: Array) -> Array:
        weights, normalises_first = self._weights, self.order == "normalise_first"
        if normalises_first:
            advantages_PG = per_objective(self._rewards_PGK, self.rule, self.order) @ weights.of_rewards
        else:
            advantages_PG = self._leave_one_out(weights.of_rewards)
        if self.beta != 0.0:  # what TRL's advantages hold beside the rewards is its penalty
            shape = advantages_PG.shape
            advantages_PG = advantages_PG + (theirs.reshape(shape) - self._leave_one_out(self._first_weights))
        if normalises_first or self._normalise:
            advantages_PG = batch_normalised(advantages_PG, self.rule.epsilon)
        return weights.behind * advantages_PG

    def _leave_one_out(self, weights: Array) -> Array:
        """Return the advantages (P, G) of rewards weighed with `weights` (K,)."""
        rewards_PG = self._rewards_PGK @ weights
        return rloo(np.clip(rewards_PG, *self.reward_clip_range) if self.reward_clip_range else rewards_PG)
