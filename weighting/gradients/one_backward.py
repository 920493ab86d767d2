"""The Gram matrix of the objectives' policy gradients from one backward pass.

The policy gradients g_k = grad sum_b a_bk * score_b differ in the coefficients a_k alone. Responses do not interact in
a decoder's batch: score_b depends on row b of every module's input and output and on no other. So one backward pass
from sum_b score_b, with unit coefficients, finds the output gradients D of all scores at once, and row b of a_k * D is
what a backward pass from objective k would have found. It need not compute gradients of parameters: with the inputs X,
g_k = D^T diag(a_k) X in a linear layer (`factors.py`). The K gradients of a parameter enter the Gram matrix as soon as
its last use has come by, and are dropped. That is one forward pass, the half of a backward pass that leads to inputs,
and K products per layer.

Shapes: B responses, N positions, R rows and C columns of a parameter, K objectives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.weighting.gradients.factor_gram import FactorGram
from paretune.weighting.gradients.factors import kind_of
from paretune.weighting.gradients.gram_sum import Reduce
from paretune.weighting.gradients.kept_pass import KeptPass
from paretune.weighting.gradients.of_scores import OfScores
from paretune.weighting.gradients.shared_rows import SharedRows
from paretune.weighting.gradients.sketch import Sketch
from paretune.weighting.gradients.taps import Calls, Tap, Use, uses_of


def unknown_kinds(module: nn.Module, parameters: Mapping[str, nn.Parameter]) -> dict[str, str]:
    """Return the parameters, by name, that a module of unknown kind holds, with the name of its class."""
    known: dict[nn.Parameter, bool] = {}
    holders: dict[nn.Parameter, str] = {}
    for child in module.modules():
        own = list(child.parameters(recurse=False))
        kind = kind_of(child) if own else None
        for parameter in own:
            known[parameter] = known.get(parameter, True) and kind is not None
            if kind is None:
                holders[parameter] = type(child).__name__
    return {name: holders[parameter] for name, parameter in parameters.items() if not known[parameter]}


class OneBackward:
    """One backward pass for all objectives: the modes "exact" and "sketch" of the gradient analyzer.

    Memory: where there is one micro-batch, the graph of its forward pass and, on the way through it, K gradients of a
    few million components of one parameter (`factors.CHUNK`); of an embedding that is tied to the output head, K
    gradients, because its two uses are the ends of the pass. Where there are several micro-batches, each graph is freed
    before the next one is made, and K gradients of all chosen parameters are kept, which must be sums over
    micro-batches before they are multiplied; a sketch keeps K * width^2 numbers of a parameter instead. Where factors
    are to be kept, these alone are, until all is added: then there is no gradient of a parameter but K of a few rows,
    or with `reduce`, K of one parameter.

    Attributes:
        mode: "exact" or "sketch".
        kept: The passes of the last Gram matrix, if they were watched to be kept.
    """

    def __init__(
        self,
        module: nn.Module,
        parameters: Mapping[str, nn.Parameter],
        reduce: Reduce | None,
        sketch: Sketch | None,
    ) -> None:
        """Analyse `parameters` of `module`; a `sketch` projects what is multiplied.

        Raises:
            ValueError: If a module of unknown kind holds one of them.
        """
        self.mode = "exact" if sketch is None else "sketch"
        unknown = unknown_kinds(module, parameters)
        if unknown:
            name, kind = next(iter(unknown.items()))
            raise ValueError(
                f"mode {self.mode!r}: must know the kind of every module with chosen parameters, got {kind} with "
                f'{name!r} ({len(unknown)} such parameters in all); mode="backward" does without'
            )
        self._module, self._parameters, self._reduce, self._sketch = module, parameters, reduce, sketch
        self._index = {parameter: i for i, parameter in enumerate(parameters.values())}
        own = {child: dict(child.named_parameters(recurse=False)) for child in module.modules()}
        chosen = {child: {name: p for name, p in held.items() if p in self._index} for child, held in own.items()}
        self._holders = {child: held for child, held in chosen.items() if held}
        self._kinds = {child: kind_of(child) for child in self._holders}
        self._not_chosen = [parameter for parameter in module.parameters() if parameter not in self._index]
        self.kept: KeptPass | None = None
        self._total: FactorGram | None = None
        self._scores: list[OfScores] = []  # advantages, of the micro-batches
        self._others: Tensor | None = None  # (B,), while rows are checked: True at responses whose scores are left out
        self._numbers: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}  # what `_scores_at_positions` returned
        self._checked = False

    @contextmanager
    def watch(self, responses: Tensor | None, keep: bool, shared: SharedRows | None) -> Iterator[None]:
        """Tap the modules during one forward pass; for the arguments, see `GradientAnalyzer.watch`."""
        self._responses, self._shared, self._keep = responses, shared, keep
        self._n_rows = 1 if responses is None else int(responses.max()) + 1  # where parts of the module are called
        self._seen = Counter[nn.Module]()
        self._anchor = torch.zeros((), requires_grad=True)
        self._rows, self._calls = () if shared is None else shared.calls, Calls()
        with self._tapped(), nullcontext() if shared is None else self._calls.counted(self._module):
            yield

    def add(self, scores: Tensor, advantages: Tensor, last: bool, parts: Tensor | None, number: int) -> None:
        """Go back from the scores (B,) of the forward pass that was watched.

        Args:
            scores: The scores.
            advantages: (B, K).
            last: Whether no further ones come.
            parts: Which of the batch's parts each score is in (B,); None where there is one.
            number: How many parts there are.

        Raises:
            ValueError: If the parameters' gradients cannot be told from what the taps see.
        """
        uses = uses_of(scores, self._parameters, self.mode)
        self._check_uses(uses, len(scores))
        if self._total is None:
            self.kept = KeptPass() if self._keep else None
            self._total = FactorGram(self._index, self._reduce, self._sketch, number)
        assert (self.kept is not None) == self._keep
        self._n_before = sum(len(before.advantages) for before in self._scores)
        if self._shared is not None:
            advantages, parts = self._shared.extended(advantages), self._shared.extended_parts(parts)
        self._scores.append(OfScores(advantages, parts))
        self._left = Counter(parameter for use in uses for parameter in use.parameters.values())
        self._last, self._numbers = last, {}
        with self._tapped():  # layers may compute their activations once more, and must do the same
            if not self._checked and len(scores) > 1:
                self._check_rows(scores)
            self._go_back(scores, torch.ones_like(scores))

    def gram(self) -> NDArray[np.float64]:
        """Return the products (S * K, S * K) of all that was added, and forget it, but for what is `kept`."""
        assert self._total is not None
        if self.kept is None:
            matrix_KK = self._total.matrix()
        else:
            matrix_KK = self.kept.gram(self._total, list(self._index), OfScores.joined(self._scores))
        self._forget_all_but_kept()
        return matrix_KK

    def forget(self) -> None:
        """Forget what was added."""
        self._forget_all_but_kept()
        self.kept = None

    def _forget_all_but_kept(self) -> None:
        self._total, self._scores, self._numbers = None, [], {}

    @contextmanager
    def _tapped(self) -> Iterator[None]:
        """Put the taps in, and let the graph begin at the lowest of them."""
        others = [parameter for parameter in self._not_chosen if parameter.requires_grad]
        handles = [self._module.register_forward_pre_hook(self._see_rows, with_kwargs=True)]
        handles += [module.register_forward_hook(self._tap, with_kwargs=True) for module in self._holders]
        for parameter in others:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            for parameter in others:
                parameter.requires_grad_(True)

    def _see_rows(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._n_rows = next((len(x) for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.ndim > 1), 1)

    def _tap(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor | None:
        if not torch.is_grad_enabled():
            return None
        x: Tensor = next(x for x in (*args, *kwargs.values()) if isinstance(x, Tensor))
        positions = x if isinstance(module, nn.Embedding) else x[..., 0]
        responses = None
        if self._responses is not None and positions.ndim == 1:
            responses = self._responses[self._seen[module] :][: len(x)]
            self._seen[module] += len(x)
        elif self._shared is not None:
            responses = self._rows[self._calls.number]
        elif len(x) == 1 < self._n_rows:  # a row that all responses share, such as that of the positions
            x, output = (tensor.expand(self._n_rows, *tensor.shape[1:]) for tensor in (x, output))
        use = Use(module, self._holders[module], len(x), responses, self._take)
        tapped: Tensor = Tap.apply(output, x, self._anchor, use)
        return tapped

    def _check_uses(self, uses: list[Use], n_responses: int) -> None:
        if not uses:
            raise ValueError("scores: must depend on at least one of the chosen parameters, got none")
        for use in uses:
            expected = n_responses if use.responses is None else len(use.responses)
            if use.rows != expected:
                raise ValueError(
                    f"mode {self.mode!r}: must see one row for each of the {expected} scores in the input of every "
                    f"module with chosen parameters, got {use.rows} in {type(use.module).__name__}; "
                    'mode="backward" does without'
                )

    def _check_rows(self, scores: Tensor) -> None:
        """Check that the scores of half of the responses lead to their own rows only."""
        half = (torch.arange(len(scores), device=scores.device) % 2).to(scores.dtype)
        self._others = half.new_zeros(len(self._scores[-1].advantages), dtype=torch.bool)
        self._others[: len(scores)] = half == 0
        try:
            self._go_back(scores, half, retain_graph=True)
        finally:
            self._others = None
        self._checked = True

    def _go_back(self, scores: Tensor, coefficients: Tensor, retain_graph: bool = False) -> None:
        torch.autograd.grad(scores, self._anchor, coefficients, retain_graph=retain_graph, allow_unused=True)

    def _take(self, use: Use, x: Tensor, d: Tensor) -> None:
        scores_N, numbers_N = self._scores_at_positions(use, d)
        if self._others is not None:
            if (d.flatten(0, -2)[self._others[scores_N]].abs() > 0).any():
                raise ValueError(
                    f"mode {self.mode!r}: must see score b depend on row b of the input of every module and on no "
                    f'other, got others in {type(use.module).__name__}; mode="backward" does without'
                )
            return
        kind = self._kinds[use.module]
        assert kind is not None and self._total is not None
        for name, parameter in use.parameters.items():
            factors = kind(use.module, name, x, d)
            self._left[parameter] -= 1
            if self.kept is not None:
                self.kept.add(parameter, factors, numbers_N)
            else:
                complete = self._last and self._left[parameter] == 0
                self._total.add(parameter, self._scores[-1].weighed(factors, scores_N), complete)

    def _scores_at_positions(self, use: Use, d: Tensor) -> tuple[Tensor, Tensor]:
        """Return the score that each position (N,) of an output gradient belongs to.

        Its number is counted in this micro-batch, and from the first one on. Modules alike get the same tensors.
        """
        n_positions = d[..., 0].numel()
        key = (id(use.responses), n_positions)
        if key not in self._numbers:
            rows = torch.arange(len(d), device=d.device) if use.responses is None else use.responses
            scores_N = rows.repeat_interleave(n_positions // len(rows))
            self._numbers[key] = scores_N, scores_N + self._n_before
        return self._numbers[key]
