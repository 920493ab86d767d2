"""Random projections of the factors of gradients, for scalar products at a known error.

Shapes: N positions, R rows and C columns of a parameter, r = width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from paretune.weighting.gradients.factors import Factors


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
        bits = (torch.arange(256)[:, None] >> torch.arange(8)) & 1
        self._signs_of_octets = (2 * bits - 1) / width**0.5

    def __call__(self, uses: Sequence[Factors], parameter: Tensor, index: int) -> Factors:
        """Return the factors of the projected gradient of the parameter with this index: the positions of all uses."""
        if uses[0].rows is None:
            return Factors(None, torch.cat([use.columns for use in uses]))
        shape = uses[0].shape(parameter)
        left, right = (self._signs(size, index, side, uses[0].columns) for side, size in enumerate(shape))
        rows, columns = [], []
        for use in uses:
            assert use.rows is not None
            columns.append(use.columns if right is None else use.columns @ right.to(use.columns.dtype))
            if not use.scattered:
                rows.append(use.rows if left is None else use.rows @ left.to(use.rows.dtype))
            else:
                rows.append(one_hot(use.rows, shape[0]).to(use.columns.dtype) if left is None else left[use.rows])
        return Factors(torch.cat(rows), torch.cat(columns))

    def _signs(self, size: int, index: int, side: int, like: Tensor) -> Tensor | None:
        """Return signs (size, r) / sqrt(r), the same on every rank; None where nothing is projected."""
        if size <= self.width:
            return None
        state = np.random.SeedSequence([self.seed, self.draw, index, side]).generate_state(1, np.uint64)
        generator = torch.Generator(like.device).manual_seed(int(state[0] >> 1))
        octets = torch.empty(size * self.width // 8 + 1, dtype=torch.uint8, device=like.device)
        octets.random_(0, 256, generator=generator)  # eight signs for one random number
        self._signs_of_octets = self._signs_of_octets.to(like)
        return self._signs_of_octets.index_select(0, octets.int()).flatten()[: size * self.width].view(size, self.width)
