"""What a sampler hands to the trainer: prompts, responses and their tokens.

Shapes: P prompts, G responses per prompt, B = P*G responses (those of a prompt side by side), S prompt tokens,
T response tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from paretune.agents.sequences.packing import micro_batches
from paretune.envs import Prompt, Response


@dataclass(frozen=True, slots=True)
class Tokens:
    """The token side of B responses; prompts are padded on the left, responses on the right.

    Attributes:
        prompt: Prompt tokens (B, S), int64.
        prompt_mask: True where `prompt` is not padding (B, S).
        response: Response tokens (B, T), int64, the end token included.
        mask: True where `response` is not padding (B, T).
        log_probs: Log-probabilities (B, T) of the response's tokens when they were sampled, at the sampling
            temperature and before top-p, float32; 0 at padding.
    """

    prompt: Tensor
    prompt_mask: Tensor
    response: Tensor
    mask: Tensor
    log_probs: Tensor

    @property
    def chosen(self) -> Tensor:
        """What was chosen: the response tokens."""
        return self.response

    @property
    def prompt_lengths(self) -> NDArray[np.int64]:
        """Numbers of prompt tokens (B,)."""
        return self.prompt_mask.sum(1).cpu().numpy()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Numbers of response tokens (B,)."""
        return self.mask.sum(1).cpu().numpy()

    def select(self, rows: NDArray[np.int64]) -> Self:
        """Return the responses `rows`, without the padding columns that none of them needs."""
        index = torch.as_tensor(rows, device=self.prompt.device)
        prompt_mask = self.prompt_mask[index]
        mask = self.mask[index]
        first = self.prompt.shape[1] - int(prompt_mask.sum(1).max())
        last = int(mask.sum(1).max())
        return replace(
            self,
            prompt=self.prompt[index, first:],
            prompt_mask=prompt_mask[:, first:],
            response=self.response[index, :last],
            mask=mask[:, :last],
            log_probs=self.log_probs[index, :last],
        )

    def micro_batches(self, rows: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
        """Split `rows` into batches of at most `max_tokens` tokens of prompts and responses, as `joined` pads them."""
        return micro_batches(rows, self.prompt_lengths + self.lengths, max_tokens)

    @property
    def batch_tokens(self) -> int:
        """What all responses in one batch count as in `micro_batches`."""
        return self.padding[1]

    @property
    def padding(self) -> tuple[int, int]:
        """Numbers of padding tokens, and of all tokens, of prompts and responses as `joined` pads them."""
        lengths = self.prompt_lengths + self.lengths
        size = len(lengths) * int(lengths.max())
        return size - int(lengths.sum()), size

    def joined(self) -> tuple[Tensor, Tensor]:
        """Return prompts with their responses (B, L), L the longest together, padded with 0 on the right.

        Behind what is read, padding changes nothing under any kind of causal attention, so none needs a mask.

        Returns:
            The tokens (B, L), and the place (B, T) in its row of each response token's predecessor, which predicts it.
        """
        prompt_lengths_B1 = self.prompt_mask.sum(1, keepdim=True)
        lengths_B1 = prompt_lengths_B1 + self.mask.sum(1, keepdim=True)
        both = torch.cat([self.prompt, self.response], dim=1)
        place_L = torch.arange(int(lengths_B1.max()), device=both.device)
        source_BL = (place_L + self.prompt.shape[1] - prompt_lengths_B1).clamp(max=both.shape[1] - 1)
        predecessor_BT = torch.arange(-1, self.response.shape[1] - 1, device=both.device) + prompt_lengths_B1
        return both.gather(1, source_BL) * (place_L < lengths_B1), predecessor_BT

    @classmethod
    def concatenate(cls, parts: Sequence[Tokens]) -> Tokens:
        """Put the responses of `parts` behind each other, padding them to common lengths."""
        s = max(part.prompt.shape[1] for part in parts)
        t = max(part.response.shape[1] for part in parts)

        def left(x: Tensor) -> Tensor:
            return pad(x, (s - x.shape[1], 0))

        def right(x: Tensor) -> Tensor:
            return pad(x, (0, t - x.shape[1]))

        return cls(
            prompt=torch.cat([left(part.prompt) for part in parts]),
            prompt_mask=torch.cat([left(part.prompt_mask) for part in parts]),
            response=torch.cat([right(part.response) for part in parts]),
            mask=torch.cat([right(part.mask) for part in parts]),
            log_probs=torch.cat([right(part.log_probs) for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Rollout:
    """Responses sampled from a policy.

    Attributes:
        prompts: B prompts, each as often as it was answered.
        responses: B response texts with their token counts.
        tokens: The same on the token side.
    """

    prompts: list[Prompt]
    responses: list[Response]
    tokens: Tokens

    @property
    def decisions(self) -> Tokens:
        """What the policy chose: the tokens."""
        return self.tokens
