"""Cells on a Ray cluster, one worker process for each cell."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from paretune.agents.rules import Count, check
from paretune.bench.running.cell import Work, attempt, note_error

POLL_SECONDS = 0.5
CONNECT_SECONDS = 10.0


class RayCluster:
    """Runs cells as tasks of Ray.

    The cluster's machines must have paretune installed and share the folder that the cells are in, under the same path.
    """

    def __init__(self, address: str, *, jobs: int | None = None, threads: int = 1) -> None:
        """Connect to the cluster.

        Args:
            address: Its address, such as "auto" or "ray://host:10001"; "local" starts one on this machine.
            jobs: Cells at the same time; None is as many as the cluster has processors for.
            threads: Processors that a cell asks Ray for.

        Raises:
            ValueError: If Ray is not installed, there is no cluster at the address, or `jobs` is below 1.
        """
        check("jobs", jobs, Count | None)
        try:
            import ray
        except ImportError as error:
            raise ValueError('ray: needs the extra "ray": pip install "paretune[ray]"') from error
        self._ray = ray
        _check_reachable(address)
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True, include_dashboard=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ValueError(f"ray: must be the address of a Ray cluster, got {address!r} ({error})") from error
        processors = int(ray.cluster_resources().get("CPU", 1))
        self.jobs = max(1, processors // threads) if jobs is None else jobs
        # A worker ends with its cell: memory is measured and given back, as with local processes.
        self._task = ray.remote(num_cpus=threads, max_calls=1, max_retries=0)(_attempt)

    def run(self, work: Sequence[Work], stop_requested: Callable[[], bool]) -> Iterator[list[Work]]:
        """Run cells, `jobs` at a time.

        Args:
            work: The cells.
            stop_requested: Whether to stop: no further cell starts, and those under way end after their step.

        Yields:
            The cells that are running, whenever one starts or ends and about twice a second.
        """
        waiting = [_absolute(one) for one in reversed(work)]
        running: dict[Any, Work] = {}
        stopping = False
        while waiting or running:
            if stop_requested() and not stopping:
                stopping = True
                waiting.clear()
                for task in running:
                    self._ray.cancel(task, force=False)
            while waiting and len(running) < self.jobs:
                one = waiting.pop()
                running[self._task.remote(one)] = one
            yield list(running.values())
            ended, _ = self._ray.wait(list(running), num_returns=1, timeout=POLL_SECONDS) if running else ([], [])
            for task in ended:
                self._check_end(task, running.pop(task), stopping)
        yield []

    def _check_end(self, task: Any, work: Work, stopping: bool) -> None:
        """Write down why a task ended that could not do so itself."""
        try:
            self._ray.get(task)
        except (self._ray.exceptions.RayError, KeyboardInterrupt) as error:
            if not (stopping or work.ended):
                note_error(work, f"The Ray task of this cell ended with {type(error).__name__}: {error}\n")


def _check_reachable(address: str) -> None:
    """Raise ValueError if nothing listens at HOST:PORT, for which Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(f"ray: must be the address of a Ray cluster, got {address!r} ({error})") from error


def _attempt(work: Work) -> bool:
    return attempt(work)


def _absolute(work: Work) -> Work:
    """Workers have another current folder."""
    return replace(work, folder=Path(work.folder).resolve())
