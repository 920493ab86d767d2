"""One line of metrics per step: what it is, and how its times and counts are taken."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Line = dict[str, Any]


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


def increase(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much running counts grew."""
    return {name: count - before.get(name, 0) for name, count in after.items()}
