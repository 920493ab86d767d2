"""`paretune weightings`."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Annotated

import docstring_parser
import tyro

from paretune.cli.arguments.parsing import parse
from paretune.cli.tables import format_table
from paretune.envs.suggest import unknown_name
from paretune.weighting import WEIGHTINGS, ModifiedWeighting, Weighting
from paretune.weighting.modifiers import modifier_names


@dataclass(kw_only=True)
class WeightingsSettings:
    """List the strategies that weigh the objectives, with when to use them, or the options of one.

    Example: paretune weightings gradient
    """

    weighting: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """Name of the strategy whose options are listed; none lists the strategies."""


def run(words: Sequence[str]) -> int:
    """Print the strategies, or the options of one.

    Raises:
        ValueError: If there is no strategy of this name; the message has the nearest ones.
    """
    name = parse(words, WeightingsSettings, "paretune weightings").weighting
    if name is None:
        rows = [(strategy.name, strategy.when, strategy.paper) for strategy in WEIGHTINGS.values()]
        print(format_table(("name", "when to use it", "paper"), rows, numbers=False))
        return 0
    if name not in WEIGHTINGS:
        raise ValueError(unknown_name("weighting", name, WEIGHTINGS))
    print(strategy_text(WEIGHTINGS[name]))
    return 0


def strategy_text(strategy: type[Weighting]) -> str:
    """Return what a strategy does, when to use it, and its options: its own, and the modifiers that it has besides."""
    head = [f"{strategy.name}: {(inspect.getdoc(strategy) or '').partition(chr(10) * 2)[0]}"]
    head += [f"use it when: {strategy.when}"] + ([f"paper: {strategy.paper}"] if strategy.paper else [])
    own = [field.name for field in fields(strategy) if field.init and field.name != "preference"]
    rows = option_rows(strategy, own) + option_rows(ModifiedWeighting, modifier_names(strategy))
    table = format_table(("option", "default", "meaning"), rows, numbers=False)
    return "\n".join([*head, "", table])


def option_rows(strategy: type[Weighting], names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return name, default and meaning of options; the meanings stand below the fields in the source."""
    meanings = {
        param.arg_name: " ".join((param.description or "").split())
        for kind in reversed(strategy.__mro__[:-1])
        for param in docstring_parser.parse_from_object(kind).params
    }
    defaults = {field.name: field.default for field in fields(strategy)}
    return [
        (name, "(required)" if defaults[name] is MISSING else repr(defaults[name]), meanings.get(name, ""))
        for name in names
    ]
