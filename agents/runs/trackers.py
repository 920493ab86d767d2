"""Experiment trackers, through accelerate."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

from paretune.agents.runs.metrics import Line
from paretune.weighting.bookkeeping import flatten

TrackerName = Literal["none", "tensorboard", "wandb", "trackio"]


class Tracker(Protocol):
    """Takes the metrics of a run while it goes on."""

    def log(self, line: Line) -> None:
        """Send one line of metrics."""
        ...

    def finish(self) -> None:
        """Send what is left."""
        ...


class NoTracker:
    """Sends nothing."""

    def log(self, line: Line) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""


class AccelerateTracker:
    """Sends metrics through one of accelerate's trackers."""

    def __init__(self, name: str, folder: Path, config: dict[str, Any]) -> None:
        """Start the tracker called `name` for the run in `folder`."""
        from accelerate import PartialState
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        PartialState()
        tracker_class = LOGGER_TYPE_TO_CLASS[name]
        where = {"logging_dir": str(folder)} if tracker_class.requires_logging_directory else {}
        self._tracker = tracker_class(folder.name or "paretune", **where)
        if hasattr(self._tracker, "start"):
            self._tracker.start()
        self._tracker.store_init_configuration({key: _plain(value) for key, value in config.items()})

    def log(self, line: Line) -> None:
        """Send one line of metrics under its step."""
        self._tracker.log(flatten(line), step=line["step"])

    def finish(self) -> None:
        """Send what is left and end the tracker's run."""
        self._tracker.finish()


def check_tracker(name: TrackerName) -> None:
    """Raise ValueError if the tracker called `name` is not installed."""
    if name == "none":
        return
    from accelerate.tracking import get_available_trackers

    available = [str(tracker) for tracker in get_available_trackers()]
    if name not in available:
        raise ValueError(
            f"tracker: must be none or an installed one of accelerate's ({', '.join(available) or 'none is'}), "
            f'got {name!r}; pip install "paretune[trackers]", or pip install -e ".[trackers]" in a clone'
        )


def make_tracker(name: TrackerName, folder: Path | None, config: dict[str, Any]) -> Tracker:
    """Return the tracker called `name` for the run in `folder` (the working directory if None)."""
    return NoTracker() if name == "none" else AccelerateTracker(name, folder or Path(), config)


def _plain(value: Any) -> int | float | str | bool:
    return value if isinstance(value, (int, float, str, bool)) else str(value)
