"""What all policies share: a model that gives every decision a distribution over what could have been chosen.

Shapes: B sequences, T decisions, N = decisions that are not padding, A choices.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy


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

    def micro_batches(self, rows: NDArray[np.int64], max_tokens: int) -> Iterator[NDArray[np.int64]]:
        """Split `rows` into batches of at most `max_tokens`, padding included."""
        ...


class Policy(ABC):
    """A model that is trained by policy gradients.

    Attributes:
        name: What it was made from.
        model: The model; its parameters that require gradients are trained.
        precision: Number format of the forward pass.
    """

    name: str
    model: nn.Module
    precision: torch.dtype

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the model is."""

    @abstractmethod
    def logits(self, decisions: Decisions) -> Tensor:
        """Return the logits (N, A) of the decisions that are not padding, row by row, from one forward pass."""

    @abstractmethod
    def save(self, folder: str | Path) -> None:
        """Write what `load_saved` makes the policy from again."""

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    def log_probs(self, decisions: Decisions, temperature: float = 1.0) -> Tensor:
        """Return the log-probabilities (B, T) of what was chosen, float32; 0 at padding.

        The logits exist only for decisions that are not padding of these B sequences, so the caller bounds memory by
        passing micro-batches.
        """
        return self._log_probs(self._tempered(decisions, temperature), decisions)

    def log_probs_and_entropies(self, decisions: Decisions, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return `log_probs`, and the entropies (B, T) in nats of the distributions; 0 at padding."""
        logits_NA = self._tempered(decisions, temperature)
        all_NA = logits_NA.log_softmax(-1)
        entropies_N = -(all_NA.exp() * all_NA).sum(-1)
        return self._log_probs(logits_NA, decisions), _at_mask(entropies_N, decisions.mask)

    def reference(self) -> Self:
        """Return a frozen copy of the policy as it is now."""
        frozen = copy.deepcopy(self)
        frozen.model.requires_grad_(False)
        return frozen

    def trained_parameters(self) -> list[str]:
        """Return the names of the parameters that are trained."""
        return [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]

    def train_only(self, names: Collection[str]) -> None:
        """Train the parameters of these names and freeze the others."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in names)

    def check_savable(self) -> None:
        """Raise ValueError if checkpoints of the model could not be loaded again."""

    def _tempered(self, decisions: Decisions, temperature: float) -> Tensor:
        logits = self.logits(decisions)
        return logits.to(torch.promote_types(logits.dtype, torch.float32)) / temperature

    def _log_probs(self, logits_NA: Tensor, decisions: Decisions) -> Tensor:
        chosen_N = decisions.chosen[decisions.mask]
        return _at_mask(-cross_entropy(logits_NA, chosen_N, reduction="none"), decisions.mask)


def _at_mask(values_N: Tensor, mask: Tensor) -> Tensor:
    return values_N.new_zeros(mask.shape).masked_scatter(mask, values_N)
