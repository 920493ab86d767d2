"""Rows of a forward pass that several responses share, such as a prompt's, in one backward pass for all objectives.

One backward pass with unit coefficients tells objectives apart because each row of a module's input leads to one
response, whose coefficients are then known. A row that several responses share adds up what they send back, and no
coefficient fits the sum. So it is there K times, once for each objective: what response b sends back is multiplied by
a_bk on its way into the k-th copy, which then holds what a backward pass from objective k would have brought. For
fewer objectives than responses to a row that is less work than a row for each response.

Shapes: B responses, U shared rows, K objectives, M responses in one pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

RESIDUAL = 1e-5
"""How far coefficients may be from a combination of the advantages, over the largest of them."""


@dataclass(frozen=True, eq=False, slots=True)
class SharedRows:
    """Which of the shared rows each response has, and how objectives are told apart in them.

    The scores that a backward pass starts from count as follows: 0 to B - 1 are the responses', and B + k * U + u
    stands for the k-th copy of row u, with coefficient 1 for objective k and 0 for the others.

    Attributes:
        which: Which of the shared rows each response has (B,).
        number: How many rows are shared: U.
        advantages: The objectives' advantages (B, K).
        passes: The responses (M,) of each call of the model that follows the one with the copies.
    """

    which: Tensor
    number: int
    advantages: Tensor
    passes: tuple[Tensor, ...]

    @property
    def calls(self) -> tuple[Tensor, ...]:
        """The scores that the rows of the model's input belong to, in each of its calls."""
        return self.copies, *self.passes

    @property
    def copies(self) -> Tensor:
        """The scores of the copies (K * U,)."""
        b, k = self.advantages.shape
        return b + torch.arange(k * self.number, device=self.which.device)

    def spread(self, values: Tensor) -> Tensor:
        """Return the copies (K * U, ...) of shared rows (U, ...)."""
        return values.repeat(self.advantages.shape[1], *[1] * (values.ndim - 1))

    def collect(self, copies: Tensor, responses: Tensor) -> Tensor:
        """Return the row (M, ...) of each of some responses (M,) from the copies (K * U, ...)."""
        collected: Tensor = _Collect.apply(copies, self.which[responses], self.advantages[responses], self.number)
        return collected

    def extended(self, advantages: Tensor) -> Tensor:
        """Return the coefficients (B + K * U, K) of all scores for advantages (B, K)."""
        each_KK = torch.eye(advantages.shape[1], dtype=advantages.dtype, device=advantages.device)
        return torch.cat([advantages, each_KK.repeat_interleave(self.number, 0)])

    def extended_parts(self, parts: Tensor | None) -> Tensor | None:
        """Return the part that each score is in (B + K * U,), given those of the responses (B,).

        Responses must share rows within a part only.
        """
        if parts is None:
            return None
        of_rows_U = parts.new_zeros(self.number)
        of_rows_U[self.which] = parts
        assert torch.equal(of_rows_U[self.which], parts)
        return torch.cat([parts, of_rows_U.repeat(self.advantages.shape[1])])

    def coefficients(self, responses: Tensor) -> Tensor | None:
        """Return one coefficient for each score (B + K * U,) so that the responses' are those given (B,).

        Those of the copies of a row combine the advantages of its responses to their coefficients. Weighted sums of
        advantages are such combinations, also after the groups are centred or scaled. None: there is no combination.
        """
        wanted_B, which_B = responses.detach().double().cpu().numpy(), self.which.cpu().numpy()
        advantages_BK = self.advantages.double().cpu().numpy()
        combination_KU = np.zeros((advantages_BK.shape[1], self.number))
        for u in range(self.number):
            own = which_B == u
            combination_KU[:, u] = np.linalg.lstsq(advantages_BK[own], wanted_B[own], rcond=RESIDUAL)[0]
        reached_B = (advantages_BK * combination_KU.T[which_B]).sum(1)
        if np.abs(reached_B - wanted_B).max() > RESIDUAL * np.abs(wanted_B).max():
            return None
        copies = torch.as_tensor(combination_KU.flatten(), dtype=responses.dtype, device=responses.device)
        return torch.cat([responses, copies])


class _Collect(torch.autograd.Function):
    """From copies of rows to one row for each response; backward, response b counts a_bk times in the k-th copy."""

    @staticmethod
    def forward(ctx: Any, copies: Tensor, which: Tensor, advantages: Tensor, number: int) -> Tensor:
        """Take the rows from the first copy: all are equal."""
        ctx.save_for_backward(which, advantages)
        ctx.number = number
        return copies[which]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, None, None, None]:
        """Return the gradients of the copies."""
        which_M, advantages_MK = ctx.saved_tensors
        (m, k), single = advantages_MK.shape, torch.promote_types(d.dtype, torch.float32)
        shares_MKU = d.new_zeros(m, k, ctx.number, dtype=single)
        shares_MKU[torch.arange(m, device=d.device), :, which_M] = advantages_MK.to(single)
        copies = shares_MKU.flatten(1).T @ d.flatten(1).to(single)
        return copies.view(-1, *d.shape[1:]).to(d.dtype), None, None, None
