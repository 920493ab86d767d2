"""Whether two answers are mathematically equal, decided by math-verify in processes that can be killed."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from functools import cache
from multiprocessing.connection import wait
from types import TracebackType

from paretune.envs.answers import MAX_TAIL, as_rational, normalise, tidy
from paretune.envs.verifier_process import Pair, WorkerProcess, stop

MAX_CHARS = 300
"""Longest reference or answer, in characters, that is compared mathematically."""

MAX_DEPTH = 20
"""Deepest nesting of brackets that is compared mathematically."""

CACHE_SIZE = 10_000
"""Verdicts that a verifier remembers."""

STALLED = 120.0
"""Seconds without any sign from the workers after which they are taken for stuck."""


class AnswerVerifier:
    r"""Compares answers with references; safe against hostile answers, and usable from any thread.

    Equal strings, integers and fractions need no process. Everything else goes to worker processes, which start when
    they are first needed and end with this process, however it ends. A comparison that takes too long is killed. So
    that a batch full of hostile answers stays affordable, it is worked through in three rounds:

    1. every pair gets `time_limit / 4`, until this round has used 0.02 s per pair (at least 4 s);
    2. the pairs that it did not reach get `time_limit / 32`;
    3. the pairs still undecided get `time_limit`, until this round has used 0.01 s per pair (at least 2 s).

    All of these are seconds of processor time, so that verdicts do not depend on how busy the machine is. With the
    default limit 512 distinct pairs cost at most about 36 s, shared by the workers; ordinary ones cost about 3 s. Only
    on a machine so busy that a batch takes 0.08 s per pair (at least 20 s) by the clock, what is left is given up.

    Attributes:
        workers: Number of worker processes.
        time_limit: Seconds of processor time for one comparison.

    Example:
        >>> with AnswerVerifier(workers=1) as verifier:
        ...     verifier.equal([r"\frac{1}{2}", "17"], ["0.5", r"9^{9^{9^{9}}}"])
        [True, None]
    """

    def __init__(self, workers: int | None = None, time_limit: float = 1.0) -> None:
        """Set up without starting anything.

        Args:
            workers: Number of worker processes; None takes two, or one on a machine with a single processor.
            time_limit: Seconds of processor time for one comparison.

        Raises:
            ValueError: If `workers` or `time_limit` is not positive.
        """
        workers = min(2, os.cpu_count() or 1) if workers is None else workers
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        if not 0 < time_limit < math.inf:
            raise ValueError(f"time_limit must be a positive number of seconds, not {time_limit}")
        self.workers = workers
        self.time_limit = time_limit
        self._cache: OrderedDict[Pair, bool] = OrderedDict()
        self._lock = threading.Lock()
        self._running: list[WorkerProcess] = []
        weakref.finalize(self, stop, self._running)
        _VERIFIERS.add(self)

    def equal(self, references: Sequence[str], answers: Sequence[str]) -> list[bool | None]:
        """Compare each answer with its reference.

        Args:
            references: B reference answers, LaTeX or plain.
            answers: B answers to judge, one per reference.

        Returns:
            B verdicts, None where the answer is too long, too deeply nested or too costly to decide.

        Raises:
            ValueError: If there are not as many answers as references.
            RuntimeError: If no worker process can be started.
        """
        pairs = [(tidy(reference), tidy(answer)) for reference, answer in zip(references, answers, strict=True)]
        with self._lock:
            verdicts = {pair: self._recall(pair) for pair in dict.fromkeys(pairs)}
            costly = [pair for pair, verdict in verdicts.items() if verdict is None and all(map(_affordable, pair))]
            decided = self._compare(costly)
            self._remember(decided)
        verdicts.update(decided)
        return [verdicts[pair] for pair in pairs]

    def close(self) -> None:
        """End the worker processes; they start again when needed."""
        with self._lock:
            stop(self._running)

    def __enter__(self) -> AnswerVerifier:
        """Return itself; leaving the context closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __reduce__(self) -> tuple[type[AnswerVerifier], tuple[int, float]]:
        """Copies and pickles take the settings along, not the processes."""
        return AnswerVerifier, (self.workers, self.time_limit)

    def _recall(self, pair: Pair) -> bool | None:
        if pair in self._cache:
            self._cache.move_to_end(pair)
            return self._cache[pair]
        return _verdict_at_once(*pair)

    def _remember(self, verdicts: dict[Pair, bool]) -> None:
        self._cache.update(verdicts)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)

    def _compare(self, pairs: list[Pair]) -> dict[Pair, bool]:
        """Return the verdicts of those pairs that the three rounds can decide."""
        verdicts: dict[Pair, bool] = {}
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
        self, pairs: Iterable[Pair], limit: float, budget: float, deadline: float, verdicts: dict[Pair, bool]
    ) -> list[Pair]:
        """Compare pairs for at most `limit` seconds each; put what is decided into `verdicts`.

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
            self._running.append(WorkerProcess())
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


def _verdict_at_once(reference: str, answer: str) -> bool | None:
    """Return the verdict where comparing strings or rational numbers gives it, else None."""
    if max(len(reference), len(answer)) > MAX_TAIL:
        return True if reference == answer else None
    strings = normalise(reference), normalise(answer)
    if not all(strings):
        return False
    if strings[0] == strings[1]:
        return True
    numbers = as_rational(reference), as_rational(answer)
    return None if None in numbers else numbers[0] == numbers[1]


def _affordable(text: str) -> bool:
    """Return whether `text` is short and flat enough to be read."""
    if len(text) > MAX_CHARS:
        return False
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, abs(depth))
    return deepest <= MAX_DEPTH


@cache
def shared_verifier() -> AnswerVerifier:
    """Return the verifier that all objectives of this process share unless they are given one of their own."""
    return AnswerVerifier()


_VERIFIERS: weakref.WeakSet[AnswerVerifier] = weakref.WeakSet()


def _after_fork() -> None:
    for verifier in _VERIFIERS:
        verifier._forget_processes()


os.register_at_fork(after_in_child=_after_fork)
