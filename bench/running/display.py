"""How far a benchmark is: a live table on a terminal, a line for each cell elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from paretune.agents.display import clock
from paretune.bench.running.cell import ERROR, RESULT, Work

STATES = ("finished", "failed", "running", "waiting")


@dataclass(frozen=True, slots=True)
class Status:
    """How far a benchmark is at a moment.

    Attributes:
        states: State of every cell, one of `STATES`, by name.
        running: Training steps done and to do, of the cells that are running.
        seconds_left: Estimate of the time to the end; None while no cell has finished.
        elapsed: Seconds since the start.
    """

    states: dict[str, str]
    running: dict[str, tuple[int, int]]
    seconds_left: float | None
    elapsed: float

    def counts(self, prefix: str = "") -> dict[str, int]:
        """Return the number of cells in each state, of those whose names start with `prefix`."""
        states = [state for name, state in self.states.items() if name.startswith(prefix)]
        return {state: states.count(state) for state in STATES}


@dataclass
class Progress:
    """Watches the folders of cells.

    Attributes:
        work: All cells.
        jobs: Cells that run at the same time.
    """

    work: Sequence[Work]
    jobs: int
    _began: float = field(default_factory=time.monotonic, init=False)
    _started: dict[str, float] = field(default_factory=dict, init=False)
    _took: dict[str, float] = field(default_factory=dict, init=False)
    _states: dict[str, str] = field(default_factory=dict, init=False)
    _folders: dict[str, Path] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Find what is finished already."""
        for one in self.work:
            self._folders[one.cell.name] = one.folder
            self._states[one.cell.name] = _ended_state(one.folder) or "waiting"

    def now(self, running: Sequence[Work] = ()) -> Status:
        """Return how far the benchmark is, with these cells running."""
        now = time.monotonic()
        active = {one.cell.name: one for one in running}
        for name in [name for name, state in self._states.items() if state == "running" and name not in active]:
            self._states[name] = ended = _ended_state(self._folders[name]) or "waiting"
            if ended == "finished":
                self._took[name] = now - self._started[name]
        for name in active:
            self._started.setdefault(name, now)
            self._states[name] = "running"
        steps = {name: (one.step, one.cell.setup["steps"]) for name, one in active.items()}
        return Status(dict(self._states), steps, self._seconds_left(steps), now - self._began)

    def _seconds_left(self, steps: dict[str, tuple[int, int]]) -> float | None:
        """Mean time of the finished cells of the same environment and agent, for each cell that is to be done."""
        if not self._took:
            return None
        overall = sum(self._took.values()) / len(self._took)
        by_comparison: dict[str, list[float]] = {}
        for name, seconds in self._took.items():
            by_comparison.setdefault(_comparison(name), []).append(seconds)
        means = {name: sum(values) / len(values) for name, values in by_comparison.items()}
        left = 0.0
        for name, state in self._states.items():
            if state in ("running", "waiting"):
                done, total = steps.get(name, (0, 1))
                left += means.get(_comparison(name), overall) * (1 - done / total)
        return left / self.jobs


class Display(Protocol):
    """What shows a benchmark's progress."""

    def start(self, progress: Progress) -> None:
        """Begin."""

    def update(self, status: Status) -> None:
        """Show how far it is."""

    def stop(self) -> None:
        """End."""


class SilentDisplay:
    """Shows nothing."""

    def start(self, progress: Progress) -> None:
        """Show nothing."""

    def update(self, status: Status) -> None:
        """Show nothing."""

    def stop(self) -> None:
        """Show nothing."""


class LineDisplay:
    """Prints a line for each cell that ends; for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to `stream`; None is the standard error stream."""
        self._stream = stream
        self._shown: dict[str, str] = {}

    def start(self, progress: Progress) -> None:
        """Say how much is to be done."""
        self._shown = progress.now().states
        counts = progress.now().counts()
        self._print(f"{len(self._shown)} cells, {counts['finished']} finished before, {progress.jobs} at a time")

    def update(self, status: Status) -> None:
        """Print the cells that have ended since."""
        ended = len(self._shown) - status.counts()["waiting"] - status.counts()["running"]
        for name, state in status.states.items():
            if state in ("finished", "failed") and self._shown[name] != state:
                left = "" if status.seconds_left is None else f", {clock(status.seconds_left)} left"
                self._print(f"{ended}/{len(self._shown)} {name} {state} ({clock(status.elapsed)}{left})")
        self._shown = status.states

    def stop(self) -> None:
        """Print nothing more."""

    def _print(self, text: str) -> None:
        print(text, file=self._stream or sys.stderr, flush=True)


class LiveDisplay:
    """A table of all comparisons, and the cells that are running; for terminals."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on `console`; None is the standard error stream."""
        self._live = Live(console=console or Console(stderr=True), refresh_per_second=4)

    def start(self, progress: Progress) -> None:
        """Put the table on the screen."""
        self._live.update(status_table(progress.now()))
        self._live.start(refresh=True)

    def update(self, status: Status) -> None:
        """Draw the table anew."""
        self._live.update(status_table(status))

    def stop(self) -> None:
        """Leave the table as it is and give the terminal back."""
        self._live.stop()


def make_display(quiet: bool = False) -> Display:
    """Return the display that fits: silent if `quiet`, live if the standard error stream is a terminal, else lines."""
    if quiet:
        return SilentDisplay()
    return LiveDisplay() if sys.stderr.isatty() else LineDisplay()


def status_table(status: Status) -> Table:
    """Return a table: a row for each comparison, the total with the time left, and what is running."""
    left = "" if status.seconds_left is None else f", about {clock(status.seconds_left)} left"
    table = Table(box=None, pad_edge=False, caption_justify="left", title_justify="left")
    table.title = f"{clock(status.elapsed)} so far{left}"
    table.add_column("environment / agent")
    for state in STATES:
        table.add_column(state, justify="right")
    for name in dict.fromkeys(map(_comparison, status.states)):
        table.add_row(Text(name), *map(str, status.counts(f"{name}/").values()))
    table.add_row("all", *map(str, status.counts().values()), style="bold")
    running = [f"{name}  step {done} of {total}" for name, (done, total) in status.running.items()]
    table.caption = Text("\n".join(running))
    return table


def _comparison(name: str) -> str:
    return "/".join(name.split("/")[:2])


def _ended_state(folder: Path) -> str | None:
    if (folder / RESULT).exists():
        return "finished"
    return "failed" if (folder / ERROR).exists() else None
