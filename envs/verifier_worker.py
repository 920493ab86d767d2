"""The process in which math-verify compares answers for `paretune.envs.verifier`.

It runs as a script, so that it imports nothing but the standard library and math-verify. A task is a line of JSON on
standard input, `[reference, answer, seconds]`; the verdict is a line of JSON on standard output, `[equal, seconds]`
with the processor time it took, or `null` if the comparison could not be finished. The first line, `null`, says that
it is ready. The process ends when its standard input does.

Hostile answers keep sympy busy inside C code, where no Python exception reaches it. So a forked child does the
comparing, and the kernel ends it at its limits of processor time and memory; the next child is forked from the warm
state of this process within milliseconds. The first child starts cold, for a program that meets no hostile answer.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterable
from typing import BinaryIO

STDIN, STDOUT = 0, 1

MEMORY_LIMIT = 1 << 30
"""Address space of a child in bytes."""

TASKS_PER_CHILD = 500
"""Comparisons after which a child is replaced, which keeps sympy's caches small."""

WARM_UP = (
    (r"\frac{1}{2}", "0.5"),
    (r"\sqrt{12}", r"2\sqrt{3}"),
    (r"\left( 3, \frac{\pi}{2} \right)", "(3,1)"),
    (r"(-\infty, 2] \cup [5, 7)", "[2,3]"),
    (r"\begin{pmatrix} 1 \\ -2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}"),
    (r"x^2 - 3xy + 1", "(x+1)(y-2)"),
    (r"\{1\pm\sqrt{5},-2\}", "1, 2"),
    (r"y = 2x + 3", "2x+4"),
    (r"50\%", r"\$18.90"),
    ("6+9i", "-2e^{i}"),
    (r"90^\circ", r"\text{(C)}"),
    (r"x \ge 3", "x < 2"),
)
"""Typical comparisons: sympy imports its parts, and the parser builds its tables, when they are first needed."""


def equal(reference: str, answer: str) -> bool:
    """Return whether math-verify takes `answer` for equal to `reference`; takes any time and memory.

    Both are read as the content of a box: LaTeX, plain expressions, sets, intervals, matrices, text, units.
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    readers = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
    gold, target = (parse(rf"\boxed{{{text}}}", readers, parsing_timeout=None) for text in (reference, answer))
    return verify(gold, target, timeout_seconds=None)


def compare_tasks(tasks: BinaryIO, verdicts: int) -> None:
    """Answer every task in turn under its time limit, of processor time so that a busy machine changes no verdict.

    The timers' signals end the process; the one of real time is for a process that is kept from running.
    """
    for task in tasks:
        reference, answer, seconds = json.loads(task)
        signal.setitimer(signal.ITIMER_REAL, 10 + 10 * seconds)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        start = time.process_time()
        verdict = equal(reference, answer)
        spent = time.process_time() - start
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(verdicts, json.dumps([verdict, spent]).encode() + b"\n")


class Child:
    """A forked copy of this process that compares answers until it is killed."""

    def __init__(self, private_fds: tuple[int, ...]) -> None:
        """Fork; the child closes `private_fds`, the pipes to the world outside."""
        tasks_read, self._tasks = os.pipe()
        self._verdicts, verdicts_write = os.pipe()
        self.tasks_done = 0
        self.pid = os.fork()
        if self.pid == 0:
            try:
                for fd in (*private_fds, self._tasks, self._verdicts):
                    os.close(fd)
                _set_limits()
                compare_tasks(os.fdopen(tasks_read, "rb"), verdicts_write)
            finally:
                os._exit(0)
        os.close(tasks_read)
        os.close(verdicts_write)

    def compare(self, task: bytes) -> bytes | None:
        """Return the verdict's line; empty if the child died of the task, None if nobody waits for it any more."""
        self.tasks_done += 1
        with contextlib.suppress(BrokenPipeError):  # it was killed from outside; the pipe of verdicts has ended, too
            os.write(self._tasks, task)
        ready, _, _ = select.select((self._verdicts, STDIN), (), ())
        return os.read(self._verdicts, 1024) if self._verdicts in ready else None

    def close(self) -> None:
        """End the child."""
        os.close(self._tasks)
        os.close(self._verdicts)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _set_limits() -> None:
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere the limit is refused or has no effect
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))


def warm_up(pairs: Iterable[tuple[str, str]]) -> None:
    """Compare pairs for what this process learns from them, which future children inherit."""
    for reference, answer in pairs:
        equal(reference, answer)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that children share


def main() -> None:
    """Serve until standard input ends."""
    logging.disable(logging.CRITICAL)
    replies = os.dup(STDOUT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # for what libraries may print
    warm_up(WARM_UP[:1])
    to_learn: Iterable[tuple[str, str]] = WARM_UP[1:]
    child = Child((STDIN, replies))
    os.write(replies, b"null\n")
    for task in os.fdopen(STDIN, "rb", closefd=False):
        verdict = child.compare(task)
        if verdict is None:
            break
        os.write(replies, verdict or b"null\n")
        if not verdict or child.tasks_done == TASKS_PER_CHILD:
            child.close()
            warm_up(to_learn)
            to_learn = ()
            child = Child((STDIN, replies))
    child.close()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody reads the replies any more
        main()
