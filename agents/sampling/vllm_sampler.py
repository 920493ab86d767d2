"""Sampling responses with vLLM, whose engine runs in this process or behind a server.

Shapes: B responses, S prompt tokens, T response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.sampling.base import encode_fitting, pad_left, rollout_of
from paretune.agents.sequences.rollout import Rollout, Tokens
from paretune.envs import Prompt


@dataclass(frozen=True, kw_only=True)
class Request:
    """Responses to one prompt.

    Attributes:
        prompt: Tokens of the prompt.
        number: How many responses are wanted.
        seed: Of the first response; that of each further one is larger by one.
    """

    prompt: list[int]
    number: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How responses are drawn.

    Attributes:
        longest: Most tokens of a response.
        temperature: Sampling temperature; 0 takes the likeliest tokens.
        top_p: Probability of the nucleus.
        stop: Strings that end a response.
        end_tokens: Tokens that end a response.
    """

    longest: int
    temperature: float
    top_p: float
    stop: tuple[str, ...]
    end_tokens: tuple[int, ...]


@dataclass(frozen=True)
class Drawn:
    """A response.

    Attributes:
        tokens: Its tokens, the end token included.
        log_probs: Their log-probabilities when they were drawn.
    """

    tokens: list[int]
    log_probs: list[float]


class Engine(Protocol):
    """A vLLM engine."""

    def answer(self, policy: LanguageModelPolicy, requests: Sequence[Request], manner: Manner) -> list[Drawn]:
        """Put in the policy's weights as they are now, and answer: all responses, request by request."""
        ...


@dataclass(kw_only=True)
class VllmSampler:
    """Samples with a vLLM engine, which gets the policy's weights before every sampling.

    Responses depend on their own seeds alone, so neighbours with the same prompt go to the engine as one group.

    Attributes:
        policy: What to sample from.
        engine: The engine.
        max_new_tokens: Longest response in tokens.
        temperature: Sampling temperature.
        top_p: Probability of the nucleus that tokens are drawn from; 1 unless `temperature` is.
        stop: Strings that end a response, which keeps them.
        batch: Responses whose seeds come from one number of the generator, as the other sampler has it.
    """

    policy: LanguageModelPolicy
    engine: Engine
    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    batch: int = 512

    def __post_init__(self) -> None:
        """Refuse what vLLM has no log-probabilities for: at a temperature, but before top-p."""
        if self.top_p < 1 and self.temperature != 1:
            raise ValueError(
                "top_p: must be 1 with temperature != 1 and a vLLM sampler, which then tells log-probabilities after "
                f"top-p only, got top_p={self.top_p} and temperature={self.temperature}"
            )

    def check_context(self, prompts: Sequence[Prompt]) -> None:
        """Raise ValueError for a prompt that, with the longest response, does not fit into the model's context."""
        encode_fitting(self.policy, prompts, self.max_new_tokens)

    def sample(self, prompts: Sequence[Prompt], rng: np.random.Generator, *, greedy: bool = False) -> Rollout:
        """Answer each prompt once.

        Args:
            prompts: B prompts; a group is a prompt that occurs several times in a row.
            rng: Source of randomness; the same state gives the same responses.
            greedy: Take the likeliest token at each position instead of drawing.

        Returns:
            B responses; log-probabilities are vLLM's own, those at `temperature`, before top-p.

        Raises:
            ValueError: If a prompt does not fit into the model's context.
        """
        encoded = encode_fitting(self.policy, prompts, self.max_new_tokens)
        vocabulary = self.policy.model.config.get_text_config().vocab_size
        manner = Manner(
            longest=self.max_new_tokens,
            temperature=0.0 if greedy else self.temperature,
            top_p=1.0 if greedy else self.top_p,
            stop=self.stop,
            end_tokens=tuple(token for token in self.policy.end_tokens if token < vocabulary),
        )
        drawn = self.engine.answer(self.policy, self._requests(encoded, rng, greedy), manner)
        return rollout_of(self.policy, prompts, self._tokens(encoded, drawn))

    def _requests(self, encoded: list[list[int]], rng: np.random.Generator, greedy: bool) -> list[Request]:
        requests: list[Request] = []
        for start in range(0, len(encoded), self.batch):
            seed = int(rng.integers(2**63)) // 2  # with room for the group's
            batch = encoded[start : start + self.batch]
            groups = [(prompt, 1) for prompt in batch]  # vLLM answers a prompt once where nothing is random
            if not greedy:
                groups = [(prompt, len(list(group))) for prompt, group in groupby(batch)]
            for prompt, number in groups:
                requests.append(Request(prompt=prompt, number=number, seed=seed))
                seed += number
        return requests

    def _tokens(self, encoded: list[list[int]], drawn: list[Drawn]) -> Tokens:
        device = self.policy.device
        prompt, prompt_mask = pad_left(encoded, self.policy.pad_token, device)

        def padded(rows: list[list[int]] | list[list[float]], dtype: torch.dtype) -> Tensor:
            return pad_sequence([torch.tensor(row, dtype=dtype) for row in rows], batch_first=True).to(device)

        response = padded([one.tokens for one in drawn], torch.long)
        lengths = torch.tensor([len(one.tokens) for one in drawn], device=device)
        mask = torch.arange(response.shape[1], device=device) < lengths[:, None]
        log_probs = padded([one.log_probs for one in drawn], torch.float32)
        return Tokens(prompt, prompt_mask, response, mask, log_probs)
