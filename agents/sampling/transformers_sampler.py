"""Sampling responses with transformers.

Shapes: B responses, S prompt tokens, T response tokens, V tokens in the vocabulary, H heads, D dimensions of a head.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import (
    DynamicCache,
    EosTokenCriteria,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedConfig,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
)
from transformers.cache_utils import DynamicLayer

from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.sampling.base import encode_fitting, pad_left, rollout_of
from paretune.agents.seeds import torch_seed
from paretune.agents.sequences.rollout import Rollout, Tokens
from paretune.agents.sequences.shared_prompts import different_prompts
from paretune.envs import Prompt


@dataclass(kw_only=True)
class TransformersSampler:
    """Samples with `model.generate`, in batches, prompts padded on the left.

    Attributes:
        policy: What to sample from.
        max_new_tokens: Longest response in tokens.
        temperature: Sampling temperature.
        top_p: Probability of the nucleus that tokens are drawn from.
        stop: Strings that end a response, which keeps them.
        batch: Most responses sampled at the same time.
    """

    policy: LanguageModelPolicy
    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    batch: int = 512

    def check_context(self, prompts: Sequence[Prompt]) -> None:
        """Raise ValueError for a prompt that, with the longest response, does not fit into the model's context."""
        encode_fitting(self.policy, prompts, self.max_new_tokens)

    def sample(self, prompts: Sequence[Prompt], rng: np.random.Generator, *, greedy: bool = False) -> Rollout:
        """Answer each prompt once.

        Args:
            prompts: B prompts; a group is a prompt that occurs several times.
            rng: Source of randomness; the same state gives the same responses.
            greedy: Take the likeliest token at each position instead of drawing.

        Returns:
            B responses; log-probabilities are those at `temperature`, before top-p.

        Raises:
            ValueError: If a prompt does not fit into the model's context.
        """
        encoded = encode_fitting(self.policy, prompts, self.max_new_tokens)
        parts = []
        with self.policy.gathered(), torch.no_grad():
            for start in range(0, len(encoded), self.batch):
                with torch_seed(rng, self.policy.device):
                    parts.append(self._sample_batch(encoded[start : start + self.batch], greedy))
        return rollout_of(self.policy, prompts, Tokens.concatenate(parts))

    def _sample_batch(self, encoded: list[list[int]], greedy: bool) -> Tokens:
        policy = self.policy
        prompt, prompt_mask = pad_left(encoded, policy.pad_token, policy.device)
        recorder = _LogProbRecorder(1.0 if greedy else self.temperature)
        lengths = _LengthRecorder(self._stopping(), prompt.shape[1])
        sampling = {} if greedy else {"temperature": self.temperature, "top_p": self.top_p, "top_k": 0}
        with policy.computing():
            sequences = policy.model.generate(
                input_ids=prompt,
                attention_mask=prompt_mask.long(),
                generation_config=GenerationConfig(
                    do_sample=not greedy, max_new_tokens=self.max_new_tokens, eos_token_id=policy.end_tokens, **sampling
                ),
                logits_processor=LogitsProcessorList([recorder]),
                stopping_criteria=StoppingCriteriaList([lengths]),
                past_key_values=self._cache(prompt, prompt_mask),
            )
        response = sequences[:, prompt.shape[1] :]
        mask = torch.arange(response.shape[1], device=response.device) < lengths.of(response)[:, None]
        log_probs = recorder.log_probs(response) * mask
        return Tokens(prompt, prompt_mask, response * mask, mask, log_probs)

    def _cache(self, prompt: Tensor, mask: Tensor) -> DynamicCache:
        """Return room for keys and values; those of equal prompts (B, S) are in it but for the last token's."""
        policy = self.policy
        cache = _roomy_cache(policy.model.config, prompt.shape[1] + self.max_new_tokens)
        if prompt.shape[1] == 1 or not (policy.share_prompts and policy.reads_prompts_apart):
            return cache
        prompt_US, mask_US, which_B = different_prompts(prompt, mask)
        if len(prompt_US) < len(prompt):
            read = policy.read_prompts(prompt_US[:, :-1], mask_US[:, :-1])
            layers: Iterable[Any] = zip(cache.layers, read.layers, strict=True)
            for roomy, layer in layers:
                roomy.update(layer.keys[which_B], layer.values[which_B])
        return cache

    def _stopping(self) -> list[StoppingCriteria]:
        criteria: list[StoppingCriteria] = [EosTokenCriteria(eos_token_id=self.policy.end_tokens)]
        if self.stop:
            criteria.append(StopStringCriteria(tokenizer=self.policy.tokenizer, stop_strings=list(self.stop)))
        return criteria


class _RoomyLayer(DynamicLayer):
    """Keys and values of a layer in memory that is taken once: growing by a token copies nothing that is there."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.length = length
        self._room: list[Tensor] = []

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add keys and values (B, H, T, D), and return all of them."""
        first = self.get_seq_length()
        last = first + key_states.shape[2]
        if not self._room:
            self.lazy_initialization(key_states, value_states)
            self._room = [x.new_empty(*x.shape[:2], self.length, x.shape[3]) for x in (key_states, value_states)]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, first:last] = new
        self.keys, self.values = (room[:, :, :last] for room in self._room)
        return self.keys, self.values


def _roomy_cache(config: PreTrainedConfig, length: int) -> DynamicCache:
    """Return transformers' usual cache, whose plain layers have room for `length` tokens from the start."""
    cache = DynamicCache(config=config)
    cache.layers = [_RoomyLayer(length) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


class _LogProbRecorder(LogitsProcessor):
    """Keeps the log-probability of each drawn token; of the vocabulary's, only those of the last position.

    A logits processor sees the logits of a position before its token is drawn, and the token at the next call.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature
        self._recorded: list[Tensor] = []
        self._last_BV: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._record(input_ids[:, -1])
        self._last_BV = torch.log_softmax(scores.float() / self.temperature, dim=-1)
        return scores

    def _record(self, drawn_B: Tensor) -> None:
        if self._last_BV is not None:
            self._recorded.append(self._last_BV.gather(1, drawn_B[:, None])[:, 0])

    def log_probs(self, response: Tensor) -> Tensor:
        """Return the log-probabilities (B, T) of the finished responses (B, T)."""
        if len(self._recorded) < response.shape[1]:
            self._record(response[:, -1])
        return torch.stack(self._recorded[: response.shape[1]], dim=1)


class _LengthRecorder(StoppingCriteria):
    """Stops a response when one of `criteria` says so, and remembers where.

    The finished tokens alone do not tell: padding may equal the end token, and a stop string leaves no mark.
    """

    def __init__(self, criteria: list[StoppingCriteria], prompt_length: int) -> None:
        self.criteria = criteria
        self.prompt_length = prompt_length
        self._lengths_B: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: object) -> Tensor:
        done_B = torch.stack([criterion(input_ids, scores) for criterion in self.criteria]).any(0)
        if self._lengths_B is None:
            self._lengths_B = torch.zeros_like(done_B, dtype=torch.long)
        length = input_ids.shape[1] - self.prompt_length
        self._lengths_B[done_B & (self._lengths_B == 0)] = length
        return done_B

    def of(self, response: Tensor) -> Tensor:
        """Return the lengths (B,) of the finished responses (B, T)."""
        assert self._lengths_B is not None
        full = response.shape[1]
        return torch.where(self._lengths_B == 0, full, self._lengths_B).clamp(max=full)
