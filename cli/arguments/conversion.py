"""Values of settings files, checked against the types of the settings."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", NoneType: "null"}


def convert(value: Any, kind: Any) -> Any:
    """Return a TOML or JSON value in the type of a setting.

    Args:
        value: What the file holds.
        kind: int, float, bool, str, Path, None, a Literal of texts, tuple[X, ...], a dict type, or a union of these.

    Returns:
        The value; a whole number becomes a float and a list a tuple where the type says so.

    Raises:
        ValueError: If the value is of another type; the message says what it must be.

    Example:
        >>> convert([1, 0.5], tuple[float, ...] | None)
        (1.0, 0.5)
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        for option in get_args(kind):
            try:
                return convert(value, option)
            except ValueError:
                continue
    elif origin is Literal and value in get_args(kind):
        return value
    elif origin is tuple and isinstance(value, list):
        return tuple(convert(entry, get_args(kind)[0]) for entry in value)
    elif origin is dict and isinstance(value, dict):
        return value
    elif kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif kind is Path and isinstance(value, str):
        return Path(value)
    elif type(value) is kind:
        return value
    raise ValueError(f"must be {describe(kind)}, got {value!r}")


def describe(kind: Any) -> str:
    """Return a type in words.

    Example:
        >>> describe(tuple[float, ...] | None)
        'a list (each a number) or null'
    """
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return " or ".join(describe(option) for option in get_args(kind))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, get_args(kind)))
    if origin is tuple:
        return f"a list (each {describe(get_args(kind)[0])})"
    return "a table" if origin is dict else NAMES[kind]
