"""Optimizer updates of a policy from one step's responses.

Shapes: B responses, T response tokens, K objectives.
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

from paretune.agents.language_model import LanguageModelPolicy
from paretune.agents.losses import loss_terms, token_weights
from paretune.agents.rollout import Tokens
from paretune.agents.settings import AgentSettings, LossMean
from paretune.weighting import GradientAnalyzer

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateStatistics:
    """What one optimizer update did.

    Attributes:
        loss: The loss that was minimised.
        kl: KL divergence to the reference, 0 without one.
        clip_fraction: Share of tokens whose gradient the clip range cut off.
        grad_norm: The gradient's norm before clipping.
    """

    loss: float
    kl: float
    clip_fraction: float
    grad_norm: float


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
        loss_mean: Mean over tokens in effect.
        max_tokens: Longest response in tokens.
        reference: Policy that the KL term compares with, if any.
    """

    policy: LanguageModelPolicy
    settings: AgentSettings
    clip: float
    loss_mean: LossMean
    max_tokens: int
    reference: LanguageModelPolicy | None = None
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        """Make the optimizer."""
        self.trained = [parameter for parameter in self.policy.model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, weight_decay=self.settings.weight_decay)

    def update(
        self, tokens: Tokens, advantages: NDArray[np.float64], scale: float, lr: float, rng: np.random.Generator
    ) -> dict[str, float]:
        """Make this step's optimizer updates.

        Args:
            tokens: B responses.
            advantages: One per response (B,).
            scale: A factor that the advantages carry. Gradients are clipped as if they did not: clipping to a fixed
                norm would cancel the factor.
            lr: Learning rate.
            rng: Source of the order of mini-batches.

        Returns:
            The means of `UpdateStatistics` over the updates, by name.

        Raises:
            RuntimeError: If the gradient is not finite; the policy is left as it was.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        advantages_B = torch.as_tensor(advantages, dtype=torch.float32, device=self.policy.device)
        rows = np.arange(len(advantages))
        several = self.settings.epochs * self.settings.minibatches > 1
        old_BT = self._sampled_log_probs(tokens, rows) if several else None
        statistics = []
        for _ in range(self.settings.epochs):
            order = rng.permutation(rows) if self.settings.minibatches > 1 else rows
            for minibatch in np.array_split(order, self.settings.minibatches):
                statistics.append(self._one_update(tokens, advantages_B, scale, old_BT, minibatch))
        return {name: float(np.mean([asdict(one)[name] for one in statistics])) for name in asdict(statistics[0])}

    def _one_update(
        self, tokens: Tokens, advantages_B: Tensor, scale: float, old_BT: Tensor | None, rows: Rows
    ) -> UpdateStatistics:
        self.optimizer.zero_grad(set_to_none=True)
        policy_loss = kl = 0.0
        clipped = 0
        for part_rows, part, weights_BT in self._micro_batches(tokens, rows):
            log_probs = self.policy.log_probs(part, self.settings.temperature)
            old = log_probs.detach() if old_BT is None else old_BT[part_rows, : log_probs.shape[1]]
            reference = None if self.reference is None else self._no_grad_log_probs(self.reference, part)
            terms = loss_terms(log_probs, old, advantages_B[part_rows], self.clip, reference)
            loss = (terms.policy * weights_BT).sum()
            policy_loss += loss.item()
            if terms.kl is not None:
                part_kl = (terms.kl * weights_BT).sum()
                kl += part_kl.item()
                loss = loss + self.settings.kl * part_kl
            loss.backward()
            clipped += int((terms.clipped & part.response_mask).sum())
        limit = scale * (self.settings.max_grad_norm or math.inf)
        grad_norm = clip_grad_norm_(self.trained, limit, error_if_nonfinite=True)
        self.optimizer.step()
        return UpdateStatistics(
            loss=policy_loss + self.settings.kl * kl,
            kl=kl,
            clip_fraction=clipped / int(tokens.response_lengths[rows].sum()),
            grad_norm=float(grad_norm),
        )

    def gram(
        self, analyzer: GradientAnalyzer, tokens: Tokens, advantages: NDArray[np.float64], rows: Rows
    ) -> NDArray[np.float64]:
        """Return the Gram matrix (K, K) of the objectives' policy gradients over the responses `rows`.

        Args:
            analyzer: Analyzer of the policy's model.
            tokens: B responses.
            advantages: The objectives' advantages (B, K).
            rows: The responses that are analysed.
        """
        scores, order = [], []
        with analyzer.watch():
            for part_rows, part, weights_BT in self._micro_batches(tokens, rows):
                scores.append((self.policy.log_probs(part, self.settings.temperature) * weights_BT).sum(1))
                order.append(part_rows)
        return analyzer.gram(torch.cat(scores) * len(rows), advantages[np.concatenate(order)])

    def _micro_batches(self, tokens: Tokens, rows: Rows) -> Iterator[tuple[Rows, Tokens, Tensor]]:
        total = int(tokens.response_lengths[rows].sum())
        for part_rows in tokens.micro_batches(rows, self.settings.tokens_per_batch):
            part = tokens.select(part_rows)
            weights_BT = token_weights(part.response_mask, self.loss_mean, len(rows), total, self.max_tokens)
            yield part_rows, part, weights_BT

    def _sampled_log_probs(self, tokens: Tokens, rows: Rows) -> Tensor:
        """Log-probabilities (B, T) of the policy that sampled, computed by the same code as the updates'."""
        log_probs_BT = torch.zeros_like(tokens.log_probs)
        for part_rows in tokens.micro_batches(rows, self.settings.tokens_per_batch):
            part_BT = self._no_grad_log_probs(self.policy, tokens.select(part_rows))
            log_probs_BT[part_rows, : part_BT.shape[1]] = part_BT
        return log_probs_BT

    @torch.no_grad()
    def _no_grad_log_probs(self, policy: LanguageModelPolicy, tokens: Tokens) -> Tensor:
        return policy.log_probs(tokens, self.settings.temperature)
