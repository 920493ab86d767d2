"""The folder of a run: its settings, its metrics, its archive and its checkpoints."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from paretune.agents.files import atomic_path, remove, write_json
from paretune.envs.suggest import unknown_name
from paretune.weighting import ParetoArchive

PACKAGES = ("paretune", "torch", "transformers", "gymnasium", "mo-gymnasium", "pymoo", "math-verify")

LONGEST_LINES = 1 << 16
"""Bytes at the end of the metrics that hold at least two lines."""


class RunFolder:
    """Where a run writes what it does.

    config.json     all settings; `paretune train --config` starts the same run again
    versions.json   Python and packages the run was started with
    metrics.jsonl   one line a step, step 0 the untrained policy
    archive.json    the Pareto archive of validation performances; under "remeasured" what its policies do on other
                    prompts, if that was measured after the training (`remeasure_front`)
    history/        the rewards of all responses and, where computed, Gram matrices (`History`), to replay
    checkpoints/    step-NNNNNN, each a model folder from which the run can go on
    reference/      the initial policy, where a KL term needs it
    front.png, weights.png, replay-NAME.png

    Attributes:
        path: The folder.
    """

    def __init__(self, path: str | Path) -> None:
        """Name the folder; nothing is read or written yet."""
        self.path = Path(path)

    @property
    def config_path(self) -> Path:
        """Where the settings are."""
        return self.path / "config.json"

    @property
    def metrics_path(self) -> Path:
        """Where the metrics are."""
        return self.path / "metrics.jsonl"

    @property
    def archive_path(self) -> Path:
        """Where the archive is."""
        return self.path / "archive.json"

    @property
    def history_path(self) -> Path:
        """Where the rewards and Gram matrices are."""
        return self.path / "history"

    @property
    def reference_path(self) -> Path:
        """Where the initial policy is, if it was kept."""
        return self.path / "reference"

    def check_free(self, overwrite: bool = False) -> None:
        """Raise ValueError if the folder holds a run that must not be replaced, or cannot be a folder."""
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"out: must be a folder, got {str(self.path)!r}, which is a file")
        if self.config_path.exists() and not overwrite:
            raise ValueError(
                f"out: must be a new folder, got {str(self.path)!r}, which already holds another run; go on with that "
                "one (--resume; in Python Agent.load(folder)), replace it (--overwrite; overwrite=True) or name "
                "another folder"
            )

    def create(self, config: dict[str, Any]) -> None:
        """Make the folder for a new run; an older run's files in it go."""
        self.path.mkdir(parents=True, exist_ok=True)
        files = ("metrics.jsonl", "archive.json", "history", "checkpoints", "reference", "front.png", "weights.png")
        for path in [*(self.path / name for name in files), *self.path.glob("replay-*.png")]:
            remove(path)
        write_json(self.config_path, config)
        packages = {name: version(name) for name in PACKAGES}
        write_json(self.path / "versions.json", {"python": platform.python_version(), **packages})

    def config(self) -> dict[str, Any]:
        """Return the run's settings.

        Raises:
            ValueError: If the folder holds no run.
        """
        if (self.path / "sweep.json").is_file():
            raise ValueError(
                f"run: must be the folder of a run, got that of a sweep, {str(self.path)!r}; name one of its runs, "
                "such as run-000"
            )
        if not self.config_path.is_file():
            raise ValueError(f"run: must be the folder of a run, got {str(self.path)!r}, which has no config.json")
        try:
            config = json.loads(self.config_path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"run: must be JSON, got {str(self.config_path)!r}, which is damaged ({error})") from error
        if not isinstance(config, dict):
            raise ValueError(
                f"run: must hold settings by name, got {type(config).__name__} in {str(self.config_path)!r}"
            )
        return config | _of_older_versions(config)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Add a line to the metrics."""
        with self.metrics_path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def metrics(self) -> list[dict[str, Any]]:
        """Return all complete lines of the metrics."""
        if not self.metrics_path.exists():
            return []
        lines = self.metrics_path.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def last_step(self) -> int:
        """Return the step of the last complete line of the metrics, without reading the others; 0 if there is none."""
        if not self.metrics_path.exists():
            return 0
        with self.metrics_path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST_LINES))
            lines = [line for line in file.read().splitlines(keepends=True)[-2:] if line.endswith(b"\n")]
        try:
            return json.loads(lines[-1])["step"] if lines else 0
        except ValueError:  # the line is longer than what was read
            return 0

    def forget_metrics_after(self, step: int) -> None:
        """Drop the lines of steps behind `step`, and a line that was cut off while it was written."""
        kept = [json.dumps(line) + "\n" for line in self.metrics() if line["step"] <= step]
        with atomic_path(self.metrics_path) as temporary:
            temporary.write_text("".join(kept), encoding="utf-8")

    def write_archive(self, archive: ParetoArchive) -> None:
        """Write the archive."""
        write_json(self.archive_path, archive.state_dict())

    def checkpoint_path(self, step: int) -> Path:
        """Return where the checkpoint of a step is or will be."""
        return self.path / "checkpoints" / f"step-{step:06d}"

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints, oldest first."""
        return sorted((self.path / "checkpoints").glob("step-*"))

    def find_checkpoint(self, name: str | None = None) -> Path | None:
        """Return the checkpoint called `name`, or the last one; None if there is none at all.

        Raises:
            ValueError: If there is no checkpoint of this name.
        """
        found = self.checkpoints()
        if name is None:
            return found[-1] if found else None
        for path in found:
            if path.name == name:
                return path
        raise ValueError(unknown_name("checkpoint", name, [path.name for path in found]))

    def prune_checkpoints(self, keep: set[str]) -> None:
        """Remove all checkpoints but the last and those named in `keep`."""
        for path in self.checkpoints()[:-1]:
            if path.name not in keep:
                remove(path)


def _of_older_versions(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings that a run was not asked for because there was no choice, as it did without."""
    if "gradient_estimate" in config:
        return {}
    found: dict[str, Any] = {"gradient_estimate": "batch", "gradient_parts": None}
    if config.get("gradient_responses", 1) is None:  # few were compared by default
        responses = config["prompts_per_step"] * config["group_size"]
        found["gradient_responses"] = max(min(8, responses // 4), responses // 16, 1)
    return found
