"""Watching a method of one object: benchmarks count and time what agents do, or give them what they would draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def put_in_place(owner: object, method: str, function: Callable[..., Any]) -> None:
    """Put `function` in the place of a method of `owner` alone; other objects of its class keep theirs.

    Example:
        >>> class Counter:
        ...     def next(self) -> int:
        ...         return 1
        >>> counter = Counter()
        >>> put_in_place(counter, "next", lambda: 2)
        >>> counter.next(), Counter().next()
        (2, 1)
    """
    setattr(owner, method, function)
