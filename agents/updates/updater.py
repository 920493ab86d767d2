"""Optimizer updates of a policy from one step's decisions.

Shapes: B sequences of decisions (responses or episodes), T decisions, K objectives.
"""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from paretune.agents.policies.base import Policy
from paretune.agents.policies.shards import whole
from paretune.agents.processes.zero import ZeroOptimizer
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.updates.analysed import Analysed, linear
from paretune.agents.updates.losses import loss_terms
from paretune.agents.updates.passes import Passes, Rows
from paretune.agents.updates.statistics import Sums, UpdateStatistics


class Updater:
    """AdamW on the policy-gradient loss, in mini-batches and micro-batches.

    Attributes:
        passes: The forward passes over a step's sequences; policy, settings and processes are theirs.
        clip: Clip range in effect; 0 is none.
        reference: Policy that the KL term compares with, if any.
        trained: The policy's parameters that are trained.
        optimizer: Their optimizer.
    """

    def __init__(self, passes: Passes, clip: float, reference: Policy | None = None) -> None:
        """Make the optimizer."""
        self.passes, self.clip, self.reference = passes, clip, reference
        self.policy, self.settings, self.processes = passes.policy, passes.settings, passes.processes
        self.trained, stage = passes.trained, passes.zero_stage
        optimizer = torch.optim.AdamW(self.trained, weight_decay=self.settings.weight_decay)
        self.optimizer: torch.optim.Optimizer | ZeroOptimizer = ZeroOptimizer(optimizer, stage) if stage else optimizer

    def update(
        self,
        decisions: Decisions,
        advantages: NDArray[np.float64],
        scale: float,
        lr: float,
        rng: np.random.Generator,
        analysed: Analysed | None = None,
    ) -> dict[str, float]:
        """Make this step's optimizer updates.

        Args:
            decisions: B sequences of decisions, this process's share.
            advantages: One per sequence (B, 1), or per decision (B, T).
            scale: A factor that the advantages carry. Gradients are clipped as if they did not: clipping to a fixed
                norm would cancel the factor.
            lr: Learning rate.
            rng: Source of the order of mini-batches.
            analysed: Sequences whose part of the gradient comes from passes that were made before, where the update is
                `linear`; none of these passes is made again.

        Returns:
            The means of `UpdateStatistics` over the updates, by name; of maxima the largest.

        Raises:
            RuntimeError: If the gradient is not finite; the policy is left as it was.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        if self.passes.zero_stage < 2:  # which sums gradients in the order in which passes make them
            decisions = self.policy.arranged(decisions, self.settings.tokens_per_batch)
        advantages_BT = torch.as_tensor(advantages, dtype=torch.float32, device=self.policy.device)
        lengths = self.processes.concatenated(decisions.lengths)
        rows = np.arange(len(lengths))
        several = self.settings.epochs * self.settings.minibatches > 1
        old_BT = self._sampled_log_probs(decisions, np.arange(len(advantages))) if several else None
        statistics = []
        for _ in range(self.settings.epochs):
            order = rng.permutation(rows) if self.settings.minibatches > 1 else rows
            for minibatch in np.array_split(order, self.settings.minibatches):
                sums = self._backward(decisions, advantages_BT, old_BT, minibatch, lengths, analysed)
                statistics.append(self._one_update(sums, scale, int(lengths[minibatch].sum())))
        values = {name: [asdict(one)[name] for one in statistics] for name in asdict(statistics[0])}
        return {name: float((np.max if name.endswith("_max") else np.mean)(each)) for name, each in values.items()}

    def _backward(
        self,
        decisions: Decisions,
        advantages_BT: Tensor,
        old_BT: Tensor | None,
        rows: Rows,
        lengths: NDArray[np.int64],
        analysed: Analysed | None,
    ) -> Sums:
        """Make the gradient of this process's share of the loss over the sequences `rows`, and return its sums."""
        self.optimizer.zero_grad(set_to_none=True)
        sums, rest, budget = Sums(), rows, self.settings.tokens_per_batch
        coefficients = None if analysed is None else analysed.coefficients(advantages_BT)
        if analysed is not None and coefficients is not None:
            rest = np.setdiff1d(rows, analysed.rows)
            if len(places := self.passes.places(rest, len(lengths))):
                budget = analysed.budget_for(decisions.select(places), self.trained, budget)
            self._backward_again(analysed, coefficients, advantages_BT, rows, lengths, sums)
        if analysed is not None:
            analysed.kept.forget()
        for part_rows, part, weights_BT in self.passes.micro_batches(decisions, rest, lengths, rows, budget):
            old = None if old_BT is None else old_BT[part_rows]
            self._backward_part(part, advantages_BT[part_rows], weights_BT, old, sums)
        return sums

    def _backward_part(
        self, part: Decisions, advantages: Tensor, weights_BT: Tensor, old_BT: Tensor | None, sums: Sums
    ) -> None:
        """Make the gradient of a micro-batch's loss; advantages are (B, 1) or (B, T)."""
        reference = None if self.reference is None else self._no_grad_log_probs(self.reference, part)
        log_probs, entropies = self._log_probs(part)
        depth = log_probs.shape[1]
        old = log_probs.detach() if old_BT is None else old_BT[:, :depth]
        terms = loss_terms(log_probs, old, advantages[:, :depth], self.clip, reference)
        loss = (terms.policy * weights_BT * self.passes.importance(old, part)).sum()
        sums.policy += loss.item()
        if terms.kl is not None:
            part_kl = (terms.kl * weights_BT).sum()
            sums.kl += part_kl.item()
            loss = loss + self.settings.kl * part_kl
        if entropies is not None:
            part_entropy = (entropies * weights_BT).sum()
            sums.entropy += part_entropy.item()
            loss = loss - self.settings.entropy * part_entropy
        self._descend(loss)
        if (weights_BT > 0).any():
            sums.clipped += int((terms.clipped & part.mask).sum())
            sums.add_pass(old, part)

    def _backward_again(
        self,
        analysed: Analysed,
        coefficients: Tensor,
        advantages_BT: Tensor,
        rows: Rows,
        lengths: NDArray[np.int64],
        sums: Sums,
    ) -> None:
        """Make the gradient of the analysed sequences' loss, as a part of that of `rows`, from the passes made before.

        At a ratio of 1 it is that of -sum of advantage * weight * log-probability.
        """
        assert linear(self.settings)
        for part_rows, part, log_probs in analysed.passes:
            advantages = advantages_BT[part_rows, : log_probs.shape[1]]
            weights_BT = self.passes.weights(part, rows, lengths)
            sums.policy -= (advantages * weights_BT * self.passes.importance(log_probs, part)).sum().item()
            sums.add_pass(log_probs, part)
        if len(coefficients):
            analysed.kept.backward(-coefficients / analysed.factor)

    def _one_update(self, sums: Sums, scale: float, number: int) -> UpdateStatistics:
        """Make a step along the gradient of a loss over `number` decisions; `sums` are those of this process."""
        gap_max = max(self.processes.gathered(sums.gap_max))
        sums = Sums(**self.processes.summed(asdict(sums)))
        limit = scale * (self.settings.max_grad_norm or math.inf)
        grad_norm = self._clipped_step(limit)
        self.optimizer.zero_grad(set_to_none=True)  # sampling and the analysis of gradients need the memory
        return UpdateStatistics(
            loss=sums.policy + self.settings.kl * sums.kl - self.settings.entropy * sums.entropy,
            kl=sums.kl,
            entropy=sums.entropy,
            clip_fraction=sums.clipped / number,
            grad_norm=grad_norm,
            log_prob_gap=sums.gap / number,
            log_prob_gap_max=gap_max,
            padding=sums.padding / sums.size,
        )

    def _descend(self, loss: Tensor) -> None:
        """Add the gradient of a micro-batch's share of the loss."""
        if isinstance(self.optimizer, ZeroOptimizer):
            self.optimizer.backward(loss)
        else:
            loss.backward()

    def _clipped_step(self, limit: float) -> float:
        """Sum the gradients over the processes, clip them to a norm of `limit`, make a step, and return the norm."""
        if isinstance(self.optimizer, ZeroOptimizer):
            return self.optimizer.step(limit)
        if not self.policy.sharded:  # else the backward passes have summed them
            self.processes.sum_gradients(self.trained)
        grad_norm = clip_grad_norm_(self.trained, limit, error_if_nonfinite=True)
        self.optimizer.step()
        return float(whole(grad_norm))

    def _log_probs(self, part: Decisions) -> tuple[Tensor, Tensor | None]:
        if self.settings.entropy > 0:
            return self.policy.log_probs_and_entropies(part, self.settings.temperature)
        return self.policy.log_probs(part, self.settings.temperature), None

    def _sampled_log_probs(self, decisions: Decisions, rows: Rows) -> Tensor:
        """Log-probabilities (B, T) of the policy that sampled, computed by the same code as the updates'."""
        log_probs_BT = torch.zeros_like(decisions.log_probs)
        for part_rows, counts in self.passes.batches(decisions, rows):
            part_BT = self._no_grad_log_probs(self.policy, decisions.select(part_rows))
            if counts:
                log_probs_BT[part_rows, : part_BT.shape[1]] = part_BT
        return log_probs_BT

    @torch.no_grad()
    def _no_grad_log_probs(self, policy: Policy, decisions: Decisions) -> Tensor:
        return policy.log_probs(decisions, self.settings.temperature)
