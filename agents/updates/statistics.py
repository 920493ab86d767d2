"""What an optimizer update tells of itself.

Shapes: B sequences of decisions, T decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from paretune.agents.sequences.decisions import Decisions


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


@dataclass(slots=True)
class Sums:
    """What is summed over the forward passes of an update, and over processes.

    Attributes:
        policy: The policy's part of the loss.
        kl: KL divergence.
        entropy: Entropy.
        clipped: Number of decisions whose gradient the clip range cut off.
        gap: Of the log-probabilities of sampler and trainer.
        gap_max: The largest gap; not a sum.
        padding: Of the passes.
        size: Of the passes, padding included.
    """

    policy: float = 0.0
    kl: float = 0.0
    entropy: float = 0.0
    clipped: int = 0
    gap: float = 0.0
    gap_max: float = 0.0
    padding: int = 0
    size: int = 0

    def add_pass(self, old: Tensor, part: Decisions) -> None:
        """Add what a pass tells of the log-probabilities (B, T) of the policy that sampled."""
        gaps_BT = (old - part.log_probs).abs()
        self.gap += gaps_BT.sum().item()
        self.gap_max = max(self.gap_max, gaps_BT.max().item())
        padding, size = part.padding
        self.padding += padding
        self.size += size
