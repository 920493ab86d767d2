"""How the gradient of a parameter follows from the input and the output gradient of the module that holds it.

In a linear layer y = W x + b, with inputs X and output gradients D at N positions (tokens of responses), the gradient
is grad W = D^T X: a sum over positions. If D belongs to a sum of scores, one per response, each position's term
belongs to one response, and sum_b a_b * score_b, whatever the coefficients a, has the gradient D^T diag(a) X. The same
holds for embeddings, where X is one-hot, and, with vectors in place of matrices, for biases and the weights of norms.

Shapes: N positions, R rows and C columns of a parameter, K objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

CHUNK = 1 << 22
"""Most components of K gradients that are computed at a time, if one row of them is not more."""

Rows = slice | Tensor


@dataclass(frozen=True, slots=True)
class Factors:
    """The gradient of one parameter from one call of its module: g = sum_n a_n * outer(rows_n, columns_n).

    Attributes:
        rows: (N, R); or (N,), integers: the numbers of the rows, each with factor 1; or None for a vector, which
            counts as one row.
        columns: (N, C).
    """

    rows: Tensor | None
    columns: Tensor

    @property
    def scattered(self) -> bool:
        """Whether `rows` are numbers of rows."""
        return self.rows is not None and self.rows.ndim == 1

    def shape(self, parameter: Tensor) -> tuple[int, int]:
        """Return R and C; rows that are scattered are those of `parameter`."""
        if self.rows is None:
            return 1, self.columns.shape[1]
        return len(parameter) if self.scattered else self.rows.shape[1], self.columns.shape[1]

    def at(self, positions: Tensor) -> Factors:
        """Return the factors of some positions."""
        return Factors(None if self.rows is None else self.rows[positions], self.columns[positions])

    def add_gradient(self, parameter: Tensor, coefficients: Tensor) -> None:
        """Add the gradient to the parameter's `.grad`, as a backward pass does.

        Args:
            parameter: The parameter.
            coefficients: a (N,), in the precision of the factors.
        """
        if self.scattered:
            assert self.rows is not None
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad.index_add_(0, self.rows, (self.columns * coefficients[:, None]).to(parameter.dtype))
            return
        rows, columns = self.rows, self.columns
        if rows is None:
            rows = coefficients[:, None]
        elif rows.shape[1] <= columns.shape[1]:
            rows = rows * coefficients[:, None]
        else:
            columns = columns * coefficients[:, None]
        if parameter.grad is None:
            parameter.grad = (rows.T @ columns).view_as(parameter).to(parameter.dtype)
        elif parameter.dtype == columns.dtype:
            parameter.grad.view(rows.shape[1], columns.shape[1]).addmm_(rows.T, columns)
        else:
            parameter.grad.add_((rows.T @ columns).view_as(parameter))

    def products(self, coefficients: Tensor, parts: int = 1) -> Iterator[tuple[Rows, Tensor]]:
        """Yield the K gradients (K, r, C) of r rows at a time, and which rows these are.

        Args:
            coefficients: a (N, K), in the precision of the factors.
            parts: With the gradients of how many parts of a batch these are in memory at a time.
        """
        if self.rows is None:
            yield slice(0, 1), (coefficients.T @ self.columns)[:, None]
        elif self.scattered:
            yield self._scatter(self.rows, coefficients)
        else:
            yield from self._dense(self.rows, coefficients, parts)

    def _scatter(self, rows: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        numbers, position = rows.unique(return_inverse=True)
        columns_NC = self.columns.to(torch.promote_types(self.columns.dtype, torch.float32))  # a token may occur often
        gradients_KUC = columns_NC.new_zeros(coefficients.shape[1], len(numbers), columns_NC.shape[1])
        for gradient_UC, coefficients_N in zip(gradients_KUC, coefficients.T, strict=True):
            gradient_UC.index_add_(0, position, columns_NC * coefficients_N[:, None])
        return numbers, gradients_KUC

    def _dense(self, rows: Tensor, coefficients: Tensor, parts: int) -> Iterator[tuple[slice, Tensor]]:
        """Multiply the smaller factor by the coefficients, then all K gradients of a chunk at once."""
        n_rows, n_columns, k = rows.shape[1], self.columns.shape[1], coefficients.shape[1]
        few_rows = n_rows <= n_columns
        weighed = None if few_rows else _weigh(self.columns, coefficients)
        size = max(CHUNK // (parts * k * n_columns), 1)
        for start in range(0, n_rows, size):
            chunk = slice(start, min(start + size, n_rows))
            if weighed is None:
                gradients = _weigh(rows[:, chunk], coefficients).T @ self.columns
                yield chunk, gradients.view(k, -1, n_columns)
            else:
                gradients = weighed.T @ rows[:, chunk]
                yield chunk, gradients.view(k, n_columns, -1).transpose(1, 2)


def _weigh(factor: Tensor, coefficients: Tensor) -> Tensor:
    """Return a factor (N, F) times each of the K coefficients: (N, K * F)."""
    return (coefficients[:, :, None] * factor[:, None]).flatten(1)


Kind = Callable[[nn.Module, str, Tensor, Tensor], Factors]
"""From a module, the name of its parameter, its input and its output gradient to the factors."""


def kind_of(module: nn.Module) -> Kind | None:
    """Return how the gradients of a module's own parameters factor, or None if that is not known."""
    if "forward" in vars(module):  # replaced on the object: it may do anything
        return None
    forward = type(module).forward
    if isinstance(module, nn.Embedding) and forward is nn.Embedding.forward:
        plain = module.max_norm is None and not module.scale_grad_by_freq and not module.sparse
        return _embedding if plain else None
    if isinstance(module, nn.LayerNorm) and forward is nn.LayerNorm.forward:
        return _norm if len(module.normalized_shape) == 1 else None
    if isinstance(module, nn.Linear) and forward is nn.Linear.forward:
        return _linear
    if isinstance(module, Conv1D) and forward is Conv1D.forward:
        return _conv1d
    return _rms_norm_kind(module) if type(module).__name__.endswith("RMSNorm") else None


def _linear(module: nn.Module, name: str, x: Tensor, d: Tensor) -> Factors:
    return Factors(_flat(d), _flat(x).to(d.dtype)) if name == "weight" else Factors(None, _flat(d))


def _conv1d(module: nn.Module, name: str, x: Tensor, d: Tensor) -> Factors:
    """GPT-2's linear layer, whose weight is transposed."""
    return Factors(_flat(x).to(d.dtype), _flat(d)) if name == "weight" else Factors(None, _flat(d))


def _embedding(module: nn.Module, name: str, x: Tensor, d: Tensor) -> Factors:
    assert isinstance(module, nn.Embedding)
    if module.padding_idx is not None:  # this row gets no gradient
        d = d.masked_fill(x.eq(module.padding_idx)[..., None], 0.0)
    return Factors(x.flatten(), _flat(d))


def _norm(module: nn.Module, name: str, x: Tensor, d: Tensor) -> Factors:
    return Factors(None, _flat(d * _slope(module, x)) if name == "weight" else _flat(d))


def _slope(module: nn.Module, x: Tensor) -> Tensor:
    """Return the derivative of a norm's output with respect to its weight, which it is affine in."""
    if isinstance(module, nn.LayerNorm):
        return functional.layer_norm(x, module.normalized_shape, None, None, module.eps)
    assert isinstance(module.weight, Tensor)
    one = torch.ones_like(module.weight)
    return _with_weight(module, one, x) - _with_weight(module, torch.zeros_like(one), x)


def _scale(module: nn.Module, name: str, x: Tensor, d: Tensor) -> Factors:
    """A norm whose output is its weight times something."""
    assert isinstance(module.weight, Tensor)
    return Factors(None, _flat(d * _with_weight(module, torch.ones_like(module.weight), x)))


def _with_weight(module: nn.Module, weight: Tensor, x: Tensor) -> Tensor:
    output: Tensor = torch.func.functional_call(module, {"weight": weight}, (x,))
    return output


@torch.no_grad()
def _rms_norm_kind(module: nn.Module) -> Kind | None:
    """Return the kind of a norm with a weight (C,) alone, if component c of its output is affine in that of the weight.

    This is tried on a few numbers: such norms have many classes, some of which add 1 to the weight.
    """
    weight = getattr(module, "weight", None)
    if [name for name, _ in module.named_parameters()] != ["weight"] or weight is None or weight.ndim != 1:
        return None
    x = torch.linspace(-1, 2, 3 * len(weight), dtype=weight.dtype, device=weight.device).view(3, -1)
    some = torch.linspace(0.5, 2.0, len(weight), dtype=weight.dtype, device=weight.device)
    try:
        at_zero = _with_weight(module, torch.zeros_like(weight), x)
        expected = at_zero + some * _slope(module, x)
        actual = _with_weight(module, some, x)
    except (TypeError, RuntimeError):  # it takes other inputs
        return None
    if not torch.allclose(actual, expected, rtol=2e-2 if weight.element_size() < 4 else 1e-4):
        return None
    return _norm if at_zero.any() else _scale


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])
