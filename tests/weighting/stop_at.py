"""A display that stops a training as Ctrl-C does."""

from __future__ import annotations

import os
import signal


class StopAt:
    """A display that asks the training to stop after a step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def start(self, total: int, done: int) -> None: ...
    def message(self, text: str) -> None: ...
    def stop(self) -> None: ...

    def step(self, line) -> None:
        if line["step"] == self.at:
            os.kill(os.getpid(), signal.SIGINT)
