"""Settings of training commands: defaults, then a settings file, then the command line; the later one wins."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from paretune.agents.rules import Count, Vector, check_all
from paretune.agents.runs.run_folder import RunFolder
from paretune.agents.settings import AgentSettings
from paretune.cli.arguments.options import Options
from paretune.cli.arguments.parsing import parse
from paretune.weighting import resolve_preference


@dataclass(kw_only=True)
class RunSettings:
    """What is trained on what, and where the run is written."""

    env: str = "paretune/Arithmetic-v0"
    """Id of the environment; `paretune envs` lists them."""
    env_options: Options = field(default_factory=dict)
    """Options of the environment, such as terms=2; `paretune envs ID` lists them."""
    agent: str = "grpo"
    """Algorithm: grpo, rloo or reinforce."""
    policy: str | None = None
    """Language model: tiny-math (comes with the package, the default for text), a folder, a GGUF file or a hub id; in
    stepped environments a network: mlp (the default) or gru, which remembers what it saw."""
    policy_options: Options = field(default_factory=dict)
    """Options of a network, such as hidden=[64,64]."""
    weighting: str = "hypervolume"
    """Strategy that weighs the objectives, such as fixed, hypervolume or gradient; `paretune weightings` lists them."""
    weighting_options: Options = field(default_factory=dict)
    """Options of the strategy, such as floor=0.1; `paretune weightings NAME` lists them."""
    steps: Count = 60
    """Training steps of a run in all; a resumed one goes on to this number. The last step is always validated, so a
    run that is extended has one validation more than a run that went there at once."""
    out: Path | None = None
    """Folder that is written to; None makes runs/ENV-AGENT-WEIGHTING-SEED."""
    overwrite: bool = False
    """Replace what the folder already holds."""
    config: Path | None = None
    """Settings file (.toml or .json) with these names, such as a run's config.json."""
    tracker: Literal["none", "tensorboard", "wandb", "trackio"] = "none"
    """Experiment tracker that gets the metrics as well."""
    quiet: bool = False
    """Print nothing but errors."""


@dataclass(kw_only=True)
class SingleRunSettings(RunSettings):
    """What a single run has besides."""

    preference: Vector | None = None
    """Weights of the objectives in their order, such as 0.5 0.25 0.25; None is equal weights."""
    resume: bool = False
    """Go on with the run in the folder from its last checkpoint, with its settings."""


@dataclass(kw_only=True)
class TrainSettings(AgentSettings, SingleRunSettings):
    """Train a language model, or a small network, on several rewards at once, with weights that move while it trains.

    Example: paretune train --env paretune/Arithmetic-v0 --agent grpo --weighting hypervolume --out runs/a
    """

    @property
    def folder(self) -> Path:
        """The folder that the run is written to."""
        name = f"{self.env.rpartition('/')[2]}-{self.agent}-{self.weighting}-{self.seed}"
        return Path("runs", name) if self.out is None else self.out


class HasConfig(Protocol):
    """Settings that a file may hold."""

    config: Path | None


Kind = TypeVar("Kind", bound=HasConfig)

PASSED_ON = ("env", "policy", "weighting", "env_options", "policy_options", "weighting_options", "overwrite", "tracker")
"""Settings of a run that agents and sweeps take under the same names."""


def agent_arguments(settings: RunSettings) -> dict[str, Any]:
    """Return the arguments that an agent takes from a command's settings, by name."""
    names = (*PASSED_ON, *(entry.name for entry in fields(AgentSettings)))
    return {name: getattr(settings, name) for name in names}


MAY_CHANGE = {"steps", "out", "overwrite", "resume", "config", "tracker", "quiet", "device", "pictures"}
"""Settings that a resumed run may have otherwise than the run it goes on with."""


def read_settings(words: Sequence[str]) -> TrainSettings:
    """Return the settings of a command line.

    Args:
        words: The words behind `paretune train`.

    Returns:
        The settings: those on the command line, others from `config`, others from the run to resume, others defaults.

    Raises:
        ValueError: If the settings file has an unknown name or a value of the wrong type, or a setting differs from
            that of the run to resume.
        FileNotFoundError: If there is no settings file of this name.
        SystemExit: If words cannot be understood (code 2, after a message) or ask for help (code 0).

    Example:
        >>> read_settings(["--agent", "rloo", "--env-options", "terms=2"]).env_options
        {'terms': 2}
    """
    program = "paretune train"
    settings, values = parse_settings(words, TrainSettings, program)
    if not settings.resume:
        return settings
    stored = checked(RunFolder(settings.folder).config(), settings.folder / "config.json", TrainSettings)
    found = TrainSettings(**{**stored, **values, "out": settings.folder, "resume": True})
    resumed = parse(words, TrainSettings, program, found)
    for name, value in stored.items():
        if name not in MAY_CHANGE and not _agrees(name, getattr(resumed, name), value):
            raise ValueError(
                f"{name}: must be {value!r} as in the run that is resumed, got {getattr(resumed, name)!r}; leave it "
                f"out, or start a new run in another folder than {str(settings.folder)!r}"
            )
    return resumed


def parse_settings(words: Sequence[str], kind: type[Kind], program: str) -> tuple[Kind, dict[str, Any]]:
    """Return the settings of a command line, and those of them that stand in the file that it names, if any."""
    given = parse(words, kind, program)
    values = {} if given.config is None else load_settings_file(given.config, kind)
    return parse(words, kind, program, kind(**values)), values


def _agrees(name: str, given: Any, stored: Any) -> bool:
    """Whether a setting says what a run's config.json does, where options are complete and preferences sum to 1."""
    if name == "preference" and given is not None:
        return resolve_preference(given) == stored
    return given.items() <= stored.items() if isinstance(stored, dict) else given == stored


def load_settings_file(path: Path, kind: type[HasConfig] = TrainSettings) -> dict[str, Any]:
    """Return the settings that a file holds, by name and of the right types.

    Args:
        path: The file.
        kind: The command's settings.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is neither .toml nor .json, cannot be read as such, or a name or value is wrong.
    """
    if path.suffix not in (".toml", ".json"):
        raise ValueError(f"config: must be a .toml or .json file, got {str(path)!r}")
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise ValueError(
            f"config: must be readable as {path.suffix[1:].upper()}, got {str(path)!r}: {error}"
        ) from error
    if not isinstance(values, dict):
        raise ValueError(f"config: must hold settings by name, got {type(values).__name__} in {str(path)!r}")
    return checked(values, path, kind)


def checked(values: Mapping[str, Any], path: Path, kind: type[HasConfig]) -> dict[str, Any]:
    """Return the values of a settings file in the types of the settings `kind`.

    Raises:
        ValueError: If a name is unknown (the message has the nearest ones) or a value breaks its rule.
    """
    try:
        if "config" in values:
            raise ValueError(f"config: must be left out of a settings file, got {values['config']!r}")
        return check_all(values, kind)
    except ValueError as error:
        raise ValueError(f"config: {str(path)!r}: {error}") from error
