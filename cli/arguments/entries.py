"""Entries of a grid on the command line: names, or tables as JSON; and preferences, with commas between the weights."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec

Entry = str | dict[str, Any]
NamedPreferences = dict[str, Any] | tuple[str | tuple[float, ...], ...]


def parse_entries(words: Sequence[str]) -> tuple[Entry, ...]:
    """Turn words into entries: a word that starts with a brace is a table in JSON.

    Raises:
        ValueError: If a table cannot be read.

    Example:
        >>> parse_entries(["fixed", '{"name": "saw", "label": "SAW, slow", "options": {"average": 0.9}}'])
        ('fixed', {'name': 'saw', 'label': 'SAW, slow', 'options': {'average': 0.9}})
    """
    return tuple(_table(word) if word.startswith("{") else word for word in words)


def format_entries(entries: Sequence[Entry]) -> list[str]:
    """Return the words that `parse_entries` turns into `entries`."""
    return [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]


def parse_preferences(words: Sequence[str]) -> NamedPreferences:
    """Turn words into preferences, by label if one of them has a label.

    Raises:
        ValueError: If a word is none.

    Example:
        >>> parse_preferences(["equal", "0.5,0.25,0.25"])
        ('equal', (0.5, 0.25, 0.25))
        >>> parse_preferences(["balanced=equal", "accurate=2,1,1"])
        {'balanced': 'equal', 'accurate': (2.0, 1.0, 1.0)}
    """
    if not any("=" in word for word in words):
        return tuple(map(_preference, words))
    parts = [word.rpartition("=") for word in words]
    return {label or value: _preference(value) for label, _, value in parts}


def format_preferences(preferences: NamedPreferences) -> list[str]:
    """Return the words that `parse_preferences` turns into `preferences`."""
    if isinstance(preferences, Mapping):
        return [f"{label}={_word(value)}" for label, value in preferences.items()]
    return list(map(_word, preferences))


def _table(word: str) -> dict[str, Any]:
    try:
        return json.loads(word)
    except ValueError as error:
        raise ValueError(f"must be a name, or a table in JSON, got {word!r} ({error})") from error


def _preference(word: str) -> str | tuple[float, ...]:
    if word == "equal":
        return word
    try:
        return tuple(map(float, word.split(",")))
    except ValueError:
        raise ValueError(f"must be weights with commas between them, or equal, got {word!r}") from None


def _word(value: str | Sequence[float]) -> str:
    return value if isinstance(value, str) else ",".join(map(str, value))


Entries = Annotated[
    tuple[Entry, ...],
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME ...",
        instance_from_str=parse_entries,
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=format_entries,
    ),
]
"""Entries of a grid, as a field of settings that tyro reads."""

Preferences = Annotated[
    NamedPreferences,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[LABEL=]W,W,... ...",
        instance_from_str=parse_preferences,
        is_instance=lambda value: isinstance(value, tuple | dict),
        str_from_instance=format_preferences,
    ),
]
"""Preferences by label or without labels, as a field of settings that tyro reads."""


def parse_report(words: Sequence[str]) -> bool | Path:
    """Turn the words behind --report into whether, or of which results file, reports are written.

    Raises:
        ValueError: If there is more than one word.

    Example:
        >>> parse_report([]), parse_report(["results.parquet"])
        (True, PosixPath('results.parquet'))
    """
    if len(words) > 1:
        raise ValueError(f"must be followed by at most one results file, got {' '.join(words)!r}")
    return Path(words[0]) if words else True


def format_report(value: bool | Path) -> list[str]:
    """Return the words that `parse_report` turns into a value; False has none and is shown as it is."""
    return [] if value is True else [str(value)]


ReportOf = Annotated[
    bool | Path,
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="[RESULTS.parquet]",
        instance_from_str=parse_report,
        is_instance=lambda value: isinstance(value, bool | Path),
        str_from_instance=format_report,
    ),
]
"""Whether reports are written and of which file, as a field of settings that tyro reads."""
