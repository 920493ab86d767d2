"""Reading a prompt once for all responses to it.

The G responses of a group have the same prompt. Under causal attention its keys and values are the same in all of
them, so that one forward pass over the U different prompts, and a second one over the responses alone that looks back
on them, give what one over whole sequences would. Gradients flow through keys and values.

Shapes: B responses, U different prompts, S prompt tokens, T response tokens, N = response tokens that are not padding,
H hidden.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

from paretune.agents.sequences.packing import cheapest_runs, micro_batches, pass_cost
from paretune.agents.sequences.rollout import Tokens
from paretune.weighting.gradients.shared_rows import SharedRows
from paretune.weighting.gradients.split import Split

GAIN = 0.95
"""Share of the tokens of whole sequences that may at most be left, for sharing to be worth a second forward pass."""

PASSES = 3
"""How many passes a batch of groups takes: one over its prompts, and two or so over responses of similar lengths."""


@dataclass(frozen=True, slots=True)
class GroupedTokens(Tokens):
    """Responses whose equal prompts are read once in each forward pass.

    Attributes:
        group: Number of each response's prompt (B,); equal prompts have equal numbers.
        copies: How often a prompt is read all the same: K times where gradients of K objectives are told apart.
        shared: How they are told apart.
    """

    group: NDArray[np.int64]
    copies: int = 1
    shared: SharedRows | None = None

    def select(self, rows: NDArray[np.int64]) -> GroupedTokens:
        """Return the responses `rows`, without the padding columns that none of them needs."""
        return replace(Tokens.select(self, rows), group=self.group[rows])

    def told_apart(self, advantages: Tensor, split: Split | None = None) -> GroupedTokens:
        """Return the responses with what tells objectives' gradients apart in shared prompts.

        Args:
            advantages: Those of the objectives (B, K).
            split: The parts of a batch that the responses are in; a prompt is shared within a part only.
        """
        own = self if split is None else replace(self, group=self.group * split.number + split.of)
        (first_U, which_B), device = own.prompts(), advantages.device
        passes = tuple(torch.as_tensor(rows, device=device) for rows in own.passes())
        shared = SharedRows(torch.as_tensor(which_B, device=device), len(first_U), advantages, passes)
        return replace(own, shared=shared)

    def prompts(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a response to each different prompt (U,), and which of these prompts each response has (B,)."""
        _, first_U, which_B = np.unique(self.group, return_index=True, return_inverse=True)
        return first_U, which_B

    def passes(self) -> list[NDArray[np.int64]]:
        """Return the responses that go through the model together: those of similar lengths, one-token ones nowhere."""
        lengths = self.lengths
        rows = np.flatnonzero(lengths > 1)
        return micro_batches(rows, lengths, math.inf) if len(rows) else []

    def micro_batches(self, rows: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
        """Split `rows` into batches of whole groups with prompts of similar lengths, of at most `max_tokens` tokens.

        Every response counts with a whole prompt: keys and values of the prompt are there for each. A group that is too
        large for a batch is split. Of all such splits it is the one with the fewest tokens of prompts, what further
        passes cost included.
        """
        rows = rows[np.argsort(-self.prompt_lengths[rows], kind="stable")]
        both = self.prompt_lengths + self.lengths
        groups = [rows[self.group[rows] == number] for number in dict.fromkeys(self.group[rows].tolist())]
        blocks = [block for group in groups for block in _blocks(group, both, max_tokens)]
        prompts = np.array([self.prompt_lengths[block[0]] for block in blocks])
        sizes = np.cumsum([0, *(max(len(block), self.copies) for block in blocks)])
        responses = np.cumsum([0, *(len(block) * self.lengths[block].max() for block in blocks)])
        cost = PASSES * pass_cost(both[rows], max_tokens)

        def costs(starts: NDArray[np.int64], stop: int) -> NDArray[np.float64]:
            tokens = (sizes[stop] - sizes[starts]) * prompts[starts] + responses[stop] - responses[starts]
            fits = (tokens <= max_tokens) | (starts == stop - 1)
            return np.where(fits, self.copies * (stop - starts) * prompts[starts] + cost, np.inf)

        return [np.concatenate(blocks[run.start : run.stop]) for run in cheapest_runs(len(blocks), costs)]

    @property
    def batch_tokens(self) -> int:
        """What all responses in one batch count as in `micro_batches`."""
        all_lengths = self.lengths
        groups = [all_lengths[self.group == number] for number in np.unique(self.group)]
        read = sum(max(len(lengths), self.copies) for lengths in groups) * int(self.prompt_lengths.max())
        return read + sum(len(lengths) * int(lengths.max()) for lengths in groups)

    @property
    def padding(self) -> tuple[int, int]:
        """Numbers of padding tokens, and of all tokens, of different prompts and of responses."""
        first_U, _ = self.prompts()
        lengths, prompts = self.lengths, self.prompt_lengths[first_U]
        alone = int((lengths == 1).sum())
        size = self.copies * len(prompts) * int(prompts.max()) + alone
        size += sum(len(rows) * int(lengths[rows].max()) for rows in self.passes())
        return size - self.copies * int(prompts.sum()) - int(lengths.sum()), size


def grouped(tokens: Tokens, max_tokens: int, rows: NDArray[np.int64] | None = None, copies: int = 1) -> Tokens:
    """Return responses as `GroupedTokens` if that saves tokens in forward passes over some of them.

    Args:
        tokens: The responses.
        max_tokens: Most tokens of a forward pass.
        rows: Those that there are forward passes over; None is all.
        copies: How often a shared prompt is read.
    """
    rows = np.arange(len(tokens.mask)) if rows is None else rows
    group = different_prompts(tokens.prompt, tokens.prompt_mask)[2].cpu().numpy()
    if copies * len(np.unique(group[rows])) >= len(rows):
        return tokens
    shared = GroupedTokens(
        tokens.prompt, tokens.prompt_mask, tokens.response, tokens.mask, tokens.log_probs, group, copies
    )
    allowed = GAIN * (tokens.prompt_lengths[rows] + tokens.lengths[rows]).sum()
    size = _size(shared, rows, max_tokens)
    return shared if size < allowed or size < GAIN * _size(tokens, rows, max_tokens) else tokens


def _size(tokens: Tokens, rows: NDArray[np.int64], max_tokens: int) -> int:
    return sum(tokens.select(part).padding[1] for part in tokens.micro_batches(rows, max_tokens))


def _blocks(group: NDArray[np.int64], lengths: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
    """Split a group only if it is too large for a batch."""
    if len(group) * lengths[group].max() <= max_tokens:
        return [group]
    return micro_batches(group, lengths, max_tokens, cost=max_tokens)


def different_prompts(prompt: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the different ones of left-padded prompts (B, S).

    Returns:
        Prompts (U, S), their masks (U, S), and which of them each row has (B,).
    """
    both_U2S, which_B = torch.cat([prompt * mask, mask.long()], dim=1).unique(dim=0, return_inverse=True)
    prompt_US, mask_US = both_U2S.chunk(2, dim=1)
    return prompt_US, mask_US.bool(), which_B


def read_prompts(body: Any, config: PreTrainedConfig, prompt: Tensor, mask: Tensor) -> tuple[Tensor, DynamicCache]:
    """Read left-padded prompts (U, S).

    Args:
        body: The model's layers up to the last hidden state.
        config: The model's configuration.
        prompt: The prompts' tokens.
        mask: True where they are not padding.

    Returns:
        Last hidden states (U, S, H), and a cache with the prompts' keys and values.
    """
    cache = DynamicCache(config=config)
    places_US = (mask.cumsum(1) - 1).clamp(min=0)
    output = body(
        input_ids=prompt, attention_mask=mask.long(), position_ids=places_US, past_key_values=cache, use_cache=True
    )
    device = prompt.device.type
    if torch.is_autocast_enabled(device):
        layers: list[Any] = cache.layers
        for layer in layers:  # it widens values to the precision of keys, which rotary embeddings make float32
            layer.values = layer.values.to(torch.get_autocast_dtype(device))
    return output.last_hidden_state, cache


def hidden_states(body: Any, config: PreTrainedConfig, tokens: GroupedTokens) -> Tensor:
    """Return the hidden states (N, H) that response tokens are predicted from, reading equal prompts once.

    Args:
        body: The model's layers up to the last hidden state.
        config: The model's configuration.
        tokens: Responses, of N tokens in all. Where they are told apart, the body is called as their `shared.calls` has
            it.
    """
    first_U, which = tokens.prompts()
    which_B, shared = torch.as_tensor(which, device=tokens.prompt.device), tokens.shared
    prompt_US, mask_US = tokens.prompt[first_U], tokens.prompt_mask[first_U]
    if shared is not None:
        prompt_US, mask_US = shared.spread(prompt_US), shared.spread(mask_US)

    def of(prompts: Tensor, rows: Tensor) -> Tensor:
        """Return what was read of the prompts of these responses."""
        return prompts[which_B[rows]] if shared is None else shared.collect(prompts, rows)

    prompts_USH, cache = read_prompts(body, config, prompt_US, mask_US)
    place_BT = tokens.mask.flatten().cumsum(0).view(tokens.mask.shape) - 1  # among the N
    hidden, places = [of(prompts_USH[:, -1], torch.arange(len(which), device=which_B.device))], [place_BT[:, 0]]
    for rows in tokens.passes():
        part, numbers = tokens.select(rows), torch.as_tensor(rows, device=which_B.device)
        before = DynamicCache(config=config)
        layers: Iterable[Any] = zip(before.layers, cache.layers, strict=True)
        for layer, read in layers:  # without the padding that is on the left of all these prompts
            layer.update(*(of(x[:, :, -part.prompt.shape[1] :], numbers) for x in (read.keys, read.values)))
        hidden_BTH = _read_responses(body, part, before)
        predicted_BT = part.mask[:, 1:]
        hidden.append(hidden_BTH[predicted_BT])
        places.append(place_BT[numbers, 1 : part.mask.shape[1]][predicted_BT])
    return torch.cat(hidden)[torch.cat(places).argsort()]


def _read_responses(body: Any, tokens: Tokens, cache: DynamicCache) -> Tensor:
    """Return the last hidden states (B, T - 1, H) of responses, but for their last tokens, behind their prompts."""
    responses_BT = tokens.response[:, :-1]
    places_T = torch.arange(responses_BT.shape[1], device=responses_BT.device)
    output = body(
        input_ids=responses_BT,
        attention_mask=torch.cat([tokens.prompt_mask.long(), torch.ones_like(responses_BT)], dim=1),
        position_ids=tokens.prompt_mask.sum(1, keepdim=True) + places_T,
        past_key_values=cache,
        use_cache=True,
    )
    hidden_BTH: Tensor = output.last_hidden_state
    return hidden_BTH


@torch.no_grad()
def shares_prompts(body: Any, config: PreTrainedConfig, device: torch.device) -> bool:
    """Whether a model reads prompts apart from responses, as told by its cache and by a try on a few tokens.

    Its layers must keep the keys and values of all tokens, and nothing else.
    """
    layers: Sequence[Any] = DynamicCache(config=config).layers
    if not layers or any(type(layer) is not DynamicLayer for layer in layers):
        return False
    size = config.get_text_config().vocab_size
    prompt = torch.tensor([[0, 1], [2, 3], [2, 3]], device=device) % size
    response = torch.tensor([[4, 5], [4, 6], [7, 5]], device=device) % size
    prompt_mask = torch.tensor([[False, True], [True, True], [True, True]], device=device)
    every, group = torch.ones_like(response, dtype=torch.bool), np.array([0, 1, 1])
    tokens = GroupedTokens(prompt, prompt_mask, response, every, torch.zeros(response.shape, device=device), group)
    whole_BL, predecessor_BT = tokens.joined()
    try:
        apart_NH = hidden_states(body, config, tokens)
    except TypeError:  # a model that takes no position_ids, say
        return False
    whole_BLH = body(input_ids=whole_BL, use_cache=False).last_hidden_state
    whole_NH = whole_BLH[torch.arange(len(response), device=device)[:, None], predecessor_BT].flatten(0, 1)
    return torch.allclose(apart_NH, whole_NH, rtol=1e-3, atol=1e-3 * float(whole_NH.abs().max()))
