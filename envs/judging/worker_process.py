"""The parent's side of a process that judges pairs of texts: starting, asking and ending `worker.py`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Pair = tuple[str, str]
"""A reference and an answer."""


class WorkerProcess:
    """A process that runs `worker.py`, one pair at a time.

    Attributes:
        fd: File descriptor on which its replies arrive.
        pair: What it is judging, if anything.
        ready: Whether it has finished starting.
    """

    script = Path(__file__).with_name("worker.py")

    def __init__(self, judge: Path, argument: str) -> None:
        """Start the process, in a group of its own so that Ctrl-C in the terminal does not reach it.

        Args:
            judge: The file that makes the judge.
            argument: What it makes the judge from.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(self.script), str(judge), argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            process_group=0,
        )
        assert self._process.stdin and self._process.stdout
        self._tasks, self._replies = self._process.stdin, self._process.stdout
        self.fd = self._replies.fileno()
        self.pair: Pair | None = None
        self.ready = False

    @property
    def idle(self) -> bool:
        """Whether it can take a pair."""
        return self.ready and self.pair is None

    def send(self, pair: Pair, limit: float) -> None:
        """Have it judge a pair within `limit` seconds of processor time."""
        self.pair = pair
        with contextlib.suppress(BrokenPipeError):  # `receive` will see that it has ended
            self._tasks.write(json.dumps([*pair, limit]).encode() + b"\n")

    def receive(self) -> tuple[Any, float] | None:
        """Return verdict and seconds; None if it came to none, has just become ready, or has ended."""
        line = os.read(self.fd, 1024)
        if line:
            self.ready = True
            return json.loads(line)
        code = self._process.wait()
        if not self.ready:
            raise RuntimeError(
                f"a process that judges answers ended with exit code {code} while it started; its error output says why"
            )
        return None

    def has_ended(self) -> bool:
        """Whether the process is no more."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End the process by force; `receive` will see it."""
        self._process.kill()

    def dismiss(self) -> None:
        """Have it end as soon as it looks, at once if it is still starting and so has no child."""
        self._tasks.close()
        if not self.ready:
            self.kill()

    def join(self) -> None:
        """Wait for the end of a dismissed process."""
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._replies.close()

    def abandon(self) -> None:
        """Let go of a process that belongs to the process from which this one was forked."""
        self._tasks.close()
        self._replies.close()
        self._process.returncode = 0  # not ours to wait for


def stop(running: list[WorkerProcess], workers: Iterable[WorkerProcess] | None = None) -> None:
    """End processes and take them from the list; all of the list unless told which."""
    ending = list(running if workers is None else workers)
    for worker in ending:
        worker.dismiss()
    for worker in ending:
        worker.join()
        running.remove(worker)
