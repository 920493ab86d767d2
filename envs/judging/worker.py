"""The process in which pairs of texts are judged for `paretune.envs.judging.pool`.

It runs as a script, `worker.py FILE ARGUMENT`, and imports nothing but the standard library and what FILE does,
a Python file that defines `make_judge(ARGUMENT)`. That returns a function from a reference and an answer to a verdict
that JSON can hold, and typical pairs. A task is a line of JSON on standard input, `[reference, answer, seconds]`; its
line on standard output is `[verdict, seconds]` with the processor time it took, or `null` if there is no verdict. The
first line, `null`, says that it is ready. The process ends when its standard input does.

Hostile answers keep a judge busy inside C code, where no Python exception reaches it. So a forked child does the
judging, and the kernel ends it at its limits of processor time and memory; the next child is forked from the warm
state of this process within milliseconds. The first child starts cold, for a program that meets no hostile answer.
"""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import resource
import runpy
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

Judge = Callable[[str, str], Any]

STDIN, STDOUT = 0, 1

MEMORY_LIMIT = 1 << 30
"""Address space in bytes that a child may take beyond what it starts with."""

TASKS_PER_CHILD = 500
"""Tasks after which a child is replaced, which keeps the caches of a judge small."""


def judge_tasks(judge: Judge, tasks: BinaryIO, verdicts: int) -> None:
    """Answer every task in turn under its time limit, of processor time so that a busy machine changes no verdict.

    The timers' signals end the process; the one of real time is for a process that is kept from running.
    """
    for task in tasks:
        reference, answer, seconds = json.loads(task)
        signal.setitimer(signal.ITIMER_REAL, 10 + 10 * seconds)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        start = time.process_time()
        verdict = judge(reference, answer)
        spent = time.process_time() - start
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.write(verdicts, json.dumps([verdict, spent]).encode() + b"\n")


class Child:
    """A forked copy of this process that judges until it is killed."""

    def __init__(self, judge: Judge, private_fds: tuple[int, ...]) -> None:
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
                judge_tasks(judge, os.fdopen(tasks_read, "rb"), verdicts_write)
            finally:
                os._exit(0)
        os.close(tasks_read)
        os.close(verdicts_write)

    def answer(self, task: bytes) -> bytes | None:
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
        with open("/proc/self/statm") as numbers:
            pages = int(numbers.read().split()[0])
        limit = pages * resource.getpagesize() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def warm_up(judge: Judge, pairs: Iterable[tuple[str, str]]) -> None:
    """Judge pairs for what this process learns from them, which future children inherit."""
    for reference, answer in pairs:
        judge(reference, answer)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that children share


def main(file: str, argument: str) -> None:
    """Serve until standard input ends."""
    logging.disable(logging.CRITICAL)
    replies = os.dup(STDOUT)
    os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)  # for what libraries may print
    judge, typical = runpy.run_path(file)["make_judge"](argument)
    warm_up(judge, typical[:1])
    to_learn = typical[1:]
    child = Child(judge, (STDIN, replies))
    os.write(replies, b"null\n")
    for task in os.fdopen(STDIN, "rb", closefd=False):
        verdict = child.answer(task)
        if verdict is None:
            break
        os.write(replies, verdict or b"null\n")
        if not verdict or child.tasks_done == TASKS_PER_CHILD:
            child.close()
            warm_up(judge, to_learn)
            to_learn = ()
            child = Child(judge, (STDIN, replies))
    child.close()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # nobody reads the replies any more
        main(*sys.argv[1:])
