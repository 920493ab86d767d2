"""Drawing tokens for the vLLM engine on a CPU, where its own sampler costs as much as a quarter of a small model.

Shapes: B responses, V tokens in the vocabulary, N blocks of the vocabulary, W tokens in a block.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from vllm.v1.outputs import LogprobsTensors, SamplerOutput
from vllm.v1.sample.sampler import Sampler

BLOCK = 256
"""Tokens in a block of the vocabulary."""


class CpuSampler(Sampler):
    """vLLM's sampler, but for what our requests ask of it.

    One softmax gives both a token, by a single random number each, and its log-probability. vLLM's draws noise for the
    whole vocabulary instead, takes another softmax, and ranks the token among all others, which nobody reads.
    """

    def forward(self, logits: Tensor, sampling_metadata: Any, *args: Any, **kwargs: Any) -> SamplerOutput:
        """Draw a token for each row of `logits` (B, V)."""
        if not sampling_metadata.all_random or sampling_metadata.top_p is not None:
            return super().forward(logits, sampling_metadata, *args, **kwargs)
        probs_BV = logits.float().div_(sampling_metadata.temperature[:, None]).softmax(dim=-1)
        drawn_B1 = draw(probs_BV, uniform(len(logits), sampling_metadata.generators))[:, None]
        log_probs_B1 = probs_BV.gather(1, drawn_B1).log()
        drawn_B1 = drawn_B1.int()
        return SamplerOutput(drawn_B1, LogprobsTensors(drawn_B1, log_probs_B1, _no_ranks(drawn_B1)))

    @staticmethod
    def gather_logprobs(logprobs: Tensor, num_logprobs: int, token_ids: Tensor) -> LogprobsTensors:
        """Return the log-probabilities of the drawn tokens (B,) alone, whatever `num_logprobs`, without their ranks."""
        drawn_B1 = token_ids[:, None]
        return LogprobsTensors(drawn_B1.int(), logprobs.gather(1, drawn_B1), _no_ranks(drawn_B1))


def uniform(number: int, generators: Mapping[int, torch.Generator]) -> Tensor:
    """Return a random number below 1 for each response (B,), from its own generator where it has one."""
    uniform_B = torch.rand(number, dtype=torch.float64)
    for row, generator in generators.items():
        uniform_B[row].uniform_(generator=generator)
    return uniform_B


def draw(probs_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """Return the tokens (B,) at which the cumulated probabilities (B, V) pass a share (B,) of their sum.

    First the block is looked for, then the token in it: only sums of blocks are needed of the whole vocabulary, and
    few numbers are added, in double precision, so that rare tokens keep their probability.
    """
    probs_BNW = pad(probs_BV, (0, -probs_BV.shape[1] % BLOCK)).unflatten(1, (-1, BLOCK))
    sums_BN = probs_BNW.sum(-1).double()
    target_B = uniform_B * sums_BN.sum(-1)
    block_B = _passed(sums_BN, target_B)
    rows = torch.arange(len(probs_BV))
    before_B = (sums_BN.cumsum(-1) - sums_BN)[rows, block_B]
    inside_BW = probs_BNW[rows, block_B].double()
    drawn_B = block_B * BLOCK + _passed(inside_BW, target_B - before_B)
    return drawn_B.clamp(max=probs_BV.shape[1] - 1)


def _passed(parts_BN: Tensor, target_B: Tensor) -> Tensor:
    """Return where the cumulated parts (B, N) pass the target (B,); whatever the rounding, never at a part of 0."""
    cumulated_BN = parts_BN.cumsum(-1)
    total_B1 = cumulated_BN[:, -1:]
    below_B1 = total_B1.nextafter(torch.zeros_like(total_B1))
    target_B1 = target_B[:, None].clamp(min=0).minimum(below_B1)
    place_B = torch.searchsorted(cumulated_BN, target_B1, right=True)[:, 0]
    return place_B.clamp(max=parts_BN.shape[1] - 1)  # where they are not numbers


def use_cpu_sampler(worker: Any) -> None:
    """Put it into a worker of vLLM."""
    runner = worker.model_runner
    runner.sampler = CpuSampler(runner.sampler.logprobs_mode)


def _no_ranks(drawn_B1: Tensor) -> Tensor:
    return torch.zeros(len(drawn_B1), dtype=torch.long)
