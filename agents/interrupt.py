"""Stopping a run between two steps when the user or the system asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_outermost: list[Callable[[], bool]] = []
"""The function of the block that all others of the main thread are inside, if there is one."""


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether SIGINT (Ctrl-C) or SIGTERM came since the block was entered.

    The first signal only sets the flag, so that the step under way can end; the second one raises KeyboardInterrupt.
    Outside the main thread, where Python delivers no signals, the function always answers False. A block inside
    another one shares its answer, so that a stop ends both.
    """
    requested = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    if _outermost:
        yield _outermost[0]
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    _outermost.append(lambda: requested)
    try:
        yield _outermost[0]
    finally:
        _outermost.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
