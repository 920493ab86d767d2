"""From the words of a command line to a command's settings, each in its type and after its rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import tyro

from paretune.agents.rules import check_all
from paretune.cli.arguments.vectors import VECTORS

Settings = TypeVar("Settings")


def parse(words: Sequence[str], kind: type[Settings], program: str, defaults: Settings | None = None) -> Settings:
    """Return the settings that a command line gives.

    Args:
        words: The words behind `program`.
        kind: A dataclass, whose hints are the rules and whose field docs are the help.
        program: What the help calls the command.
        defaults: Has what the words leave out; None takes the fields' own defaults.

    Raises:
        ValueError: If a setting breaks its rule.
        SystemExit: If words cannot be understood (code 2, after a message) or ask for help (code 0).
    """
    default = tyro.MISSING_NONPROP if defaults is None else defaults
    parsed = tyro.cli(kind, prog=program, args=list(words), default=default, registry=VECTORS)
    return kind(**check_all(vars(parsed), kind))
