"""A backward pass whose factors are kept: its Gram matrix, and later the gradient of any combination of its scores.

Shapes: B scores of all micro-batches, N positions, K objectives, S parts.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.weighting.gradients.factor_gram import FactorGram
from paretune.weighting.gradients.factors import Factors
from paretune.weighting.gradients.of_scores import OfScores


class KeptPass:
    """The factors of all chosen parameters' gradients, from one or several backward passes with unit coefficients.

    They take as much memory as the modules' inputs and output gradients. With them, the gradient of a combination of
    the scores whose coefficients were not known in time costs neither a forward nor a backward pass, but the products
    that lead to parameters alone.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._uses: dict[nn.Parameter, list[tuple[Factors, Tensor]]] = defaultdict(list)

    def add(self, parameter: nn.Parameter, factors: Factors, scores: Tensor) -> None:
        """Keep a use of a parameter, with the number of the score (N,) that each position belongs to."""
        self._uses[parameter].append((factors, scores))

    @property
    def size(self) -> int:
        """Bytes of memory that the factors take."""
        tensors = [x for uses in self._uses.values() for factors, _ in uses for x in (factors.rows, factors.columns)]
        storages = {x.untyped_storage().data_ptr(): x.untyped_storage() for x in tensors if x is not None}
        return sum(storage.nbytes() for storage in storages.values())

    @torch.no_grad()
    def gram(self, total: FactorGram, order: list[nn.Parameter], advantages: OfScores) -> NDArray[np.float64]:
        """Return the products (S * K, S * K) of the gradients of sum_b advantages_bk * scores_b in each part.

        Args:
            total: What adds them up.
            order: The parameters, in the order that all ranks keep to.
            advantages: Those of all scores.
        """
        for parameter in order:
            if parameter in self._uses:
                uses = [use for kept in self._uses[parameter] for use in advantages.weighed(*kept)]
                total.add(parameter, uses, complete=True)
        return total.matrix()

    def forget(self) -> None:
        """Drop the factors."""
        self._uses.clear()

    @torch.no_grad()
    def backward(self, coefficients: Tensor) -> None:
        """Do what `(coefficients * scores).sum().backward()` does to the chosen parameters, and forget the factors.

        Args:
            coefficients: One for each score (B,), of all micro-batches in their order.
        """
        weights: dict[Tensor, Tensor] = {}  # looked up once for all modules that have the same positions
        while self._uses:
            parameter, uses = self._uses.popitem()
            for factors, scores in uses:
                if scores not in weights:
                    weights[scores] = coefficients[scores]
                factors.add_gradient(parameter, weights[scores].to(factors.columns.dtype))
