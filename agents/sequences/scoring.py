"""Log-probabilities and entropies of what was chosen, in memory that does not grow with all logits at once.

Shapes: N decisions, A choices (V for tokens of a vocabulary), H hidden.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint


def score_logits(logits: Tensor, chosen: Tensor, temperature: float, entropies: bool) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities (N,) of what was chosen, and the entropies (N,) in nats of the distributions.

    Args:
        logits: (N, A), of any precision; the results are float32, or of a wider one.
        chosen: What was chosen (N,).
        temperature: What the logits are divided by.
        entropies: Whether entropies are wanted; without, they are zeros.
    """
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if temperature != 1:
        logits = logits / temperature
    if not entropies:
        log_probs_N = -cross_entropy(logits, chosen, reduction="none")
        return log_probs_N, torch.zeros_like(log_probs_N)
    all_NA = logits.log_softmax(-1)
    return all_NA.gather(1, chosen[:, None])[:, 0], -(all_NA.exp() * all_NA).sum(-1)


def score_hidden(
    head: Callable[[Tensor], Tensor], hidden: Tensor, chosen: Tensor, temperature: float, entropies: bool, rows: int
) -> tuple[Tensor, Tensor]:
    """Return what `score_logits` does of head(hidden), with the logits of at most `rows` decisions at a time.

    The backward pass computes each chunk's logits again, unless one chunk is all.

    Args:
        head: The layer that turns hidden states into logits; a module, so that its hooks see what goes through it.
        hidden: Hidden states (N, H).
        chosen: What was chosen (N,).
        temperature: What the logits are divided by.
        entropies: Whether entropies are wanted.
        rows: Decisions per chunk.
    """

    def of_chunk(hidden: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        return score_logits(head(hidden), chosen, temperature, entropies)

    if len(hidden) <= rows:
        return of_chunk(hidden, chosen)
    run = partial(_recomputing, of_chunk) if torch.is_grad_enabled() else of_chunk
    parts = [run(*chunk) for chunk in zip(hidden.split(rows), chosen.split(rows), strict=True)]
    log_probs, entropies_of = zip(*parts, strict=True)
    return torch.cat(log_probs), torch.cat(entropies_of)


@contextmanager
def recomputed(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Have layers keep their inputs alone for the backward pass, which computes the rest again.

    transformers' own gradient checkpointing works in training mode only, which would switch dropout on.
    """
    before: dict[nn.Module, Any] = {layer: vars(layer).get("forward") for layer in layers}
    for layer in before:
        layer.forward = partial(_recomputing, layer.forward)
    try:
        yield
    finally:
        for layer, forward in before.items():
            if forward is None:
                del layer.forward  # the class's own shows again
            else:
                layer.forward = forward


def _recomputing(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function without randomness, and again in the backward pass."""
    return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
