"""Options of environments and weightings on the command line: words KEY=VALUE, where a value is read as TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """Turn words KEY=VALUE into options.

    Args:
        words: The words. A value that is a TOML number, string, boolean, array or table is that; any other is text.

    Returns:
        The options by name, JSON-able.

    Raises:
        ValueError: If a word has no "=", its key is not a name, or a key comes twice.

    Example:
        >>> parse_options(["terms=2", "dataset=data/math.jsonl", "shuffle=true", "range=[1, 9]"])
        {'terms': 2, 'dataset': 'data/math.jsonl', 'shuffle': True, 'range': [1, 9]}
    """
    options: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not (equals and key.isidentifier()):
            raise ValueError(f"options: must be words KEY=VALUE such as terms=2, got {word!r}")
        if key in options:
            raise ValueError(f"options: must name each key once, got {key!r} twice")
        options[key] = literal(text)
    return options


def format_options(options: dict[str, Any]) -> list[str]:
    """Return the words that `parse_options` turns into `options`, if those hold no tables."""
    return [f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in options.items()]


def literal(text: str) -> Any:
    """Read a TOML value; text that is none, or a date, stands for itself."""
    try:
        table = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    value = table["value"]
    return value if len(table) == 1 and isinstance(value, bool | int | float | str | list | dict) else text


Options = Annotated[
    dict[str, Any],
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="KEY=VALUE ...",
        instance_from_str=parse_options,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=format_options,
    ),
]
"""A dictionary of options, as a field of settings that tyro reads."""
