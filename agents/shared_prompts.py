"""Reading a prompt once for all responses to it.

The G responses of a group have the same prompt. Under causal attention its keys and values are the same in all of
them, so that one forward pass over the U different prompts, and a second one over the responses alone that looks back
on them, give what one over whole sequences would. Gradients flow through keys and values.

Shapes: B responses, U different prompts, S prompt tokens, T response tokens, H hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer

from paretune.agents.packing import micro_batches, pass_cost
from paretune.agents.rollout import Tokens

GAIN = 0.95
"""Share of the tokens of whole sequences that may at most be left, for sharing to be worth a second forward pass."""


@dataclass(frozen=True, slots=True)
class GroupedTokens(Tokens):
    """Responses whose equal prompts are read once in each forward pass."""

    def micro_batches(self, rows: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
        """Split `rows` into batches of responses of similar lengths, of at most `max_tokens` tokens.

        Every response counts with a whole prompt: keys and values of the prompt are there for each. Among responses of
        the same length, those to prompts of similar lengths come together.
        """
        rows = rows[np.argsort(-self.prompt_lengths[rows], kind="stable")]
        cost = pass_cost(self.lengths[rows], max_tokens)
        return micro_batches(rows, self.lengths + self.prompt.shape[1], max_tokens, cost)

    @property
    def padding(self) -> tuple[int, int]:
        """Numbers of padding tokens, and of all tokens, of different prompts and of responses."""
        _, mask_US, _ = different_prompts(self.prompt, self.prompt_mask)
        size = mask_US.numel() + self.mask.numel()
        return size - int(mask_US.sum()) - int(self.mask.sum()), size


def grouped(tokens: Tokens, max_tokens: int) -> Tokens:
    """Return responses as `GroupedTokens` if that saves tokens in forward passes of at most `max_tokens`."""
    shared = GroupedTokens(tokens.prompt, tokens.prompt_mask, tokens.response, tokens.mask, tokens.log_probs)
    return shared if _size(shared, max_tokens) < GAIN * _size(tokens, max_tokens) else tokens


def _size(tokens: Tokens, max_tokens: int) -> int:
    rows = np.arange(len(tokens.mask))
    return sum(tokens.select(part).padding[1] for part in tokens.micro_batches(rows, max_tokens))


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


def hidden_states(body: Any, config: PreTrainedConfig, tokens: Tokens) -> Tensor:
    """Return the hidden states (B, T, H) from which each response token is predicted, reading equal prompts once."""
    prompt_US, mask_US, which_B = different_prompts(tokens.prompt, tokens.prompt_mask)
    prompts_USH, cache = read_prompts(body, config, prompt_US, mask_US)
    first_B1H = prompts_USH[which_B, -1:]
    if tokens.response.shape[1] == 1:
        return first_B1H
    cache.batch_select_indices(which_B)
    responses_BT = tokens.response[:, :-1]
    places_T = torch.arange(responses_BT.shape[1], device=responses_BT.device)
    output = body(
        input_ids=responses_BT,
        attention_mask=torch.cat([tokens.prompt_mask.long(), torch.ones_like(responses_BT)], dim=1),
        position_ids=tokens.prompt_mask.sum(1, keepdim=True) + places_T,
        past_key_values=cache,
        use_cache=True,
    )
    return torch.cat([first_B1H, output.last_hidden_state], dim=1)


def has_plain_cache(config: PreTrainedConfig) -> bool:
    """Whether all layers of a model keep the keys and values of all tokens, and nothing else."""
    layers: Sequence[Any] = DynamicCache(config=config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


@torch.no_grad()
def shares_prompts(body: Any, config: PreTrainedConfig, device: torch.device) -> bool:
    """Whether a model reads prompts apart from responses, as told by its cache and by a try on a few tokens."""
    if not has_plain_cache(config):
        return False
    size = config.get_text_config().vocab_size
    prompt = torch.tensor([[0, 1], [2, 3], [2, 3]], device=device) % size
    response = torch.tensor([[4, 5], [4, 6], [7, 5]], device=device) % size
    prompt_mask = torch.tensor([[False, True], [True, True], [True, True]], device=device)
    every = torch.ones_like(response, dtype=torch.bool)
    tokens = Tokens(prompt, prompt_mask, response, every, torch.zeros(response.shape, device=device))
    whole_BL, predecessor_BT = tokens.joined()
    try:
        apart_BTH = hidden_states(body, config, tokens)
    except TypeError:  # a model that takes no position_ids, say
        return False
    whole_BLH = body(input_ids=whole_BL, use_cache=False).last_hidden_state
    whole_BTH = whole_BLH[torch.arange(len(response), device=device)[:, None], predecessor_BT]
    return torch.allclose(apart_BTH, whole_BTH, rtol=1e-3, atol=1e-3 * float(whole_BTH.abs().max()))
