"""Taps: where the inputs and output gradients of modules are read while one backward pass goes by.

A tap is an operation without effect behind a module. It saves the module's input as torch saves what a backward pass
needs, so that under gradient checkpointing the input is recomputed with the rest, and gets the output's gradient when
the backward pass comes by. Taps in a part of the graph that is only there to recompute activations never get one:
nothing is counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TRANSPARENT = frozenset({"TBackward0", "ToCopyBackward0"})
"""Operations behind a parameter that all its uses may share: autocast casts and transposes a weight once."""


TAP = "TapBackward"
"""Name of a tap in the graph."""


@dataclass(frozen=True, eq=False, slots=True)
class Use:
    """One call of a module that holds chosen parameters.

    Attributes:
        module: The module.
        parameters: Its own chosen parameters, by their names in it.
        rows: Rows of its input.
        responses: The score that each of them belongs to; None if row b is all of response b.
        take: Called with this object, the input and the output gradient.
    """

    module: nn.Module
    parameters: Mapping[str, nn.Parameter]
    rows: int
    responses: Tensor | None
    take: Callable[[Use, Tensor, Tensor], None]


class Tap(torch.autograd.Function):
    """Returns a module's output as it is; `anchor`, a leaf, is what the backward pass is asked to reach."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, anchor: Tensor, use: Use) -> Tensor:
        """Save the input."""
        ctx.save_for_backward(x)
        ctx.use = use
        return output.view_as(output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d: Tensor) -> tuple[Tensor, None, None, None]:
        """Hand over input and output gradient."""
        (x,) = ctx.saved_tensors
        ctx.use.take(ctx.use, x, d)
        return d, None, None, None


class Calls:
    """Counts the calls of a module: of all of it, or of a part of it that is called by itself, as its body or its head.

    Attributes:
        number: Number of the call that is going on, from 0.
    """

    def __init__(self) -> None:
        """Start before the first call."""
        self.number, self._depth = -1, 0

    @contextmanager
    def counted(self, module: nn.Module) -> Iterator[None]:
        """Count calls inside the block; what a call calls in its turn is a part of it."""
        handles = [part.register_forward_pre_hook(self._enter) for part in module.modules()]
        handles += [part.register_forward_hook(self._leave) for part in module.modules()]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, *_: Any) -> None:
        self.number += self._depth == 0
        self._depth += 1

    def _leave(self, *_: Any) -> None:
        self._depth -= 1


def uses_of(scores: Tensor, parameters: Mapping[str, nn.Parameter], mode: str) -> list[Use]:
    """Return the uses in the graph of `scores`, after checking that they are all there are.

    Raises:
        ValueError: If a parameter takes part in the scores otherwise than through a tapped module.
    """
    names = {parameter: name for name, parameter in parameters.items()}
    in_graph, tapped, uses = Counter[Tensor](), Counter[Tensor](), []
    for node in _nodes(scores):
        use: Use | None = getattr(node, "use", None) if node.name() == TAP else None
        if use is not None:
            uses.append(use)
            tapped.update(use.parameters.values())
        if node.name() not in TRANSPARENT:
            in_graph.update(_parameters_read_by(node, names))
    for parameter, name in names.items():
        if in_graph[parameter] != tapped[parameter]:
            raise ValueError(
                f"mode {mode!r}: must see every use of a parameter through the module that holds it, got {name!r}, "
                f"which takes part {in_graph[parameter]} times, of which modules account for {tapped[parameter]}; "
                'mode="backward" does without'
            )
    return uses


def _nodes(scores: Tensor) -> list[Any]:
    """Return all operations in the graph of `scores`."""
    nodes, seen, stack = [], {scores.grad_fn}, [scores.grad_fn] if scores.grad_fn else []
    while stack:
        node = stack.pop()
        nodes.append(node)
        for function, _ in node.next_functions:
            if function is not None and function not in seen:
                seen.add(function)
                stack.append(function)
    return nodes


def _parameters_read_by(node: Any, chosen: Collection[Tensor]) -> list[Tensor]:
    """Return the chosen parameters that an operation reads, directly or behind a shared cast."""
    read = []
    for function, _ in node.next_functions:
        while function is not None and function.name() in TRANSPARENT:
            function = function.next_functions[0][0]
        variable = getattr(function, "variable", None)
        if variable is not None and variable in chosen:
            read.append(variable)
    return read
