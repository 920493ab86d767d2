"""Everything a run leaves behind: metrics, checkpoints, pictures, and what the user sees meanwhile."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from paretune.agents.display import Display, SilentDisplay, WarningDisplay
from paretune.agents.files import atomic_path, write_json
from paretune.agents.runs.checkpoint import write_checkpoint
from paretune.agents.runs.history import Array, History
from paretune.agents.runs.metrics import Line
from paretune.agents.runs.plotting import plot_run
from paretune.agents.runs.run_folder import RunFolder
from paretune.agents.runs.signs import Signs
from paretune.agents.runs.trackers import NoTracker, Tracker, TrackerName, check_tracker, make_tracker
from paretune.agents.settings import AgentSettings
from paretune.agents.state import TrainingState
from paretune.weighting.gram_estimate import GramEstimate


class Recorder:
    """Writes a run to its folder, its display and its tracker.

    Attributes:
        folder: The run folder; None writes nothing.
        opened: Whether the folder already holds this run.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        settings: AgentSettings,
        objectives: int,
        display: Display | None = None,
        tracker: TrackerName = "none",
        *,
        overwrite: bool = False,
        opened: bool = False,
        main: bool = True,
    ) -> None:
        """Remember where to write; nothing is written yet.

        Args:
            folder: The run folder; None writes nothing.
            settings: They say which checkpoints stay, and whether there are pictures.
            objectives: K, their number.
            display: Shows the progress; None shows nothing but warnings, as Python does.
            tracker: Experiment tracker that gets the metrics as well.
            overwrite: Replace a run that the folder already holds.
            opened: The folder already holds this very run.
            main: Whether this process writes the run; of several that train together, one does.

        Raises:
            ValueError: If the folder holds another run, or the tracker is not installed.
        """
        self.folder = folder if main else None
        self.opened = opened
        self._settings, self._objectives = settings, objectives
        self._recorded = folder is not None  # by one of the processes
        self._saved: int | None = None  # the step of the last checkpoint
        self._overwrite = overwrite
        check_tracker(tracker)
        self._check_free()
        self._display = (display or WarningDisplay()) if main else SilentDisplay()
        self._tracker_name: TrackerName = tracker if main else "none"
        self._tracker: Tracker = NoTracker()
        self._signs = Signs()

    @property
    def path(self) -> Path | None:
        """The run folder's path, if there is a folder."""
        return None if self.folder is None else self.folder.path

    @contextmanager
    def session(self, state: TrainingState, config: dict[str, Any], horizon: int) -> Iterator[None]:
        """Open folder, display and tracker for training up to step `horizon`; end with a checkpoint.

        Args:
            state: What is trained.
            config: All settings, as a settings file holds them.
            horizon: The last step.
        """
        config = config | {"steps": horizon}
        with _readable_disk_errors(self.folder):
            if self.folder is not None:
                self._open(self.folder, state, config)
            self._write_reference(state)
            self._tracker = make_tracker(self._tracker_name, self.path, config)
            self._display.start(horizon, state.step)
            try:
                yield
                self._checkpoint(state)
                if self.folder is not None and self._settings.pictures:
                    plot_run(self.folder)
            finally:
                self._display.stop()
                self._tracker.finish()

    def record(self, state: TrainingState, line: Line) -> None:
        """Write one step's metrics and, where it is due, a checkpoint; then show them."""
        if self.folder is not None:
            self._write(self.folder, state, line)
        if self._is_due(state, "validation" in line):
            self._checkpoint(state)
        self._display.step(line)
        self._tracker.log(line)
        for text in self._signs.seen(line):
            self.message(text)

    def observed(self, step: int, rewards: Array, gram: Array | GramEstimate | None, *, single: bool) -> None:
        """Write what a step has shown the weighting, or could have.

        Args:
            step: The training step, from 1.
            rewards: (P, G, K).
            gram: (K, K), or an estimate of it, or None where none was computed.
            single: Whether float32 holds the rewards.
        """
        if self.folder is not None:
            self._history(self.folder).append(step, rewards, gram, single=single)

    def message(self, text: str) -> None:
        """Show a sentence."""
        self._display.message(text)

    def save(self, state: TrainingState, config: dict[str, Any], source: RunFolder | None) -> None:
        """Write an agent as it is to the folder, which holds no run yet, with what its own folder has up to its step.

        Args:
            state: What was trained.
            config: All settings, as a settings file holds them.
            source: The run folder that has metrics and history of it, if any.
        """
        with _readable_disk_errors(self.folder):
            if self.folder is not None:
                self._open(self.folder, state, config | {"steps": state.step})
                if source is not None:
                    for line in source.metrics():
                        if line["step"] <= state.step:
                            self.folder.append_metrics(line)
                    self._history(source).copy_until(state.step, self._history(self.folder))
                self.folder.write_archive(state.archive)
            self._write_reference(state)
            self._checkpoint(state)

    def _open(self, folder: RunFolder, state: TrainingState, config: dict[str, Any]) -> None:
        if not self.opened:
            self._check_free()  # again: another agent may have begun a run there since
            folder.create(config)
            self.opened = True
            return
        last = folder.find_checkpoint()
        if last is not None and last != folder.checkpoint_path(state.step):
            raise ValueError(
                f"checkpoint: must be the last one ({last.name}) for training to go on, got step {state.step}; save "
                "the agent to another folder and train it there"
            )
        write_json(folder.config_path, config)
        folder.forget_metrics_after(state.step if state.performances else -1)
        self._history(folder).forget_after(state.step)
        self._signs = Signs()
        for line in folder.metrics():  # what they told is not told again
            self._signs.seen(line)

    def _check_free(self) -> None:
        if self.folder is not None and not self.opened:
            self.folder.check_free(self._overwrite)

    def _write_reference(self, state: TrainingState) -> None:
        reference = state.updater.reference
        if not self._recorded or reference is None or reference.model is state.policy.model:
            return  # in the last case it is the policy without its adapter
        whole = reference.whole(self.folder is not None)
        if self.folder is None or self.folder.reference_path.exists():
            return
        assert whole is not None
        with atomic_path(self.folder.reference_path) as temporary:
            whole.save(temporary)

    def _write(self, folder: RunFolder, state: TrainingState, line: Line) -> None:
        folder.append_metrics(line)
        if "validation" in line:
            folder.write_archive(state.archive)

    def _checkpoint(self, state: TrainingState) -> None:
        """Write a checkpoint of the step; every process takes part, because each may hold a shard."""
        if not self._recorded or self._saved == state.step:
            return
        path = None if self.folder is None else self.folder.checkpoint_path(state.step)
        write_checkpoint(path, state.policy, state.updater.optimizer, state.state_dict())
        self._saved = state.step
        if self.folder is not None and self._settings.keep != "all":
            self.folder.prune_checkpoints({self.folder.checkpoint_path(step).name for step in self._chosen(state)})

    def _is_due(self, state: TrainingState, validated: bool) -> bool:
        wanted = self._settings.keep == "all" or state.step in self._chosen(state)
        return state.step % self._settings.checkpoint_every == 0 or (validated and wanted)

    def _chosen(self, state: TrainingState) -> set[int]:
        """The steps whose checkpoints stay for what their validation was."""
        keep = self._settings.keep
        front = set(state.archive.tags) if keep in ("front", "fronts") else set()
        return front | {0, *state.trained_front()} if keep == "fronts" else front

    def _history(self, folder: RunFolder) -> History:
        shape = (self._settings.prompts_per_step, self._settings.group_size, self._objectives)
        return History(folder.history_path, shape)


@contextmanager
def _readable_disk_errors(folder: RunFolder | None) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        if folder is None or not _disk_is_full(error):
            raise
        raise OSError(
            errno.ENOSPC,
            f"out: no space is left on the disk of {str(folder.path)!r}; free some and resume the run (--resume; in "
            f"Python Agent.load(folder)): it goes on from its last checkpoint ({_last_name(folder)})",
        ) from error


def _last_name(folder: RunFolder) -> str:
    last = folder.find_checkpoint()
    return "none yet" if last is None else last.name


def _disk_is_full(error: Exception) -> bool:
    # safetensors reports the error of the operating system as text only
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "os error 28" in str(error)
