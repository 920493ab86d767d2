"""Splitting a step's sequences into forward passes that waste little on padding."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PASS_SHARE = 1 / 96
"""What another forward and backward pass costs, as a share of its most tokens, or of all tokens if these are fewer."""
PASS_TOKENS = 64
"""What it costs at least, in tokens."""


def pass_cost(lengths: NDArray[np.int64], max_tokens: float) -> float:
    """Return what another pass over sequences of these lengths (B,) costs, in tokens."""
    return max(PASS_TOKENS, PASS_SHARE * min(max_tokens, int(lengths.sum())))


def cheapest_runs(n: int, costs: Callable[[NDArray[np.int64], int], NDArray[np.float64]]) -> list[range]:
    """Return the cheapest split of range(n) into runs, found by dynamic programming over where the last run starts.

    Args:
        n: How many there are, at least 1.
        costs: From some starts and a stop, the costs of the runs start:stop; infinite for runs that are too long, but
            finite for a run of one.
    """
    least = np.zeros(n + 1)  # cost of the best split of the first ones
    start_of = np.zeros(n + 1, dtype=np.int64)
    earliest = 0
    for stop in range(1, n + 1):
        starts = np.arange(earliest, stop)
        totals = least[starts] + costs(starts, stop)
        best = int(totals.argmin())
        least[stop], start_of[stop] = totals[best], starts[best]
        earliest += int(np.isfinite(totals).argmax())  # what is too long does not become shorter
    runs = []
    while n > 0:
        runs.append(range(int(start_of[n]), n))
        n = int(start_of[n])
    return runs[::-1]


def micro_batches(
    rows: NDArray[np.int64], lengths: NDArray[np.int64], max_tokens: float, cost: float | None = None
) -> list[NDArray[np.int64]]:
    """Split sequences into batches of similar lengths, padded to their longest, longest first.

    Of all splits of the sorted sequences into batches of at most `max_tokens`, it is the one with the least

        sum over batches of (sequences * longest length + cost).

    Args:
        rows: The sequences' numbers.
        lengths: Lengths (B,) of all sequences, at least 1.
        max_tokens: Most tokens of a batch, padding included; a sequence that is longer by itself is a batch of its own.
        cost: What a further batch costs, in tokens: padding is avoided where that saves more; None is `pass_cost`.

    Example:
        >>> [rows.tolist() for rows in micro_batches(np.arange(4), np.array([10, 1, 9, 1]), 1000, cost=5)]
        [[0, 2], [1, 3]]
    """
    if cost is None:
        cost = pass_cost(lengths[rows], max_tokens)
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    longest = lengths[rows]  # of a batch, by its first row

    def costs(starts: NDArray[np.int64], stop: int) -> NDArray[np.float64]:
        sizes = (stop - starts) * longest[starts]
        fits = (sizes <= max_tokens) | (starts == stop - 1)
        return np.where(fits, sizes + cost, np.inf)

    return [rows[run] for run in cheapest_runs(len(rows), costs)]
