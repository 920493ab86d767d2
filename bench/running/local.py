"""Cells in parallel processes of this machine, one process for each cell."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, get_context
from multiprocessing.process import BaseProcess
from typing import Any

from paretune.agents.rules import Count, check
from paretune.bench.running.cell import Work, attempt, note_error

POLL_SECONDS = 0.5
STOPPED = 3
"""Exit code of a process whose cell was stopped by a signal and can go on."""


class LocalProcesses:
    """Runs cells on this machine.

    A cell has a process of its own: its memory is measured and given back, and one that crashes takes none with it.
    """

    def __init__(self, jobs: int) -> None:
        """Remember how many processes to run at the same time.

        Raises:
            ValueError: If it is below 1.
        """
        self.jobs = check("jobs", jobs, Count)
        # A server that has imported torch once forks each process in milliseconds; Windows has to start each anew.
        self._context: Any = get_context("spawn" if sys.platform == "win32" else "forkserver")
        if sys.platform != "win32":
            self._context.set_forkserver_preload(["paretune.bench.running.cell"])

    def run(self, work: Sequence[Work], stop_requested: Callable[[], bool]) -> Iterator[list[Work]]:
        """Run cells, `jobs` at a time.

        Args:
            work: The cells.
            stop_requested: Whether to stop: no further cell starts, and those under way end after their step.

        Yields:
            The cells that are running, whenever one starts or ends and about twice a second.
        """
        waiting = list(reversed(work))
        running: dict[BaseProcess, Work] = {}
        stopping = False
        while waiting or running:
            if stop_requested() and not stopping:
                stopping = True
                waiting.clear()
                for process in running:
                    process.terminate()
            while waiting and len(running) < self.jobs:
                one = waiting.pop()
                process = self._context.Process(target=_main, args=(one,), name=one.cell.name)
                process.start()
                running[process] = one
            yield list(running.values())
            connection.wait([process.sentinel for process in running], timeout=POLL_SECONDS)
            for process in [process for process in running if not process.is_alive()]:
                _check_end(process.exitcode, running.pop(process), stopping)
        yield []


def _main(work: Work) -> None:
    """Run a cell in this process."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # a terminal's Ctrl-C reaches the benchmark alone, which then ends its cells
    sys.exit(0 if attempt(work) else STOPPED)


def _check_end(code: int | None, work: Work, stopping: bool) -> None:
    """Write down why a process ended that could not do so itself."""
    asked = stopping and code == -signal.SIGTERM  # it was loading or testing when the benchmark was stopped
    if code in (0, STOPPED) or asked or work.ended:
        return
    reason = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    hint = "; 9 is what a system sends that has run out of memory" if code == -9 else ""
    note_error(work, f"The process of this cell ended with {reason}{hint}.\n")
