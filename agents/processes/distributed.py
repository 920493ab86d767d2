"""Several processes that train one policy together, each on its share of the prompts.

`accelerate launch -m paretune.cli train ...` starts them. Every process holds the whole policy, or a shard of it, and
goes through the same loop; each answers its share of a step's prompts, and gradients are summed. Rewards, weights,
archive and Gram matrix are those of all shares together, computed from the same numbers in the same order: they are
equal everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import gather_object, reduce
from numpy.typing import NDArray
from torch import Tensor, nn

T = TypeVar("T")

BUCKET = 1 << 25
"""Gradient components that are summed over the processes at a time."""


class Processes:
    """This process and the others.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        """Take them as they are; `launched` is what a program wants."""
        self.rank, self.size = rank, size

    @classmethod
    def launched(cls) -> Self:
        """Return the processes that a launcher (accelerate, torchrun) has started, or this one alone."""
        if launched_number() == 1:
            return cls()
        state = PartialState(cpu=not torch.accelerator.is_available())
        return cls(state.process_index, state.num_processes)

    @property
    def main(self) -> bool:
        """Whether this process writes files and talks to the user."""
        return self.rank == 0

    def share(self, number: int) -> slice:
        """Return which of `number` things are this process's, one run of neighbours.

        Example:
            >>> [Processes(rank, 2).share(5) for rank in range(2)]
            [slice(0, 2, None), slice(2, 5, None)]
        """
        return slice(number * self.rank // self.size, number * (self.rank + 1) // self.size)

    def gathered(self, value: T) -> list[T]:
        """Return what all processes have, by rank."""
        return [value] if self.size == 1 else gather_object([value])

    def joined(self, values: Sequence[T]) -> list[T]:
        """Return the lists of all processes behind each other."""
        return [value for values in self.gathered(list(values)) for value in values]

    def concatenated(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the arrays of all processes behind each other; shorter second axes are filled up with zeros."""
        parts = self.gathered(array)
        if array.ndim == 1:
            return np.concatenate(parts)
        width = max(part.shape[1] for part in parts)
        filled = [np.pad(x, [(0, 0), (0, width - x.shape[1]), *[(0, 0)] * (x.ndim - 2)]) for x in parts]
        return np.concatenate(filled)

    def summed(self, numbers: Mapping[str, float]) -> dict[str, Any]:
        """Return the sums over the processes of numbers by name."""
        totals: dict[str, Any] = {}
        for part in self.gathered(dict(numbers)):
            for name, value in part.items():
                totals[name] = totals.get(name, 0) + value
        return totals

    def any(self, flag: bool) -> bool:
        """Return whether it is so in any process."""
        return any(self.gathered(flag))

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace the gradients by their sums over the processes; one that no process has stays away."""
        if self.size == 1:
            return
        holders = zip(*self.gathered([parameter.grad is not None for parameter in parameters]), strict=True)
        present = [parameter for parameter, held in zip(parameters, holders, strict=True) if any(held)]
        for bucket in _buckets(present):
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in bucket]
            total = self.sum_tensor(torch.cat([gradient.flatten() for gradient in gradients]))
            for parameter, part in zip(bucket, total.split([p.numel() for p in bucket]), strict=True):
                parameter.grad = part.view_as(parameter).clone()

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """Return the sum over the processes of a tensor that has the same shape in all of them."""
        total: Any = tensor if self.size == 1 else reduce(tensor, "sum")
        return total


def launched_number() -> int:
    """Return how many processes a launcher has started; without one it is this one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    bucket: list[nn.Parameter] = []
    for parameter in parameters:
        if bucket and sum(p.numel() for p in bucket) + parameter.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(parameter)
    if bucket:
        yield bucket
