"""The Gram matrix of K gradients from their factors, parameter by parameter.

A parameter's K gradients are g_k = sum_n a_nk * outer(r_n, c_n) over positions n (`factors.py`). There are two ways to
their products, with the same result:

    over components:  <g_j, g_k> = sum of g_j * g_k               K * N * R * C operations
    over positions:   <g_j, g_k> = sum_nm a_nj a_mk (r_n . r_m) (c_n . c_m)   N^2 * (R + C) operations

The second is the shorter one where a matrix is large and positions are few, and never has a gradient in memory.

Where a batch is in S parts, there are K gradients of each part, and the matrix is (S * K, S * K). A position is in one
part, so this is no more work over components, but for the products themselves, and less over positions.

Shapes: N and M positions, R rows and C columns of a parameter, K objectives, S parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.weighting.gradients.factors import CHUNK, Factors
from paretune.weighting.gradients.gram_sum import GramSum, Reduce, widest
from paretune.weighting.gradients.sketch import Sketch


class Weighed(NamedTuple):
    """Factors of a gradient, and what their positions count.

    Attributes:
        factors: The factors.
        coefficients: Those of the K objectives (N, K).
        part: The part that the positions are in.
    """

    factors: Factors
    coefficients: Tensor
    part: int = 0


PAIR_COST = 64
"""What the elementwise work on a pair of positions costs, in components."""


class FactorGram:
    """Adds up a Gram matrix from the factors of gradients.

    What ranks sum up, and the order of it, depends on nothing but the parameters: each rank has its own positions.
    """

    def __init__(
        self, parameters: Mapping[nn.Parameter, int], reduce: Reduce | None, sketch: Sketch | None, parts: int = 1
    ) -> None:
        """Start at zero.

        Args:
            parameters: The parameters, with their numbers, which sketches go by.
            reduce: Makes gradients sums over ranks.
            sketch: Projects the factors first.
            parts: S.
        """
        self._index, self._reduce, self._sketch, self._parts = parameters, reduce, sketch, parts
        self._total = GramSum(reduce)
        self._held: dict[nn.Parameter, Tensor] = {}  # gradients (S * K, R, C) of incomplete parameters

    def add(self, parameter: nn.Parameter, uses: Sequence[Weighed], complete: bool) -> None:
        """Take uses of a parameter; once they are `complete` its products are added, and before it is kept."""
        if self._sketch is not None:
            uses = self._sketched(parameter, uses)
        if complete and self._reduce is None and parameter not in self._held:
            if positions_are_cheaper(uses):
                self._total.add_products(_over_positions(uses, self._parts))
            else:
                for gradients in _some_rows_at_a_time(uses, self._parts):
                    self._total.add(gradients)
            return
        held = self._held.pop(parameter, None)
        for factors, a_NK, part in uses:
            k = a_NK.shape[1]
            if held is None:
                shape, single = factors.shape(parameter), torch.promote_types(factors.columns.dtype, torch.float32)
                held = factors.columns.new_zeros(self._parts * k, *shape, dtype=single)
            for rows, gradients in factors.products(a_NK):
                held[part * k : part * k + k, rows] += gradients
        assert held is not None
        if complete:
            self._total.add(held)
        else:
            self._held[parameter] = held

    def _sketched(self, parameter: nn.Parameter, uses: Sequence[Weighed]) -> list[Weighed]:
        """Return the uses with projected factors, joined to one for each part."""
        assert self._sketch is not None
        found = []
        for part in sorted({use.part for use in uses}):
            own = [use for use in uses if use.part == part]
            projected = self._sketch([use.factors for use in own], parameter, self._index[parameter])
            found.append(Weighed(projected, torch.cat([use.coefficients for use in own]), part))
        return found

    def matrix(self) -> NDArray[np.float64]:
        """Return the products (S * K, S * K), those of incomplete parameters included."""
        for gradients in self._held.values():
            self._total.add(gradients)
        self._held = {}
        return self._total.matrix


def _some_rows_at_a_time(uses: Sequence[Weighed], parts: int) -> Iterator[Tensor]:
    """Yield the sums over the uses of the gradients (S * K, r, C) of r rows at a time."""
    scattered = [use for use in uses if use.factors.scattered]
    dense = [use for use in uses if not use.factors.scattered]
    found = _scattered(scattered, parts) if scattered else None
    if found is not None and not dense:
        yield found[1]
    for pieces in zip(*(use.factors.products(use.coefficients, parts) for use in dense), strict=True):
        rows, gradients = pieces[0]
        if parts > 1:
            gradients = _joined([gradients for _, gradients in pieces], [use.part for use in dense], parts)
        elif len(uses) > 1:
            gradients = gradients.to(torch.promote_types(gradients.dtype, torch.float32))
            for _, more in pieces[1:]:
                gradients += more
        if found is not None:
            assert isinstance(rows, slice)
            numbers_U, gradients_KUC = found
            here_U = (numbers_U >= rows.start) & (numbers_U < rows.stop)
            gradients[:, numbers_U[here_U] - rows.start] += gradients_KUC[:, here_U]
        yield gradients


def _joined(pieces: Sequence[Tensor], of: Sequence[int], parts: int) -> Tensor:
    """Return the gradients (S * K, r, C) of all parts from pieces (K, r, C), each of one of them, which add up."""
    k, rows, columns = pieces[0].shape
    single = torch.promote_types(pieces[0].dtype, torch.float32)
    if pieces[0].is_contiguous():
        gradients = pieces[0].new_zeros(parts, k, rows, columns, dtype=single)
    else:
        gradients = pieces[0].new_zeros(parts, k, columns, rows, dtype=single).transpose(2, 3)
    for piece, part in zip(pieces, of, strict=True):
        gradients[part] += piece
    return gradients.flatten(0, 1)


def _scattered(uses: Sequence[Weighed], parts: int) -> tuple[Tensor, Tensor]:
    """Return which rows of an embedding occur in its uses (U,), and the gradients (S * K, U, C) of these."""
    rows = torch.cat([use.factors.rows for use in uses if use.factors.rows is not None])
    joined = Factors(rows, torch.cat([use.factors.columns for use in uses]))
    numbers_U, gradients_KUC = next(joined.products(torch.cat([_at_part(use, parts) for use in uses])))
    assert isinstance(numbers_U, Tensor)
    return numbers_U, gradients_KUC


def _at_part(use: Weighed, parts: int) -> Tensor:
    """Return the coefficients (N, S * K) of positions for the gradients of all parts: zero but for their own."""
    n, k = use.coefficients.shape
    wide_NSK = use.coefficients.new_zeros(n, parts, k)
    wide_NSK[:, use.part] = use.coefficients
    return wide_NSK.flatten(1)


def positions_are_cheaper(uses: Sequence[Weighed]) -> bool:
    """Whether products over pairs of positions are fewer than those over components."""
    over_positions = over_components = 0
    n_positions = sum(len(use.coefficients) for use in uses)
    for factors, a_NK, _ in uses:
        if factors.rows is None:  # a vector
            return False
        n_rows, n_columns = 0 if factors.scattered else factors.rows.shape[1], factors.columns.shape[1]
        over_positions += len(a_NK) * n_positions * (n_rows + n_columns + PAIR_COST)
        over_components += a_NK.numel() * n_columns * max(n_rows, 1)
    return over_positions < over_components


def _over_positions(uses: Sequence[Weighed], parts: int) -> Tensor:
    """Return the products (S * K, S * K) over pairs of positions."""
    k, device = uses[0].coefficients.shape[1], uses[0].coefficients.device
    total_SKSK = torch.zeros(parts, k, parts, k, dtype=widest(device), device=device)
    for i, j in combinations_with_replacement(range(len(uses)), 2):
        product_KK = _of_two(uses[i], uses[j])
        total_SKSK[uses[i].part, :, uses[j].part] += product_KK
        if i != j:
            total_SKSK[uses[j].part, :, uses[i].part] += product_KK.T
    return total_SKSK.view(parts * k, parts * k)


def _of_two(first: Weighed, second: Weighed) -> Tensor:
    """Return sum_nm a_nj b_mk (r_n . s_m) (c_n . d_m), (K, K), a few million pairs of positions at a time."""
    (one, a_NK, _), (other, b_MK, _) = first, second
    single = torch.promote_types(one.columns.dtype, torch.float32)
    left_KM = a_NK.new_zeros(a_NK.shape[1], len(b_MK), dtype=single)
    size = max(CHUNK // len(b_MK), 1)
    for start in range(0, len(a_NK), size):
        part = slice(start, start + size)
        pairs_NM = (one.columns[part] @ other.columns.T).to(single) * _row_products(one, other, part)
        left_KM.addmm_(a_NK[part].T.to(single), pairs_NM)
    wide = widest(a_NK.device)
    return left_KM.to(wide) @ b_MK.to(wide)


def _row_products(one: Factors, other: Factors, part: slice) -> Tensor:
    """Return r_n . s_m (N, M) of some positions n and all m; rows that are numbers stand for unit vectors."""
    assert one.rows is not None and other.rows is not None
    rows = one.rows[part]
    if one.scattered and other.scattered:
        return rows[:, None] == other.rows
    if one.scattered:
        return other.rows.T[rows]
    return rows[:, other.rows] if other.scattered else rows @ other.rows.T
