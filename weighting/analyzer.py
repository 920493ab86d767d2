"""The Gram matrix of the objectives' policy gradients, from one forward pass and without K copies of the gradient.

The policy gradient of objective k is g_k = grad (1/B) sum_b a_bk * score_b, so all objectives share one forward pass
and differ in the coefficients a_k alone. Keeping K whole gradients for the products M_jk = <g_j, g_k> would take K
times the memory of the model. Instead the graph is cut between the decoder layers, and the pieces are gone through
from the top down: K vector-Jacobian products give the K gradients of one layer's parameters and of its input; the
parameters' gradients enter M and are dropped, the input's are what the next piece starts from. Together that is K
backward passes.

Shapes: B responses, K objectives, T tokens, H hidden.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.weighting.layers import choose_parameters, find_layers

CHUNK = 1 << 20
"""Gradient components that are widened to float64 at a time."""


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


class GradientAnalyzer:
    """Turns responses' scores and advantages into the Gram matrix of the objectives' gradients.

    At any time there are K gradients of one layer, and of parameters that several layers share (tied embeddings) from
    their first layer to their last; the whole graph of the forward passes is alive until its layers are done. The
    result is exact for every architecture: where layers are not simply stacked, more leaves connect the pieces. No
    `.grad` is touched. Layers may recompute their activations (non-reentrant gradient checkpointing); reentrant
    checkpointing is refused by torch.

    Attributes:
        parameters: The chosen parameters, by name.

    Example:
        >>> policy = nn.Linear(3, 1, bias=False)
        >>> analyzer = GradientAnalyzer(policy)
        >>> with analyzer.watch():
        ...     scores = policy(torch.eye(3)).squeeze(1)
        >>> analyzer.gram(scores, torch.tensor([[3.0, 0.0], [0.0, 3.0], [0.0, 3.0]]))
        array([[1., 0.],
               [0., 2.]])
    """

    def __init__(self, module: nn.Module, parameters: str = "all") -> None:
        """Choose the parameters whose gradients are compared.

        Args:
            module: The policy; its longest list of layers, if it has one, is where the graph is cut.
            parameters: "all", "last:N" (layers), "lora" or "name:REGEX"; only trainable parameters count.

        Raises:
            ValueError: If `parameters` stands for nothing.
        """
        self.parameters = choose_parameters(module, parameters)
        self._chosen: set[Tensor] = set(self.parameters.values())
        self._layers = find_layers(module)[1]
        self._cuts: dict[Tensor, Cut] | None = None  # by the leaf above

    @contextmanager
    def watch(self) -> Iterator[None]:
        """Cut the graph between the layers while the scores for the next `gram` are computed.

        There may be several forward passes (micro-batches). What is computed here is of no use for a backward pass of
        another kind, because gradients end at the cuts.
        """
        self._cuts = {}
        layers = dict.fromkeys(self._layers)  # a layer may occur twice
        handles = [layer.register_forward_pre_hook(self._cut_input, with_kwargs=True) for layer in layers]
        handles += [layer.register_forward_hook(self._cut_output) for layer in self._layers[-1:]]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def gram(self, scores: Tensor, advantages: Any) -> NDArray[np.float64]:
        """Return M_jk = <g_j, g_k> with g_k = grad (1/B) sum_b advantages_bk * scores_b over the chosen parameters.

        Args:
            scores: (B,), computed since `watch` began and not detached: each response's sum of token log-probabilities,
                times the constant that the loss gives it. Scores of micro-batches are concatenated.
            advantages: (B, K), array or tensor; taken as constants.

        Returns:
            (K, K), float64, symmetric.

        Raises:
            ValueError: If a shape is wrong, an advantage is not finite, or the scores do not come from `watch`.
        """
        if self._cuts is None:
            raise ValueError("scores must be computed under watch(), once for every call of gram()")
        if scores.ndim != 1 or not scores.requires_grad:
            raise ValueError(f"scores must be differentiable, of shape (B,), got {tuple(scores.shape)}")
        advantages_BK = torch.as_tensor(advantages, dtype=scores.dtype, device=scores.device).detach()
        if advantages_BK.ndim != 2 or len(advantages_BK) != len(scores) or advantages_BK.shape[1] == 0:
            raise ValueError(f"advantages must have shape ({len(scores)}, K), got {tuple(advantages_BK.shape)}")
        if not advantages_BK.isfinite().all():
            raise ValueError("advantages must be finite")
        top = self._make_cut(scores, scores)
        if not top.needs:
            raise ValueError("scores must depend on at least one of the chosen parameters")
        pieces = _pieces(top, self._cuts, self._chosen)
        self._cuts = None
        return _gram(pieces, {scores: list(advantages_BK.T / len(scores))})

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
        assert self._cuts is not None
        cut = self._make_cut(hidden, hidden.detach().requires_grad_())
        if cut.needs:
            self._cuts[cut.above] = cut
        return cut.above

    def _make_cut(self, below: Tensor, above: Tensor) -> Cut:
        assert self._cuts is not None
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


def _gram(pieces: list[Piece], gradients: dict[Tensor, list[Tensor]]) -> NDArray[np.float64]:
    """Go through the pieces from last to first, and through each of them once per objective.

    Args:
        pieces: What `_pieces` returned; emptied on the way, so that each piece's graph is freed when it is done.
        gradients: The K gradients with respect to the scores; later also those of leaves that are still incomplete.
    """
    n_objectives = len(next(iter(gradients.values())))
    gram_KK = np.zeros((n_objectives, n_objectives))
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
            gram_KK += _products(gradients.pop(parameter))
    return (gram_KK + gram_KK.T) / 2


def _products(gradients: list[Tensor]) -> NDArray[np.float64]:
    """Return the scalar products (K, K) of K gradients of one parameter, accumulated in float64."""
    wide = torch.float32 if gradients[0].device.type == "mps" else torch.float64  # MPS has no float64
    total_KK = torch.zeros(len(gradients), len(gradients), dtype=torch.float64)
    for chunks in zip(*(gradient.flatten().split(CHUNK) for gradient in gradients), strict=True):
        chunk_KN = torch.stack(chunks).to(wide)
        total_KK += (chunk_KN @ chunk_KN.T).cpu().double()
    return total_KK.numpy()
