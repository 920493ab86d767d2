"""Splitting a step's sequences into forward passes that waste little on padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PASS_SHARE = 1 / 96
"""What another forward and backward pass costs, as a share of its most tokens, or of all tokens if these are fewer."""
PASS_TOKENS = 64
"""What it costs at least, in tokens."""


def pass_cost(lengths: NDArray[np.int64], max_tokens: int) -> float:
    """Return what another pass over sequences of these lengths (B,) costs, in tokens."""
    return max(PASS_TOKENS, PASS_SHARE * min(max_tokens, int(lengths.sum())))


def micro_batches(
    rows: NDArray[np.int64], lengths: NDArray[np.int64], max_tokens: int, cost: float | None = None
) -> list[NDArray[np.int64]]:
    """Split sequences into batches of similar lengths, padded to their longest, longest first.

    Of all splits of the sorted sequences into batches of at most `max_tokens`, it is the one with the least

        sum over batches of (sequences * longest length + cost),

    found by dynamic programming over where the last batch starts.

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
    n = len(rows)
    least = np.zeros(n + 1)  # cost of the best split of the first rows
    start_of = np.zeros(n + 1, dtype=np.int64)
    earliest = 0
    for stop in range(1, n + 1):
        while earliest < stop - 1 and (stop - earliest) * longest[earliest] > max_tokens:
            earliest += 1
        starts = np.arange(earliest, stop)
        costs = least[starts] + (stop - starts) * longest[starts] + cost
        best = int(costs.argmin())
        least[stop], start_of[stop] = costs[best], starts[best]
    batches = []
    while n > 0:
        batches.append(rows[start_of[n] : n])
        n = int(start_of[n])
    return batches[::-1]
