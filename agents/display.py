"""What a training run shows while it runs: a live panel on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import warnings
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

Line = Mapping[str, Any]

BAR_WIDTH = 20
PLAIN_LINES = 100
TIMED_STEPS = 20


class Display(Protocol):
    """What a training loop tells its spectator."""

    def start(self, total: int, done: int) -> None:
        """Begin a run of `total` steps, of which `done` are done already."""

    def step(self, line: Line) -> None:
        """Show one line of the run's `metrics.jsonl`."""

    def message(self, text: str) -> None:
        """Show a sentence, such as a warning."""

    def stop(self) -> None:
        """End the run, finished or not."""


class SilentDisplay:
    """Shows nothing."""

    def start(self, total: int, done: int) -> None:
        """Show nothing."""

    def step(self, line: Line) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""

    def stop(self) -> None:
        """Show nothing."""


class WarningDisplay(SilentDisplay):
    """Shows nothing but sentences, as Python's warnings: for agents that were given no display."""

    def message(self, text: str) -> None:
        """Warn."""
        warnings.warn(text, stacklevel=2)


class LineDisplay:
    """Prints about a hundred plain lines per run, and one per validation; for logs and pipes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to `stream`; None is the standard error stream."""
        self._stream = stream
        self._total = 0
        self._every = 1
        self._seconds: deque[float] = deque(maxlen=TIMED_STEPS)

    def start(self, total: int, done: int) -> None:
        """Say where the run begins."""
        self._total = total
        self._every = max(1, total // PLAIN_LINES)
        self._seconds.clear()
        self.message(f"training from step {done} to {total}")

    def step(self, line: Line) -> None:
        """Print the line if it is due, the last one or a validation."""
        if "rewards" in line:
            self._seconds.append(sum(line.get("times", {}).values()))
        if "validation" in line or line["step"] % self._every == 0 or line["step"] == self._total:
            self.message(describe(line, self._total) + self._time_left(line["step"]))

    def message(self, text: str) -> None:
        """Print the sentence."""
        print(text, file=self._stream or sys.stderr, flush=True)

    def stop(self) -> None:
        """Print nothing more."""

    def _time_left(self, step: int) -> str:
        """Seconds per step of the last steps, and what they make of the steps to come."""
        if not self._seconds:
            return ""
        per_step = sum(self._seconds) / len(self._seconds)
        return f" | {per_step:.2f} s/step, {clock(per_step * (self._total - step))} left"


class LiveDisplay:
    """A progress bar with the time left, and a table of objectives and weights; for terminals."""

    def __init__(self, console: Console | None = None) -> None:
        """Draw on `console`; None is the standard error stream."""
        self._console = console or Console(stderr=True)
        # Steps may take minutes: the speed must not be judged from the last half minute alone.
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            speed_estimate_period=3600.0,
        )
        self._task = self._progress.add_task("training")
        self._live = Live(console=self._console, refresh_per_second=4, transient=False)
        self._validation: Line | None = None

    def start(self, total: int, done: int) -> None:
        """Put the panel on the screen."""
        self._progress.reset(self._task, total=total, completed=done)
        self._live.update(self._progress)
        self._live.start(refresh=True)

    def step(self, line: Line) -> None:
        """Draw the panel anew."""
        if "validation" in line:
            self._validation = line
        self._progress.update(self._task, completed=line["step"])
        self._live.update(Group(self._progress, objectives_table(line, self._validation), Text(summary(line))))

    def message(self, text: str) -> None:
        """Print the sentence above the panel."""
        self._console.print(text, markup=False, highlight=False)

    def stop(self) -> None:
        """Leave the panel as it is and give the terminal back."""
        self._live.stop()


def make_display(quiet: bool = False) -> Display:
    """Return the display that fits: silent if `quiet`, live if the standard error stream is a terminal, else lines."""
    if quiet:
        return SilentDisplay()
    return LiveDisplay() if sys.stderr.isatty() else LineDisplay()


def describe(line: Line, total: int) -> str:
    """Return a line of metrics as one line of text.

    Example:
        >>> line = {"step": 5, "weights": {"brevity": 0.3, "clarity": 0.2}, "scale": 0.5, "hypervolume": 0.02,
        ...         "rewards": {"brevity": {"mean": 0.1}, "clarity": {"mean": 0.2}}}
        >>> describe(line, 60)
        'step 5/60 | train brevity 0.100 clarity 0.200 | weights 0.600 0.400 | scale 0.500 | archive hypervolume 0.0200'
    """
    parts = [f"step {line['step']}/{total}"]
    for label, key in (("train", "rewards"), ("validation", "validation")):
        if key in line:
            parts.append(label + "".join(f" {name} {entry['mean']:.3f}" for name, entry in line[key].items()))
    parts.append("weights " + " ".join(f"{share:.3f}" for share in shares(line).values()))
    if line["scale"] != 1:
        parts.append(f"scale {line['scale']:.3f}")
    parts.append(f"archive hypervolume {line['hypervolume']:.4f}")
    return " | ".join(parts)


def objectives_table(line: Line, validation: Line | None) -> RenderableType:
    """Return a table of a line's objectives: training mean, latest validation, and weight, also as a bar."""
    table = Table(box=None, pad_edge=False)
    table.add_column("objective")
    table.add_column("training", justify="right")
    table.add_column(f"validation at {validation['step']}" if validation else "validation", justify="right")
    table.add_column("weight", justify="right")
    table.add_column("")
    for name, share in shares(line).items():
        trained = f"{line['rewards'][name]['mean']:.3f}" if "rewards" in line else "-"
        checked = validated(validation["validation"][name]) if validation else "-"
        bar = "█" * round(BAR_WIDTH * share)
        table.add_row(Text(name), trained, checked, f"{share:.3f}", Text(bar, style="cyan"))
    for name, entry in (validation["validation"] if validation else {}).items():
        if name not in line["weights"]:  # for evaluation only
            table.add_row(Text(name), "-", validated(entry), "-", "")
    return table


def validated(entry: Mapping[str, float | None]) -> str:
    """Return a validation's mean, with its standard error where there is one."""
    mean, error = entry["mean"], entry["standard_error"]
    return f"{mean:.3f}" if error is None else f"{mean:.3f} ± {error:.3f}"


def shares(line: Line) -> dict[str, float]:
    """Return the weights of a line divided by their sum, which is its scale, by objective."""
    total = sum(line["weights"].values())
    return {name: weight / total for name, weight in line["weights"].items()}


def summary(line: Line) -> str:
    """Return the numbers of a line that concern all objectives together."""
    parts = [f"archive hypervolume {line['hypervolume']:.4f}"]
    for key, label, form in (("scale", "scale", ".3f"), ("loss", "loss", ".4f"), ("grad_norm", "gradient norm", ".3g")):
        if key in line:
            parts.append(f"{label} {line[key]:{form}}")
    if "times" in line:
        parts.append(f"{sum(line['times'].values()):.2f} s/step")
    return "   ".join(parts)


def clock(seconds: float) -> str:
    """Return a duration in seconds as hours, minutes and seconds.

    Example:
        >>> clock(3725.4)
        '1:02:05'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
