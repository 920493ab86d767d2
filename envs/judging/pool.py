"""Judging pairs of texts in processes that can be killed: hostile text costs seconds, not the run."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from paretune.envs.judging.worker_process import Pair, WorkerProcess, stop

CACHE_SIZE = 10_000
"""Verdicts that a pool remembers."""

STALLED = 120.0
"""Seconds without any sign from the workers after which they are taken for stuck."""


class JudgePool:
    """Worker processes that judge pairs of texts, usable from any thread.

    They start when they are first needed and end with this process, however it ends. A judge that takes too long over a
    pair is killed. So that a batch full of hostile text stays affordable, it is worked through in three rounds:

    1. every pair gets `time_limit / 4`, until this round has used 0.02 s per pair (at least 4 s);
    2. the pairs that it did not reach get `time_limit / 32`;
    3. the pairs still undecided get `time_limit`, until this round has used 0.01 s per pair (at least 2 s).

    All of these are seconds of processor time, so that verdicts do not depend on how busy the machine is. With a limit
    of 1 s, 512 distinct pairs cost at most about 36 s, shared by the workers. Only on a machine so busy that a batch
    takes 0.08 s per pair (at least 20 s) by the clock, what is left is given up.

    Attributes:
        judge: The file that makes the judge, as `worker.py` runs it.
        argument: What it makes the judge from.
        workers: Number of worker processes.
        time_limit: Seconds of processor time for one pair.
    """

    def __init__(self, judge: Path, argument: str = "", workers: int | None = None, time_limit: float = 1.0) -> None:
        """Set up without starting anything.

        Args:
            judge: The file that makes the judge.
            argument: What it makes the judge from.
            workers: Number of worker processes; None takes two, or one on a machine with a single processor.
            time_limit: Seconds of processor time for one pair.

        Raises:
            ValueError: If `workers` or `time_limit` is not positive.
        """
        workers = min(2, os.cpu_count() or 1) if workers is None else workers
        if workers < 1:
            raise ValueError(f"workers: must be at least 1, got {workers}")
        if not 0 < time_limit < math.inf:
            raise ValueError(f"time_limit: must be a positive number of seconds, got {time_limit}")
        self.judge, self.argument = judge, argument
        self.workers = workers
        self.time_limit = time_limit
        self._cache: OrderedDict[Pair, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._running: list[WorkerProcess] = []
        weakref.finalize(self, stop, self._running)
        _POOLS.add(self)

    def verdicts(self, pairs: Iterable[Pair]) -> dict[Pair, Any]:
        """Return the verdicts of those pairs that the three rounds can decide, or earlier ones have.

        Raises:
            RuntimeError: If no worker process can be started.
        """
        with self._lock:
            different = list(dict.fromkeys(pairs))
            known = {pair: self._cache[pair] for pair in different if pair in self._cache}
            decided = known | self._three_rounds([pair for pair in different if pair not in known])
            for pair, verdict in decided.items():
                self._cache[pair] = verdict
                self._cache.move_to_end(pair)
            while len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
            return decided

    def close(self) -> None:
        """End the worker processes; they start again when needed."""
        with self._lock:
            stop(self._running)

    def __reduce__(self) -> tuple[type[JudgePool], tuple[Path, str, int, float]]:
        """Copies and pickles take the settings along, not the processes."""
        return JudgePool, (self.judge, self.argument, self.workers, self.time_limit)

    def _three_rounds(self, pairs: list[Pair]) -> dict[Pair, Any]:
        verdicts: dict[Pair, Any] = {}
        budget = max(2.0, 0.01 * len(pairs))  # of a round; the first gets twice as much
        deadline = time.monotonic() + max(20.0, 0.08 * len(pairs))
        try:
            unreached = self._round(pairs, self.time_limit / 4, 2 * budget, deadline, verdicts)
            self._round(unreached, self.time_limit / 32, math.inf, deadline, verdicts)
            undecided = [pair for pair in pairs if pair not in verdicts]
            self._round(undecided, self.time_limit, budget, deadline, verdicts)
        except BaseException:
            stop(self._running)  # a verdict under way would be taken for that of the next pair
            raise
        return verdicts

    def _round(
        self, pairs: Iterable[Pair], limit: float, budget: float, deadline: float, verdicts: dict[Pair, Any]
    ) -> list[Pair]:
        """Judge pairs for at most `limit` seconds each; put what is decided into `verdicts`.

        Returns:
            The pairs that were not reached before the budget was spent, or the deadline came.
        """
        queue = deque(pairs)
        spent = 0.0
        while True:
            is_open = spent < budget and time.monotonic() < deadline
            if is_open:
                self._hand_out(queue, limit)
            if not (is_open and queue) and not any(worker.pair for worker in self._running):
                return list(queue)
            for worker in self._next_replies():
                reply = worker.receive()
                pair, worker.pair = worker.pair, None
                if reply is not None and pair is not None:
                    verdicts[pair], seconds = reply
                    spent += seconds
                elif pair is not None:
                    spent += limit

    def _hand_out(self, queue: deque[Pair], limit: float) -> None:
        """Give every idle worker a pair, after starting workers as long as there are pairs for them."""
        stop(self._running, [worker for worker in self._running if worker.idle and worker.has_ended()])
        while len(self._running) < min(self.workers, len(queue)):
            self._running.append(WorkerProcess(self.judge, self.argument))
        for worker in self._running:
            if queue and worker.idle:
                worker.send(queue.popleft(), limit)

    def _next_replies(self) -> list[WorkerProcess]:
        """Wait for workers that have something to say."""
        awaited = {worker.fd: worker for worker in self._running if not worker.idle}
        ready = wait(awaited, STALLED)
        if not ready:
            for worker in awaited.values():
                worker.kill()
        return [worker for fd, worker in awaited.items() if fd in ready]

    def _forget_processes(self) -> None:
        """In a forked copy of this process, leave the workers to the original, and the lock that a thread may hold."""
        for worker in self._running:
            worker.abandon()
        self._running.clear()
        self._lock = threading.Lock()


_POOLS: weakref.WeakSet[JudgePool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in _POOLS:
        pool._forget_processes()


os.register_at_fork(after_in_child=_after_fork)
