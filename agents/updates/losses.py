"""The policy-gradient loss.

Shapes: B responses (or episodes), T response tokens (or steps).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from paretune.agents.settings import LossMean


@dataclass(frozen=True, slots=True)
class LossTerms:
    """Per-token terms of the loss, (B, T) each; 0 at padding after weighing with `token_weights`.

    Attributes:
        policy: Surrogate of the policy gradient.
        kl: Estimate of the KL divergence to the reference, or None.
        clipped: True where the clip range cut the gradient off.
    """

    policy: Tensor
    kl: Tensor | None
    clipped: Tensor


def loss_terms(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, clip: float, reference: Tensor | None = None
) -> LossTerms:
    """Return the terms of the clipped surrogate (PPO, arXiv 1707.06347 eq. 7) and of the k3 KL estimator.

        ratio  = exp(log_probs - old_log_probs)
        policy = -min(ratio * A, clip(ratio, 1 - clip, 1 + clip) * A)
        kl     = exp(reference - log_probs) - (reference - log_probs) - 1     (arXiv 2402.03300 eq. 4)

    Args:
        log_probs: Of the current policy (B, T).
        old_log_probs: Of the policy that sampled (B, T), no gradient.
        advantages: One per response (B, 1), or per token (B, T).
        clip: Range of the ratio; 0 is no clip. At ratio 1 the gradient is that of -A log_probs either way.
        reference: Log-probabilities of the reference policy (B, T), if a KL term is wanted.
    """
    ratio = torch.exp(log_probs - old_log_probs)
    gain = ratio * advantages
    clipped = torch.zeros_like(gain, dtype=torch.bool)
    if clip > 0:
        clipped_gain = ratio.clamp(1 - clip, 1 + clip) * advantages
        clipped = clipped_gain < gain
        gain = torch.minimum(gain, clipped_gain)
    kl = None if reference is None else torch.expm1(reference - log_probs) - (reference - log_probs)
    return LossTerms(policy=-gain, kl=kl, clipped=clipped)


def importance_weights(log_probs: Tensor, sampler_log_probs: Tensor, cap: float) -> Tensor:
    """Return each token's truncated importance weight (B, T), no gradient: 1 where trainer and sampler agree.

        weight = min(exp(log_probs - sampler_log_probs), cap)

    A sampler computes the policy's probabilities with other kernels than the trainer, so that what it draws is slightly
    off-policy (Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training",
    fengyao.notion.site/off-policy-rl; OpenReview xsonlP8DRV).

    Args:
        log_probs: The trainer's, of the policy that sampled (B, T).
        sampler_log_probs: The sampler's own (B, T).
        cap: Largest weight.
    """
    return torch.exp(log_probs - sampler_log_probs).clamp(max=cap).detach()


def token_weights(mask: Tensor, mean: LossMean, responses: int, tokens: int, max_tokens: int) -> Tensor:
    """Return the weight (B, T) of each token's term in the loss of one optimizer update.

    Args:
        mask: True at response tokens (B, T); the B responses may be a part of the update's.
        mean: "token": 1 / tokens; "response": 1 / (responses * length); "constant": 1 / (responses * max_tokens),
            a sum over each response's tokens up to a constant (arXiv 2503.20783).
        responses: Responses in the whole update.
        tokens: Response tokens in the whole update.
        max_tokens: Longest possible response.
    """
    weights = mask.float()
    if mean == "token":
        return weights / tokens
    if mean == "response":
        return weights / (responses * weights.sum(1, keepdim=True))
    return weights / (responses * max_tokens)
