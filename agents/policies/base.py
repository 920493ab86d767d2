"""What all policies share: a model that gives every decision a distribution over what could have been chosen.

Shapes: B sequences, T decisions, N = decisions that are not padding, A choices.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.agents.processes.distributed import Processes
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.sequences.scoring import score_logits


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

        Memory grows with the B sequences: the caller bounds it by passing micro-batches.
        """
        return _at_mask(self._scores(decisions, temperature, False)[0], decisions.mask)

    def log_probs_and_entropies(self, decisions: Decisions, temperature: float = 1.0) -> tuple[Tensor, Tensor]:
        """Return `log_probs`, and the entropies (B, T) in nats of the distributions; 0 at padding."""
        log_probs_N, entropies_N = self._scores(decisions, temperature, True)
        return _at_mask(log_probs_N, decisions.mask), _at_mask(entropies_N, decisions.mask)

    def arranged(
        self, decisions: Decisions, max_tokens: int, rows: NDArray[np.int64] | None = None, objectives: int = 1
    ) -> Decisions:
        """Return the decisions as forward passes of at most `max_tokens` should take them.

        Args:
            decisions: B sequences of decisions.
            max_tokens: Most tokens of a pass.
            rows: The sequences that there will be passes over; None is all.
            objectives: How many objectives' gradients are told apart; 1 is an update.
        """
        return decisions

    def recomputes(self, decisions: Decisions) -> bool:
        """Whether a forward pass keeps less for its backward pass than all activations, to save memory."""
        return False

    @property
    def holds_reference(self) -> bool:
        """Whether the policy as it was when training began can be had from this one at any time."""
        return False

    def reference(self) -> Self:
        """Return a frozen copy of the policy as it is now."""
        frozen = copy.deepcopy(self)
        frozen.model.requires_grad_(False)
        return frozen

    @property
    def sharded(self) -> bool:
        """Whether this process holds a part of the model only."""
        return False

    def shard(self, processes: Processes) -> None:
        """Leave a part of the model to each process."""
        raise NotImplementedError

    def gathered(self) -> AbstractContextManager[None]:
        """Hold the whole model inside a block, if it is in shards.

        Inside, processes may make different numbers of forward passes, and gradients come from `torch.autograd.grad`
        alone; outside, all must make the same passes.
        """
        return nullcontext()

    def whole(self, keep: bool = True) -> Self | None:
        """Return the policy with the whole model, as it can be saved; None if it is sharded and not to be kept.

        All processes that hold a shard must call it.
        """
        return self

    def trained_parameters(self) -> list[str]:
        """Return the names of the parameters that are trained."""
        return [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]

    def train_only(self, names: Collection[str]) -> None:
        """Train the parameters of these names and freeze the others."""
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in names)

    def check_savable(self) -> None:
        """Raise ValueError if checkpoints of the model could not be loaded again."""

    def _scores(self, decisions: Decisions, temperature: float, entropies: bool) -> tuple[Tensor, Tensor]:
        """Return what `score_logits` does, of the N decisions that are not padding."""
        return score_logits(self.logits(decisions), decisions.chosen[decisions.mask], temperature, entropies)


def _at_mask(values_N: Tensor, mask: Tensor) -> Tensor:
    return values_N.new_zeros(mask.shape).masked_scatter(mask, values_N)
