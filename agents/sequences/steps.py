"""What a policy did in the episodes of a stepped environment.

Shapes: B episodes, T steps, D features, K objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from paretune.agents.sequences.packing import micro_batches
from paretune.envs import Response

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Steps:
    """The decisions of B episodes, padded on the right.

    Attributes:
        features: What the policy read (B, T, D), float32.
        actions: Actions from 0 (B, T), int64.
        mask: True where `actions` is not padding (B, T).
        log_probs: Log-probabilities (B, T) of the actions when they were drawn, float32; 0 at padding.
    """

    features: Tensor
    actions: Tensor
    mask: Tensor
    log_probs: Tensor

    @property
    def chosen(self) -> Tensor:
        """The actions."""
        return self.actions

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Numbers of steps (B,)."""
        return self.mask.sum(1).cpu().numpy()

    def select(self, rows: NDArray[np.int64]) -> Steps:
        """Return the episodes `rows`, without the padding that none of them needs."""
        index = torch.as_tensor(rows, device=self.mask.device)
        last = int(self.mask[index].sum(1).max())
        return Steps(*(x[index, :last] for x in (self.features, self.actions, self.mask, self.log_probs)))

    def micro_batches(self, rows: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
        """Split `rows` into few batches of at most `max_tokens` steps, padding included.

        For a small network a pass costs more than padding.
        """
        return micro_batches(rows, self.lengths, max_tokens, cost=max_tokens)

    @property
    def batch_tokens(self) -> int:
        """What all episodes in one batch count as in `micro_batches`."""
        return self.padding[1]

    @property
    def padding(self) -> tuple[int, int]:
        """Numbers of padding steps, and of all steps."""
        return int((~self.mask).sum()), self.mask.numel()


@dataclass(frozen=True, slots=True)
class Episodes:
    """Episodes that a policy acted out.

    Attributes:
        rewards: Vector rewards (B, T, K), 0 behind an episode's end.
        decisions: What the policy read and did.
    """

    rewards: Array
    decisions: Steps

    @classmethod
    def concatenate(cls, parts: Sequence[Episodes]) -> Episodes:
        """Put the episodes of `parts` behind each other, padding them to a common length."""
        t = max(part.rewards.shape[1] for part in parts)

        def padded(x: Tensor) -> Tensor:
            return pad(x, (0, 0) * (x.ndim - 2) + (0, t - x.shape[1]))

        steps = [part.decisions for part in parts]
        return cls(
            rewards=np.concatenate(
                [np.pad(part.rewards, ((0, 0), (0, t - part.rewards.shape[1]), (0, 0))) for part in parts]
            ),
            decisions=Steps(
                features=torch.cat([padded(part.features) for part in steps]),
                actions=torch.cat([padded(part.actions) for part in steps]),
                mask=torch.cat([padded(part.mask) for part in steps]),
                log_probs=torch.cat([padded(part.log_probs) for part in steps]),
            ),
        )

    @property
    def responses(self) -> list[Response]:
        """The B sequences of actions as texts, numbers between blanks."""
        rows = zip(self.decisions.actions.tolist(), self.decisions.lengths, strict=True)
        return [Response(" ".join(map(str, actions[:n])), int(n)) for actions, n in rows]
