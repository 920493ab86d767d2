"""A Gram matrix that is added up from pieces of the gradients.

Shapes: K objectives.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

CHUNK = 1 << 20
"""Gradient components that are widened to float64 at a time."""

Reduce = Callable[[Tensor], Tensor]
"""Returns the sum of a tensor over the ranks of a data-parallel training; every rank calls it in the same order."""


class GramSum:
    """Adds up the scalar products of K gradients, accumulated in float64."""

    def __init__(self, reduce: Reduce | None = None) -> None:
        """Start at zero; `reduce` makes the gradients sums over ranks before they are multiplied."""
        self._reduce = reduce
        self._sums: dict[torch.device, Tensor] = {}  # (K, K) each; nothing waits for a device before the end

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The products so far (K, K)."""
        matrices = [sums_KK.cpu().double().numpy() for sums_KK in self._sums.values()]
        return np.sum(matrices, axis=0)

    def add(self, gradients: Tensor) -> None:
        """Add the products of components (K, ...) of the K gradients, which `reduce` makes whole first."""
        if not gradients.is_contiguous() and gradients.ndim == 3:
            gradients = gradients.transpose(1, 2)  # the order of components does not matter; it spares a copy
        for chunk_KN in gradients.flatten(1).split(CHUNK, dim=1):
            whole_KN = chunk_KN if self._reduce is None else self._reduce(chunk_KN.contiguous())
            wide_KN = whole_KN.to(widest(whole_KN.device))
            self.add_products(wide_KN @ wide_KN.T)

    def add_products(self, product: Tensor) -> None:
        """Add products (K, K) that are already known."""
        sums_KK = self._sums.setdefault(product.device, torch.zeros_like(product, dtype=widest(product.device)))
        sums_KK += product


def widest(device: torch.device) -> torch.dtype:
    """Return the widest precision of a device: MPS has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64
