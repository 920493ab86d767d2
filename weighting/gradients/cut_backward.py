"""The Gram matrix of the objectives' policy gradients by K backward passes, without K copies of the gradient.

Keeping K whole gradients for the products M_jk = <g_j, g_k> would take K times the memory of the model. Instead the
graph is cut between the decoder layers, and the pieces are gone through from the top down: K vector-Jacobian products
give the K gradients of one layer's parameters and of its input; the parameters' gradients enter M and are dropped, the
input's are what the next piece starts from. Together that is K backward passes.

Shapes: B responses, K objectives, T tokens, H hidden.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.weighting.gradients.gram_sum import CHUNK, GramSum, Reduce
from paretune.weighting.gradients.layers import find_layers
from paretune.weighting.gradients.shared_rows import SharedRows


@dataclass(frozen=True, eq=False)
class Cut:
    """A place where the graph was cut.

    Attributes:
        below: The tensor that ends the piece of the graph under the cut.
        above: The same as a leaf, which begins the piece over the cut.
        needs: The leaves that `below` depends on: chosen parameters, and the `above` of further cuts.
        level: One more than that of the highest cut among them; 0 if there is none.
    """

    below: Tensor
    above: Tensor
    needs: list[Tensor]
    level: int


@dataclass(frozen=True, eq=False)
class Piece:
    """A part of the graph between cuts.

    Attributes:
        cuts: The cuts over it, where gradients come in; all of one level.
        leaves: What they depend on: where gradients go to.
        completed: The parameters among the leaves that no piece further down depends on.
    """

    cuts: list[Cut]
    leaves: list[Tensor]
    completed: list[Tensor]


class CutBackward:
    """K backward passes, layer by layer: the mode "backward" of the gradient analyzer.

    At any time there are K gradients of one layer, and of parameters that several layers share (tied embeddings) from
    their first layer to their last; the whole graph of the forward passes is alive until its layers are done. The
    result is exact for every architecture: where layers are not simply stacked, more leaves connect the pieces. Layers
    may recompute their activations (non-reentrant gradient checkpointing); reentrant checkpointing is refused by torch.
    """

    def __init__(self, module: nn.Module, parameters: Collection[nn.Parameter], reduce: Reduce | None) -> None:
        """Analyse `parameters` of `module`, whose longest list of layers, if it has one, is where the graph is cut."""
        self._chosen: set[Tensor] = set(parameters)
        self._layers = find_layers(module)[1]
        self.kept = None
        self._reduce = reduce
        self._cuts: dict[Tensor, Cut] = {}  # by the leaf above
        self._batches: list[tuple[Tensor, Tensor]] = []  # scores and advantages

    @contextmanager
    def watch(self, responses: Tensor | None, keep: bool, shared: SharedRows | None) -> Iterator[None]:
        """Cut the graph between the layers, where gradients of another kind would end. Nothing is kept or shared."""
        if not self._batches:
            self._cuts = {}
        layers = dict.fromkeys(self._layers)  # a layer may occur twice
        handles = [layer.register_forward_pre_hook(self._cut_input, with_kwargs=True) for layer in layers]
        handles += [layer.register_forward_hook(self._cut_output) for layer in self._layers[-1:]]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def add(self, scores: Tensor, advantages: Tensor, last: bool, parts: Tensor | None, number: int) -> None:
        """Take the scores (B,) and advantages (B, K) of a micro-batch; with parts, each has K gradients of its own.

        Args:
            scores: The scores.
            advantages: Their advantages.
            last: Whether no further ones come.
            parts: Which of the batch's parts each score is in (B,); None where there is one.
            number: How many parts there are.

        Raises:
            ValueError: If the scores do not depend on the parameters.
        """
        if not self._make_cut(scores, scores).needs:
            raise ValueError("scores: must depend on at least one of the chosen parameters, got none")
        if parts is not None:
            wide_BSK = advantages.new_zeros(len(advantages), number, advantages.shape[1])
            wide_BSK[torch.arange(len(parts), device=parts.device), parts] = advantages
            advantages = wide_BSK.flatten(1)
        self._batches.append((scores, advantages))

    def gram(self) -> NDArray[np.float64]:
        """Return the products (K, K) of the gradients of sum_b advantages_bk * scores_b, and forget all."""
        scores = torch.cat([scores for scores, _ in self._batches])
        advantages_BK = torch.cat([advantages for _, advantages in self._batches])
        top = self._make_cut(scores, scores)
        cuts = self._cuts
        self.forget()
        pieces = _pieces(top, cuts, self._chosen)
        del cuts
        return _gram(pieces, {scores: list(advantages_BK.T)}, GramSum(self._reduce))

    def forget(self) -> None:
        """Forget what was added."""
        self._cuts, self._batches = {}, []

    def _cut_input(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if args and isinstance(args[0], Tensor):
            return (self._cut(args[0]), *args[1:]), kwargs
        if isinstance(kwargs.get("hidden_states"), Tensor):
            return args, kwargs | {"hidden_states": self._cut(kwargs["hidden_states"])}
        return None  # an unusual layer, which stays in one piece with what is below it

    def _cut_output(self, layer: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, Tensor):
            return self._cut(output)
        if isinstance(output, tuple) and isinstance(output[0], Tensor):
            return (self._cut(output[0]), *output[1:])
        return None

    def _cut(self, hidden: Tensor) -> Tensor:
        """Return `hidden` as a leaf of a new piece; what is below is forgotten if it holds no chosen parameter."""
        if not hidden.requires_grad:
            return hidden
        cut = self._make_cut(hidden, hidden.detach().requires_grad_())
        if cut.needs:
            self._cuts[cut.above] = cut
        return cut.above

    def _make_cut(self, below: Tensor, above: Tensor) -> Cut:
        needs = [leaf for leaf in _leaves(below) if leaf in self._chosen or leaf in self._cuts]
        level = 1 + max((self._cuts[leaf].level for leaf in needs if leaf in self._cuts), default=-1)
        return Cut(below, above, needs, level)


def _leaves(tensor: Tensor) -> list[Tensor]:
    """Return the leaves that require gradients in the graph of `tensor`, in a reproducible order."""
    if tensor.grad_fn is None:
        return [tensor]
    leaves, seen, stack = [], {tensor.grad_fn}, [tensor.grad_fn]
    while stack:
        node = stack.pop()
        if hasattr(node, "variable"):  # an AccumulateGrad node
            leaves.append(node.variable)
        for function, _ in node.next_functions:
            if function is not None and function not in seen:
                seen.add(function)
                stack.append(function)
    return leaves


def _pieces(top: Cut, cuts: dict[Tensor, Cut], chosen: set[Tensor]) -> list[Piece]:
    """Return the pieces of the graph under `top`, which is in the last one.

    Cuts of one level, the same layer in all micro-batches, are over one piece; it only depends on pieces that come
    before it in the list.
    """
    levels: list[list[Cut]] = [[] for _ in range(top.level + 1)]
    reached = {top.above}
    for cut in (top, *reversed(cuts.values())):  # against the order of computation: a cut comes before what it needs
        if cut.above in reached:
            reached.update(cut.needs)
            levels[cut.level].append(cut)
    pieces: list[Piece] = []
    seen: set[Tensor] = set()
    for level in levels:
        leaves = list(dict.fromkeys(leaf for cut in level for leaf in cut.needs))
        completed = [leaf for leaf in leaves if leaf in chosen and leaf not in seen]
        seen.update(completed)
        pieces.append(Piece(level, leaves, completed))
    return pieces


def _gram(pieces: list[Piece], gradients: dict[Tensor, list[Tensor]], total: GramSum) -> NDArray[np.float64]:
    """Go through the pieces from last to first, and through each of them once per objective.

    Args:
        pieces: What `_pieces` returned; emptied on the way, so that each piece's graph is freed when it is done.
        gradients: The K gradients with respect to the scores; later also those of leaves that are still incomplete.
        total: Where their products go.
    """
    n_objectives = len(next(iter(gradients.values())))
    while pieces:
        piece = pieces.pop()
        arriving = [gradients.pop(cut.above) for cut in piece.cuts]
        for k in range(n_objectives):
            partial = torch.autograd.grad(
                [cut.below for cut in piece.cuts],
                piece.leaves,
                grad_outputs=[gradient_K[k] for gradient_K in arriving],
                retain_graph=True,  # pieces may share a part of the graph; it is freed with the last of them
                materialize_grads=True,
            )
            for leaf, gradient in zip(piece.leaves, partial, strict=True):
                gradient_K = gradients.setdefault(leaf, [])
                if len(gradient_K) > k:  # a piece further up depends on this leaf as well
                    gradient_K[k] = gradient_K[k] + gradient
                else:
                    gradient_K.append(gradient)
        del arriving, partial, gradient, gradient_K
        for parameter in piece.completed:
            for chunks in zip(*(gradient.flatten().split(CHUNK) for gradient in gradients.pop(parameter)), strict=True):
                total.add(torch.stack(chunks))
    return total.matrix
