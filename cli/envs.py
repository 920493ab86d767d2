"""`paretune envs`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import docstring_parser
import gymnasium as gym
import tyro
from gymnasium.envs.registration import load_env_creator

from paretune.cli.arguments.parsing import parse
from paretune.cli.tables import format_table
from paretune.envs import Accuracy, Clarity, Conciseness, EnvInfo, list_envs
from paretune.envs.suggest import unknown_name

OBJECTIVES = {objective.name: objective for objective in (Accuracy, Conciseness, Clarity)}
"""Objectives that are explained by the first line of their docstrings."""


@dataclass(kw_only=True)
class EnvsSettings:
    """List the environments with their objectives, or the options of one.

    Example: paretune envs paretune/Arithmetic-v0
    """

    env: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[ID]")] = None
    """Id of the environment whose options are listed; none lists the environments."""


def run(words: Sequence[str]) -> int:
    """Print the environments, or the options of one.

    Raises:
        ValueError: If there is no environment of this id; the message has the nearest ones.
    """
    settings = parse(words, EnvsSettings, "paretune envs")
    infos = {info.id: info for info in list_envs()}
    if settings.env is None:
        rows = [(info.id, ", ".join(info.objectives), info.summary) for info in infos.values()]
        print(format_table(("id", "objectives", "summary"), rows, numbers=False))
        return 0
    if settings.env not in infos and settings.env in gym.registry:
        raise ValueError(
            f"env: must be one of paretune's own to be listed, got {settings.env!r}, which comes from another package, "
            "whose documentation has its options (paretune train takes any that has a vector reward)"
        )
    if settings.env not in infos:
        raise ValueError(unknown_name("environment", settings.env, infos))
    print(options_text(infos[settings.env]))
    return 0


def options_text(info: EnvInfo) -> str:
    """Return an environment's summary, objectives and options, the options with the text of its docstring."""
    entry_point = gym.registry[info.id].entry_point
    creator: Any = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    documented = docstring_parser.parse(inspect.getdoc(creator.__init__) or "").params
    meanings = {param.arg_name: " ".join((param.description or "").split()) for param in documented}
    rows = [
        (name, "(required)" if default is inspect.Parameter.empty else repr(default), meanings.get(name, ""))
        for name, default in info.options.items()
    ]
    table = format_table(("option", "default", "meaning"), rows, numbers=False)
    return f"{info.id}: {info.summary}\n{objectives_text(info.objectives)}\n\n{table}"


def objectives_text(names: Sequence[str]) -> str:
    """Return the names of objectives, and a line about each that is explained."""
    width = max(map(len, names), default=0)
    meanings = {
        name: (inspect.getdoc(OBJECTIVES[name]) or "").partition("\n")[0] for name in names if name in OBJECTIVES
    }
    lines = [f"  {name:<{width}}  {meaning}" for name, meaning in meanings.items()]
    return "\n".join([f"objectives: {', '.join(names)}", *lines])
