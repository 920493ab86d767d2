"""The Gram matrix of the objectives' policy gradients.

The policy gradient of objective k is g_k = grad (1/B) sum_b a_bk * score_b, so all objectives share the forward pass
and differ in the coefficients a_k alone. How much of the backward pass they share is a question of the mode.

Shapes: B responses, K objectives.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.weighting.gradients.cut_backward import CutBackward
from paretune.weighting.gradients.gram_sum import Reduce
from paretune.weighting.gradients.kept_pass import KeptPass
from paretune.weighting.gradients.layers import choose_parameters
from paretune.weighting.gradients.one_backward import OneBackward, unknown_kinds
from paretune.weighting.gradients.shared_rows import SharedRows
from paretune.weighting.gradients.sketch import Sketch
from paretune.weighting.gradients.split import Split
from paretune.weighting.gram_estimate import GramEstimate, estimate_of_parts
from paretune.weighting.inputs import require, require_known

Mode = Literal["auto", "exact", "sketch", "backward"]


class GradientAnalyzer:
    """Turns responses' scores and advantages into the Gram matrix of the objectives' gradients.

    | mode       | cost besides the forward pass                 | where                                            |
    |------------|-----------------------------------------------|--------------------------------------------------|
    | "exact"    | half a backward pass, K products per layer    | score b depends on row b of every module's input; |
    |            |                                               | linear layers, embeddings, norms, LoRA           |
    | "sketch"   | half a backward pass, two projections a layer | as "exact"; the result is a random estimate      |
    | "backward" | K backward passes                             | everywhere                                       |

    All decoders do what "exact" asks for. It is checked: a parameter that takes part in the scores in a way that was
    not seen, an input with other rows, and (in the first analysis) rows that depend on each other raise an error.
    "auto" is "exact" where the kinds of all modules with chosen parameters are known, else "backward".

    No `.grad` is touched, but by `kept.backward`, which makes an update from the same pass. Layers may recompute their
    activations (non-reentrant gradient checkpointing). For memory, see `OneBackward` and `CutBackward`.

    Attributes:
        parameters: The chosen parameters, by name.
        mode: "exact", "sketch" or "backward".
        sketch: The random projections, in mode "sketch".

    Example:
        >>> policy = nn.Linear(3, 1, bias=False)
        >>> analyzer = GradientAnalyzer(policy)
        >>> with analyzer.watch():
        ...     scores = policy(torch.eye(3)).squeeze(1)
        >>> analyzer.gram(scores, torch.tensor([[3.0, 0.0], [0.0, 3.0], [0.0, 3.0]]))
        array([[1., 0.],
               [0., 2.]])
    """

    def __init__(
        self,
        module: nn.Module,
        parameters: str = "all",
        mode: Mode = "auto",
        *,
        width: int = 16,
        seed: int = 0,
        reduce: Reduce | None = None,
    ) -> None:
        """Choose the parameters whose gradients are compared.

        Args:
            module: The policy.
            parameters: "all", "last:N" (layers), "lora" or "name:REGEX"; only trainable parameters count.
            mode: What is computed, see above.
            width: Of the sketch: each side of a gradient is projected onto so many dimensions.
            seed: Of the sketch; it must be the same on all ranks.
            reduce: Returns the sum of a tensor over all ranks, where each rank has a part of the responses. It is
                applied to the K gradients of a parameter (or their projections) before they are multiplied; the matrix
                is then the same on all ranks. All ranks must use the same parameters.

        Raises:
            ValueError: If an argument breaks its rule, `parameters` stands for nothing, or the mode does not know the
                kind of a module.
        """
        require_known("mode", mode, get_args(Mode))
        require("width", width, width >= 1 and width % 1 == 0, "a whole number of at least 1")
        self.parameters = choose_parameters(module, parameters)
        if mode == "auto":
            mode = "backward" if unknown_kinds(module, self.parameters) else "exact"
        self.mode, self._reduce = mode, reduce
        self.sketch = Sketch(width, seed) if mode == "sketch" else None
        self._passes: OneBackward | CutBackward
        if mode == "backward":
            self._passes = CutBackward(module, self.parameters.values(), reduce)
        else:
            self._passes = OneBackward(module, self.parameters, reduce, self.sketch)
        self._watched = False
        self._n_scores = 0
        self._counts: NDArray[np.float64] = np.zeros(0)  # scores of each part (S,)
        self._last_counts = self._counts  # those of the last matrix

    @property
    def kept(self) -> KeptPass | None:
        """The passes of the last matrix, where `watch` was told to keep them: they give gradients of any combination.

        Example:
            >>> policy = nn.Linear(2, 1, bias=False)
            >>> analyzer = GradientAnalyzer(policy)
            >>> with analyzer.watch(keep=True):
            ...     scores = policy(torch.eye(2)).squeeze(1)
            >>> analyzer.gram(scores, torch.eye(2))
            array([[0.25, 0.  ],
                   [0.  , 0.25]])
            >>> analyzer.kept.backward(torch.tensor([5.0, 7.0]))
            >>> policy.weight.grad
            tensor([[5., 7.]])
        """
        return self._passes.kept

    def redraw(self, number: int) -> None:
        """Take other random projections, in mode "sketch": those of this number, which is the same on all ranks."""
        if self.sketch is not None:
            self.sketch.draw = number

    def watch(
        self, responses: Tensor | None = None, *, keep: bool = False, shared: SharedRows | None = None
    ) -> AbstractContextManager[None]:
        """Look on while the scores for the next `add` or `gram` are computed, in one forward pass.

        (In mode "backward" there may be several.) What is computed here is of no use for a backward pass of another
        kind.

        Args:
            responses: (N,), the response that each position belongs to, where a module is given the positions of all
                responses in one row (N, C) after another, in one or several calls, such as an output head that sees
                response tokens only.
            keep: Keep the factors of the parameters' gradients, which take as much memory as the modules' inputs and
                output gradients, in `kept`; all micro-batches of a matrix alike.
            shared: The rows that responses share, with the advantages of the next `add` or `gram`, where the model is
                called several times, as `SharedRows.calls` has it: with the copies of these rows, and with responses
                that look back on them.

        Raises:
            ValueError: If `keep` or `shared` is asked for in mode "backward".
        """
        require("keep", keep, not (keep and self.mode == "backward"), 'False in mode="backward"')
        require("shared", shared, shared is None or self.mode != "backward", 'None in mode="backward"')
        self._watched = True
        return self._passes.watch(responses, keep, shared)

    def add(self, scores: Tensor, advantages: Any, split: Split | None = None) -> None:
        """Take a micro-batch; the arguments are those of `gram` or `estimate`, which takes the last one."""
        self._add(scores, advantages, split, last=False)

    def estimate(self, scores: Tensor, advantages: Any, split: Split) -> GramEstimate:
        """Return the Gram matrix of the true gradients as the parts of a batch give it, without bias, with its errors.

        Args:
            scores: As for `gram`.
            advantages: As for `gram`.
            split: Which part each of these scores is in; over all micro-batches and ranks no part is empty.

        Raises:
            ValueError: As `gram` does.

        Example:
            >>> policy = nn.Linear(3, 1, bias=False)
            >>> analyzer = GradientAnalyzer(policy)
            >>> with analyzer.watch():
            ...     scores = policy(torch.tensor([[1.0, 0, 0], [0, 2, 0], [1, 1, 0], [0, 0, 3]])).squeeze(1)
            >>> analyzer.estimate(scores, torch.ones(4, 1), Split(np.array([0, 0, 1, 1]), 2)).matrix
            array([[0.75]])
        """
        products_SKSK = self.gram(scores, advantages, split)
        counts_S = torch.as_tensor(self._last_counts)
        if self._reduce is not None:
            counts_S = self._reduce(counts_S.to(scores.device))
        counts = counts_S.cpu().numpy()
        return estimate_of_parts(products_SKSK, counts / counts.sum())

    def gram(self, scores: Tensor, advantages: Any, split: Split | None = None) -> NDArray[np.float64]:
        """Return M_jk = <g_j, g_k> with g_k = grad (1/B) sum_b advantages_bk * scores_b over the chosen parameters.

        B counts the responses of all micro-batches, on all ranks.

        Args:
            scores: (B,), computed since `watch` began and not detached: each response's sum of token log-probabilities,
                times the constant that the loss gives it.
            advantages: (B, K), array or tensor; taken as constants.
            split: Which of S parts of the batch each of these scores is in; then there is a gradient of each part, and
                the parts' gradients add up to that of the batch. All micro-batches have one, or none.

        Returns:
            (K, K), float64, symmetric; or with a split (S * K, S * K), row s * K + k being that of part s.

        Raises:
            ValueError: If a shape is wrong, an advantage is not finite, the scores do not come from `watch`, or they do
                not depend on the parameters in the way that the mode asks for.
        """
        self._add(scores, advantages, split, last=True)
        n_scores = torch.tensor(float(self._n_scores), dtype=torch.float64)
        if self._reduce is not None:
            n_scores = self._reduce(n_scores.to(scores.device))
        self._n_scores, self._last_counts, self._counts = 0, self._counts, np.zeros(0)
        gram_KK = self._passes.gram() / float(n_scores) ** 2
        return (gram_KK + gram_KK.T) / 2

    def _add(self, scores: Tensor, advantages: Any, split: Split | None, last: bool) -> None:
        if not self._watched:
            raise ValueError(
                "scores: must be computed under watch(), once for every call of add() or gram(), got others"
            )
        if scores.ndim != 1 or not scores.requires_grad:
            raise ValueError(f"scores: must be differentiable, of shape (B,), got {tuple(scores.shape)}")
        advantages_BK = torch.as_tensor(advantages, dtype=scores.dtype, device=scores.device).detach()
        if advantages_BK.ndim != 2 or len(advantages_BK) != len(scores) or advantages_BK.shape[1] == 0:
            raise ValueError(f"advantages: must have shape ({len(scores)}, K), got {tuple(advantages_BK.shape)}")
        if not advantages_BK.isfinite().all():
            raise ValueError("advantages: must be finite, got some that are not")
        parts_B, number = None, 1
        if split is not None:
            require(
                "split", split.of.shape, split.of.shape == (len(scores),), f"a part for each of {len(scores)} scores"
            )
            parts_B, number = torch.as_tensor(split.of, device=scores.device), split.number
            before_S = self._counts if self._counts.size else np.zeros(number)
            self._counts = before_S + np.bincount(split.of, minlength=number)
        self._watched = False
        self._n_scores += len(scores)
        try:
            self._passes.add(scores, advantages_BK, last, parts_B, number)
        except Exception:
            self._n_scores, self._counts = 0, np.zeros(0)
            self._passes.forget()
            raise
