"""One line of metrics per step: what it is, and how its times and counts are taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

Line = dict[str, Any]

SHORT = 3
"""Tokens that a response has at least if it is not short."""


class Clock:
    """Adds up the seconds spent in named blocks."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.times: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to `name`."""
        start = time.perf_counter()
        yield
        self.times[name] = self.times.get(name, 0.0) + time.perf_counter() - start


def short_groups(lengths: NDArray[np.int64], group_size: int) -> float:
    """Return the share of groups in which more than half of the responses are short.

    Args:
        lengths: Tokens of the responses (B,), those of a group side by side.
        group_size: Responses of a group.

    Example:
        >>> short_groups(np.array([2, 0, 9, 2, 7, 9]), group_size=3)
        0.5
    """
    short_PG = (lengths < SHORT).reshape(-1, group_size)
    return float((short_PG.mean(axis=1) > 0.5).mean())


def increase(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much running counts grew."""
    return {name: count - before.get(name, 0) for name, count in after.items()}
