"""Splitting a step's sequences into forward passes that waste little on padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PASS_COST = 1 / 64
"""What another forward and backward pass costs, as a share of `max_tokens`."""


def micro_batches(
    rows: NDArray[np.int64], lengths: NDArray[np.int64], max_tokens: int, pass_cost: float | None = None
) -> list[NDArray[np.int64]]:
    """Split sequences into batches of similar lengths, padded to their longest, longest first.

    Of all splits of the sorted sequences into batches of at most `max_tokens`, it is the one with the least

        sum over batches of (sequences * longest length + pass_cost),

    found by dynamic programming over where the last batch starts.

    Args:
        rows: The sequences' numbers.
        lengths: Lengths (B,) of all sequences, at least 1.
        max_tokens: Most tokens of a batch, padding included; a sequence that is longer by itself is a batch of its own.
        pass_cost: What a further batch costs, in tokens: padding is avoided where that saves more; None is
            PASS_COST * max_tokens.

    Example:
        >>> [rows.tolist() for rows in micro_batches(np.arange(4), np.array([10, 1, 9, 1]), 1000, pass_cost=5)]
        [[0, 2], [1, 3]]
    """
    if pass_cost is None:
        pass_cost = PASS_COST * max_tokens
    rows = rows[np.argsort(-lengths[rows], kind="stable")]
    longest = lengths[rows]  # of a batch, by its first row
    n = len(rows)
    cost = np.zeros(n + 1)  # of the best split of the first rows
    start_of = np.zeros(n + 1, dtype=np.int64)
    earliest = 0
    for stop in range(1, n + 1):
        while earliest < stop - 1 and (stop - earliest) * longest[earliest] > max_tokens:
            earliest += 1
        starts = np.arange(earliest, stop)
        costs = cost[starts] + (stop - starts) * longest[starts] + pass_cost
        best = int(costs.argmin())
        cost[stop], start_of[stop] = costs[best], starts[best]
    batches = []
    while n > 0:
        batches.append(rows[start_of[n] : n])
        n = int(start_of[n])
    return batches[::-1]
