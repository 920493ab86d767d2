"""What a sampler hands to the trainer: prompts, responses and their tokens.

Shapes: P prompts, G responses per prompt, B = P*G responses (those of a prompt side by side), S prompt tokens,
T response tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

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

    def select(self, rows: NDArray[np.int64]) -> Tokens:
        """Return the responses `rows`, without the padding columns that none of them needs."""
        index = torch.as_tensor(rows, device=self.prompt.device)
        prompt_mask = self.prompt_mask[index]
        mask = self.mask[index]
        first = self.prompt.shape[1] - int(prompt_mask.sum(1).max())
        last = int(mask.sum(1).max())
        return Tokens(
            prompt=self.prompt[index, first:],
            prompt_mask=prompt_mask[:, first:],
            response=self.response[index, :last],
            mask=mask[:, :last],
            log_probs=self.log_probs[index, :last],
        )

    def micro_batches(self, rows: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[np.int64]]:
        """Split `rows` into batches of at most `max_tokens` tokens, padding included, longest responses first.

        A response that is longer than `max_tokens` by itself is a batch of its own.
        """
        return micro_batches(rows, self.prompt_lengths, self.lengths, max_tokens)

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


def micro_batches(
    rows: NDArray[np.int64], prompt_lengths: NDArray[np.int64], lengths: NDArray[np.int64], max_tokens: int
) -> Iterator[NDArray[np.int64]]:
    """Split sequences into batches of at most `max_tokens`, padding included, longest first.

    Args:
        rows: The sequences' numbers.
        prompt_lengths: What stands before each sequence (B,), padded on its own.
        lengths: Lengths (B,) of the sequences.
        max_tokens: Most of a batch; a sequence that is longer by itself is a batch of its own.
    """
    rows = rows[np.argsort(-(prompt_lengths + lengths)[rows], kind="stable")]
    start = 0
    while start < len(rows):
        widths = np.maximum.accumulate(prompt_lengths[rows[start:]])
        widths = widths + np.maximum.accumulate(lengths[rows[start:]])
        fitting = int(np.searchsorted(widths * np.arange(1, len(widths) + 1), max_tokens, side="right"))
        stop = start + max(1, fitting)
        yield rows[start:stop]
        start = stop
