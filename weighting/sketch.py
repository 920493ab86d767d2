"""Random projections of the factors of gradients, for scalar products at a known error.

Shapes: N positions, R rows and C columns of a parameter, r = width.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from paretune.weighting.factors import Factors


class Sketch:
    """Projects the rows and the columns of a gradient g = rows^T diag(a) columns onto r dimensions each.

    With signs P (R, r) and Q (C, r), independent and +-1 / sqrt(r) with equal probability, E[P P^T] and E[Q Q^T] are
    identities, so E <P^T g Q, P^T h Q> = <g, h>. The standard error of <g, h> is at most of the order of
    2 |g| |h| / sqrt(r) for one parameter and smaller for a sum over many, whose signs are independent. A side of at
    most r components is left as it is, and so are vectors (biases, weights of norms).

    Attributes:
        width: r.
        seed: Seed of the signs.
        draw: Number of the draw; another one gives independent signs.
    """

    def __init__(self, width: int, seed: int) -> None:
        """Set the width and the seed."""
        self.width, self.seed, self.draw = width, seed, 0

    def __call__(self, factors: Factors, parameter: Tensor, index: int) -> Factors:
        """Return the factors of the projected gradient of the parameter with this index."""
        rows, columns = factors.rows, factors.columns
        if rows is None:
            return factors
        n_rows, n_columns = factors.shape(parameter)
        if n_rows > self.width:
            signs = self._signs(n_rows, index, 0, columns)
            rows = signs[rows] if factors.scattered else rows @ signs
        elif factors.scattered:
            rows = one_hot(rows, n_rows).to(columns.dtype)
        if n_columns > self.width:
            columns = columns @ self._signs(n_columns, index, 1, columns)
        return Factors(rows, columns)

    def _signs(self, size: int, index: int, side: int, like: Tensor) -> Tensor:
        """Return signs (size, r) / sqrt(r): the same for every use of a parameter, on every rank."""
        state = np.random.SeedSequence([self.seed, self.draw, index, side]).generate_state(1, np.uint64)
        generator = torch.Generator(like.device).manual_seed(int(state[0] >> 1))
        octets = torch.empty(size * self.width // 8 + 1, 1, dtype=torch.uint8, device=like.device)
        octets.random_(0, 256, generator=generator)  # eight signs for one random number
        bits = octets.bitwise_right_shift(torch.arange(8, dtype=torch.uint8, device=like.device)).bitwise_and_(1)
        signs = bits.flatten()[: size * self.width].view(size, self.width).to(like.dtype)
        return signs.sub_(0.5).mul_(2 / self.width**0.5)
