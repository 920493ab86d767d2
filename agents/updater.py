"""Optimizer updates of a policy from one step's decisions.

Shapes: B sequences of decisions (responses or episodes), T decisions, K objectives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from transformers import get_scheduler

from paretune.agents.losses import importance_weights, loss_terms, token_weights
from paretune.agents.policy import Decisions, Policy
from paretune.agents.processes import Processes
from paretune.agents.settings import AgentSettings, LossMean
from paretune.agents.sharding import whole
from paretune.weighting import GradientAnalyzer

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStatistics:
    """What one optimizer update did.

    Attributes:
        loss: The loss that was minimised.
        kl: KL divergence to the reference, 0 without one; a mean over decisions of the loss's kind.
        entropy: Entropy in nats, 0 where it is not rewarded; a mean over decisions of the loss's kind.
        clip_fraction: Share of decisions whose gradient the clip range cut off.
        grad_norm: The gradient's norm before clipping.
        log_prob_gap: Mean over decisions of how far the sampler's log-probabilities are from the trainer's, in nats.
        log_prob_gap_max: The largest such difference.
        padding: Share of the forward passes that was padding.
    """

    loss: float
    kl: float
    entropy: float
    clip_fraction: float
    grad_norm: float
    log_prob_gap: float
    log_prob_gap_max: float
    padding: float


def learning_rates(settings: AgentSettings, horizon: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the training step (from 0) for a run of `horizon` steps."""
    peak = settings.lr
    assert peak is not None
    nothing = torch.optim.SGD([torch.zeros(1)], lr=peak)
    name = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
    shape = {"power": 2.0, "lr_end": 0.0} if name == "polynomial" else None
    schedule = get_scheduler(name, nothing, settings.warmup, horizon, scheduler_specific_kwargs=shape)
    factor = schedule.lr_lambdas[0]
    return lambda step: peak * factor(step)


@dataclass
class Updater:
    """AdamW on the policy-gradient loss, in mini-batches and micro-batches.

    Attributes:
        policy: The policy that is trained.
        settings: The agent's settings.
        clip: Clip range in effect; 0 is none.
        loss_mean: Mean over decisions in effect.
        longest: Most decisions of a sequence.
        reference: Policy that the KL term compares with, if any.
        processes: Those that train together, each on its share of the sequences.
    """

    policy: Policy
    settings: AgentSettings
    clip: float
    loss_mean: LossMean
    longest: int
    reference: Policy | None = None
    processes: Processes = field(default_factory=Processes)
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        """Make the optimizer."""
        self.trained = [parameter for parameter in self.policy.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, weight_decay=self.settings.weight_decay)

    def update(
        self, decisions: Decisions, advantages: NDArray[np.float64], scale: float, lr: float, rng: np.random.Generator
    ) -> dict[str, float]:
        """Make this step's optimizer updates.

        Args:
            decisions: B sequences of decisions, this process's share.
            advantages: One per sequence (B, 1), or per decision (B, T).
            scale: A factor that the advantages carry. Gradients are clipped as if they did not: clipping to a fixed
                norm would cancel the factor.
            lr: Learning rate.
            rng: Source of the order of mini-batches.

        Returns:
            The means of `UpdateStatistics` over the updates, by name; of maxima the largest.

        Raises:
            RuntimeError: If the gradient is not finite; the policy is left as it was.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        advantages_BT = torch.as_tensor(advantages, dtype=torch.float32, device=self.policy.device)
        lengths = self.processes.concatenated(decisions.lengths)
        rows = np.arange(len(lengths))
        several = self.settings.epochs * self.settings.minibatches > 1
        old_BT = self._sampled_log_probs(decisions, np.arange(len(advantages))) if several else None
        statistics = []
        for _ in range(self.settings.epochs):
            order = rng.permutation(rows) if self.settings.minibatches > 1 else rows
            for minibatch in np.array_split(order, self.settings.minibatches):
                statistics.append(self._one_update(decisions, advantages_BT, scale, old_BT, minibatch, lengths))
        values = {name: [asdict(one)[name] for one in statistics] for name in asdict(statistics[0])}
        return {name: float((np.max if name.endswith("_max") else np.mean)(each)) for name, each in values.items()}

    def _one_update(
        self,
        decisions: Decisions,
        advantages_BT: Tensor,
        scale: float,
        old_BT: Tensor | None,
        rows: Rows,
        lengths: NDArray[np.int64],
    ) -> UpdateStatistics:
        self.optimizer.zero_grad(set_to_none=True)
        sums, gap_max = dict.fromkeys(("policy", "kl", "entropy", "clipped", "gap", "padding", "size"), 0.0), 0.0
        for part_rows, part, weights_BT in self._micro_batches(decisions, rows, lengths):
            counted_BT = weights_BT > 0
            reference = None if self.reference is None else self._no_grad_log_probs(self.reference, part)
            log_probs, entropies = self._log_probs(part)
            old = log_probs.detach() if old_BT is None else old_BT[part_rows, : log_probs.shape[1]]
            terms = loss_terms(log_probs, old, advantages_BT[part_rows, : log_probs.shape[1]], self.clip, reference)
            loss = (terms.policy * weights_BT * self._importance(old, part)).sum()
            sums["policy"] += loss.item()
            if terms.kl is not None:
                part_kl = (terms.kl * weights_BT).sum()
                sums["kl"] += part_kl.item()
                loss = loss + self.settings.kl * part_kl
            if entropies is not None:
                part_entropy = (entropies * weights_BT).sum()
                sums["entropy"] += part_entropy.item()
                loss = loss - self.settings.entropy * part_entropy
            loss.backward()
            sums["clipped"] += int((terms.clipped & counted_BT).sum())
            gaps_BT = (old - part.log_probs).abs() * counted_BT
            sums["gap"] += gaps_BT.sum().item()
            gap_max = max(gap_max, gaps_BT.max().item())
            for name, count in zip(("padding", "size"), part.padding, strict=True):
                sums[name] += count if counted_BT.any() else 0
        if not self.policy.sharded:  # else the backward passes have summed them
            self.processes.sum_gradients(self.trained)
        sums = self.processes.summed(sums)
        limit = scale * (self.settings.max_grad_norm or math.inf)
        grad_norm = clip_grad_norm_(self.trained, limit, error_if_nonfinite=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # again: sampling needs the memory
        number = int(lengths[rows].sum())
        return UpdateStatistics(
            loss=sums["policy"] + self.settings.kl * sums["kl"] - self.settings.entropy * sums["entropy"],
            kl=sums["kl"],
            entropy=sums["entropy"],
            clip_fraction=sums["clipped"] / number,
            grad_norm=float(whole(grad_norm)),
            log_prob_gap=sums["gap"] / number,
            log_prob_gap_max=max(self.processes.gathered(gap_max)),
            padding=sums["padding"] / sums["size"],
        )

    def gram(
        self, analyzer: GradientAnalyzer, decisions: Decisions, advantages: NDArray[np.float64], rows: Rows
    ) -> NDArray[np.float64]:
        """Return the Gram matrix (K, K) of the objectives' policy gradients over the sequences `rows`.

        Args:
            analyzer: Analyzer of the policy's model.
            decisions: B sequences of decisions.
            advantages: The objectives' advantages, (B, 1, K) or (B, T, K).
            rows: The sequences that are analysed, by their numbers among those of all processes.
        """
        single = advantages.shape[1] == 1
        lengths = self.processes.concatenated(decisions.lengths)
        parts = list(self._micro_batches(decisions, rows, lengths))
        own = sum(len(part_rows) if single else int(part.mask.sum()) for part_rows, part, _ in parts)
        number = sum(self.processes.gathered(own))
        for i, (part_rows, part, weights_BT) in enumerate(parts):
            mask = part.mask.cpu().numpy()
            with analyzer.watch(part.mask.nonzero()[:, 0] if single else None):
                log_probs_BT = self.policy.log_probs(part, self.settings.temperature)
                weighed_BT = log_probs_BT * weights_BT * self._importance(log_probs_BT, part)
                scores = weighed_BT.sum(1) if single else weighed_BT[part.mask]  # one for each decision
            scores = scores * number  # the analyzer takes the mean of the scores, the loss their sum
            judged_BTK = advantages[part_rows, : mask.shape[1]]
            coefficients = judged_BTK[:, 0] if single else judged_BTK[mask]
            if i < len(parts) - 1:
                analyzer.add(scores, coefficients)
        return analyzer.gram(scores, coefficients)

    def _importance(self, log_probs: Tensor, part: Decisions) -> Tensor | float:
        cap = self.settings.importance_cap
        return 1.0 if cap is None else importance_weights(log_probs, part.log_probs, cap)

    def _log_probs(self, part: Decisions) -> tuple[Tensor, Tensor | None]:
        if self.settings.entropy > 0:
            return self.policy.log_probs_and_entropies(part, self.settings.temperature)
        return self.policy.log_probs(part, self.settings.temperature), None

    def _micro_batches(
        self, decisions: Decisions, rows: Rows, lengths: NDArray[np.int64]
    ) -> Iterator[tuple[Rows, Decisions, Tensor]]:
        """Yield this process's share of the sequences `rows` in parts, with what each decision weighs in the loss.

        Args:
            decisions: This process's share of all sequences.
            rows: Numbers of sequences, of all processes.
            lengths: Lengths of the sequences of all processes.

        Yields:
            Places in `decisions`, the decisions there, and their weights.
        """
        own, total = self.processes.share(len(lengths)), int(lengths[rows].sum())
        places = rows[(rows >= own.start) & (rows < own.stop)] - own.start
        for part_rows, counts in self._passes(decisions, places):
            part = decisions.select(part_rows)
            weights_BT = token_weights(part.mask, self.loss_mean, len(rows), total, self.longest)
            yield part_rows, part, weights_BT * counts

    def _passes(self, decisions: Decisions, rows: Rows) -> Iterator[tuple[Rows, bool]]:
        """Yield the sequences of each forward pass, and whether they count; at least one pass is made.

        Processes whose policy is in shards make as many passes as the one that makes most: all gather a layer at once.
        """
        parts = decisions.micro_batches(rows, self.settings.tokens_per_batch)
        number = max(1, *self.processes.gathered(len(parts))) if self.policy.sharded else max(1, len(parts))
        yield from ((part_rows, True) for part_rows in parts)
        shortest = np.array([int(decisions.lengths.argmin())])
        yield from ((shortest, False) for _ in range(number - len(parts)))

    def _sampled_log_probs(self, decisions: Decisions, rows: Rows) -> Tensor:
        """Log-probabilities (B, T) of the policy that sampled, computed by the same code as the updates'."""
        log_probs_BT = torch.zeros_like(decisions.log_probs)
        for part_rows, counts in self._passes(decisions, rows):
            part_BT = self._no_grad_log_probs(self.policy, decisions.select(part_rows))
            if counts:
                log_probs_BT[part_rows, : part_BT.shape[1]] = part_BT
        return log_probs_BT

    @torch.no_grad()
    def _no_grad_log_probs(self, policy: Policy, decisions: Decisions) -> Tensor:
        return policy.log_probs(decisions, self.settings.temperature)
