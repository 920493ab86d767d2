"""Everything a run leaves behind: metrics, checkpoints, pictures, and what the user sees meanwhile."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from paretune.agents.checkpoint import write_checkpoint
from paretune.agents.display import Display, SilentDisplay
from paretune.agents.files import atomic_path, write_json
from paretune.agents.history import Array, History
from paretune.agents.metrics import Line
from paretune.agents.pictures import draw_run
from paretune.agents.run_folder import RunFolder
from paretune.agents.state import config_of, state_of
from paretune.agents.trackers import NoTracker, Tracker, TrackerName, check_tracker, make_tracker
from paretune.envs import ResponseEnv

if TYPE_CHECKING:
    from paretune.agents.agent import Agent


class Recorder:
    """Writes a run to its folder, its display and its tracker.

    Attributes:
        folder: The run folder; None writes nothing.
        opened: Whether the folder already holds this run.
    """

    def __init__(
        self,
        folder: RunFolder | None,
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
            display: Shows the progress; None shows nothing.
            tracker: Experiment tracker that gets the metrics as well.
            overwrite: Replace a run that the folder already holds.
            opened: The folder already holds this very run.
            main: Whether this process writes the run; of several that train together, one does.

        Raises:
            ValueError: If the folder holds another run, or the tracker is not installed.
        """
        self.folder = folder if main else None
        self.opened = opened
        self._recorded = folder is not None  # by one of the processes
        self._saved: int | None = None  # the step of the last checkpoint
        self._overwrite = overwrite
        check_tracker(tracker)
        self._check_free()
        self._display = display if display is not None and main else SilentDisplay()
        self._tracker_name: TrackerName = tracker if main else "none"
        self._tracker: Tracker = NoTracker()

    @property
    def path(self) -> Path | None:
        """The run folder's path, if there is a folder."""
        return None if self.folder is None else self.folder.path

    @contextmanager
    def session(self, agent: Agent, horizon: int) -> Iterator[None]:
        """Open folder, display and tracker for training up to step `horizon`; end with a checkpoint."""
        config = config_of(agent) | {"steps": horizon}
        with _readable_disk_errors(self.folder):
            if self.folder is not None:
                self._open(self.folder, agent, config)
            self._write_reference(agent)
            self._tracker = make_tracker(self._tracker_name, self.path, config)
            self._display.start(horizon, agent.step)
            try:
                yield
                self._checkpoint(agent)
                if self.folder is not None and agent.settings.pictures:
                    draw_run(self.folder.path)
            finally:
                self._display.stop()
                self._tracker.finish()

    def record(self, agent: Agent, line: Line) -> None:
        """Write one step's metrics and, where it is due, a checkpoint; then show them."""
        if self.folder is not None:
            self._write(self.folder, agent, line)
        if _is_due(agent, "validation" in line):
            self._checkpoint(agent)
        self._display.step(line)
        self._tracker.log(line)

    def observed(self, agent: Agent, rewards: Array, gram: Array | None) -> None:
        """Write what the agent's step has shown the weighting, or could have: rewards (P, G, K), Gram matrix (K, K)."""
        if self.folder is not None:
            single = isinstance(agent.env, ResponseEnv)
            _history(self.folder, agent).append(agent.step, rewards, gram, single=single)

    def message(self, text: str) -> None:
        """Show a sentence."""
        self._display.message(text)

    def save(self, agent: Agent, metrics: Sequence[Line]) -> None:
        """Write the agent as it is, and the metrics that led to it, to the folder, which holds no run yet."""
        with _readable_disk_errors(self.folder):
            if self.folder is not None:
                self._open(self.folder, agent, config_of(agent) | {"steps": agent.step})
                for line in metrics:
                    self.folder.append_metrics(line)
                source = agent.recorder.folder
                if source is not None:
                    _history(source, agent).copy_until(agent.step, _history(self.folder, agent))
                self.folder.write_archive(agent.archive)
            self._write_reference(agent)
            self._checkpoint(agent)

    def _open(self, folder: RunFolder, agent: Agent, config: dict[str, Any]) -> None:
        if not self.opened:
            self._check_free()  # again: another agent may have begun a run there since
            folder.create(config)
            self.opened = True
            return
        last = folder.find_checkpoint()
        if last is not None and last != folder.checkpoint_path(agent.step):
            raise ValueError(
                f"checkpoint: training must go on from the last one ({last.name}), not from step {agent.step}; "
                "save the agent to another folder and train it there"
            )
        write_json(folder.config_path, config)
        folder.forget_metrics_after(agent.step if agent.performances else -1)
        _history(folder, agent).forget_after(agent.step)

    def _check_free(self) -> None:
        if self.folder is not None and not self.opened:
            self.folder.check_free(self._overwrite)

    def _write_reference(self, agent: Agent) -> None:
        reference = agent.updater.reference
        if not self._recorded or reference is None or reference.model is agent.policy.model:
            return  # in the last case it is the policy without its adapter
        whole = reference.whole(self.folder is not None)
        if self.folder is None or self.folder.reference_path.exists():
            return
        assert whole is not None
        with atomic_path(self.folder.reference_path) as temporary:
            whole.save(temporary)

    def _write(self, folder: RunFolder, agent: Agent, line: Line) -> None:
        folder.append_metrics(line)
        if "validation" in line:
            folder.write_archive(agent.archive)

    def _checkpoint(self, agent: Agent) -> None:
        """Write a checkpoint of the step; every process takes part, because each may hold a shard."""
        if not self._recorded or self._saved == agent.step:
            return
        path = None if self.folder is None else self.folder.checkpoint_path(agent.step)
        write_checkpoint(path, agent.policy, agent.updater.optimizer, state_of(agent))
        self._saved = agent.step
        if self.folder is not None and agent.settings.keep != "all":
            keep = agent.archive.tags if agent.settings.keep == "front" else []
            self.folder.prune_checkpoints({self.folder.checkpoint_path(step).name for step in keep})


def _is_due(agent: Agent, validated: bool) -> bool:
    keep, entered = agent.settings.keep, agent.step in agent.archive.tags
    return agent.step % agent.settings.checkpoint_every == 0 or (
        validated and (keep == "all" or (keep == "front" and entered))
    )


def _history(folder: RunFolder, agent: Agent) -> History:
    shape = (agent.settings.prompts_per_step, agent.settings.group_size, len(agent.objectives))
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
