"""What policies are scored on: sequences of decisions, such as the tokens of responses or the actions of episodes.

Shapes: B sequences, T decisions.
"""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Decisions(Protocol):
    """B sequences of at most T decisions, such as the tokens of responses or the actions of episodes."""

    @property
    def chosen(self) -> Tensor:
        """What was chosen (B, T), int64."""
        ...

    @property
    def mask(self) -> Tensor:
        """True where `chosen` is not padding (B, T)."""
        ...

    @property
    def log_probs(self) -> Tensor:
        """Log-probabilities (B, T) when it was chosen, float32; 0 at padding."""
        ...

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Numbers of decisions (B,)."""
        ...

    def select(self, rows: NDArray[np.int64]) -> Self:
        """Return the sequences `rows`, without padding that none of them needs."""
        ...

    def micro_batches(self, rows: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
        """Split `rows` into batches of at most `max_tokens`, padding included."""
        ...

    @property
    def batch_tokens(self) -> int:
        """What all sequences in one batch count as in `micro_batches`."""
        ...

    @property
    def padding(self) -> tuple[int, int]:
        """How much of a forward pass is padding, and how much there is in all."""
        ...
