"""The interface of all samplers, and what they share: prompts as tokens, and tokens as responses.

Shapes: B responses, S prompt tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.sequences.rollout import Rollout, Tokens
from paretune.envs import Prompt, Response


class Sampler(Protocol):
    """Turns prompts into responses of the current policy."""

    def check_context(self, prompts: Sequence[Prompt]) -> None:
        """Raise ValueError for a prompt that, with the longest response, does not fit into the model's context."""
        ...

    def sample(self, prompts: Sequence[Prompt], rng: np.random.Generator, *, greedy: bool = False) -> Rollout:
        """Answer each prompt once; the same state of `rng` gives the same responses."""
        ...


def encode_fitting(policy: LanguageModelPolicy, prompts: Sequence[Prompt], max_new_tokens: int) -> list[list[int]]:
    """Return the tokens of each prompt.

    Raises:
        ValueError: If one does not, with the longest response, fit into the model's context.
    """
    encoded = policy.encode(prompts)
    context = policy.context_length
    longest = max(range(len(encoded)), key=lambda i: len(encoded[i]))
    if context is not None and len(encoded[longest]) + max_new_tokens > context:
        raise ValueError(
            f"prompt: must fit, with a response of max_new_tokens={max_new_tokens} (by default the environment's "
            f"max_tokens), into the context of {context} tokens of policy {policy.name!r}, got one of "
            f"{len(encoded[longest])} tokens: {prompts[longest].text[:80]!r}; lower max_new_tokens, leave long prompts "
            "out (max_prompt_chars of paretune/Math-v0) or take another policy"
        )
    return encoded


def rollout_of(policy: LanguageModelPolicy, prompts: Sequence[Prompt], tokens: Tokens) -> Rollout:
    """Return the responses whose tokens are known, with their texts."""
    lengths = tokens.lengths
    texts = [policy.decode(row[:n]) for row, n in zip(tokens.response.tolist(), lengths, strict=True)]
    responses = [Response(text, int(n)) for text, n in zip(texts, lengths, strict=True)]
    return Rollout(list(prompts), responses, tokens)


def pad_left(rows: list[list[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return rows of tokens (B, S), padded on the left, and where they are not padding (B, S)."""
    width = max(len(row) for row in rows)
    tokens = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.bool)
    for i, row in enumerate(rows):
        tokens[i, width - len(row) :] = torch.tensor(row)
        mask[i, width - len(row) :] = True
    return tokens.to(device), mask.to(device)
