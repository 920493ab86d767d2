"""Rules of settings: each stands in the type hint of the field that it is for, and one function checks all of them.

A hint is a type, a `Literal` of names, a list of these, or a union; `Annotated[type, Rule(...)]` says more. A value may
come from Python, from a command line or from a settings file (TOML or JSON); the rules are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from paretune.envs.suggest import unknown_name


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold for a value besides its type.

    Attributes:
        words: What the value must be, its type included: "a number above 0".
        holds: Says of a value of the type whether it is that.
    """

    words: str
    holds: Callable[[Any], bool]


# Rules have names here, and fields say the names: what a field's hint holds is evaluated when it is checked, and a
# function written in it would not see what its module imports.
Count = Annotated[int, Rule("a whole number of at least 1", lambda n: n >= 1)]
CountFromZero = Annotated[int, Rule("a whole number of at least 0", lambda n: n >= 0)]
Finite = Annotated[float, Rule("a finite number", math.isfinite)]
Positive = Annotated[float, Rule("a finite number above 0", lambda x: 0 < x < math.inf)]
NotNegative = Annotated[float, Rule("a finite number of at least 0", lambda x: 0 <= x < math.inf)]
AtLeastOne = Annotated[float, Rule("a finite number of at least 1", lambda x: 1 <= x < math.inf)]
AtLeastTwo = Annotated[int, Rule("a whole number of at least 2", lambda n: n >= 2)]
ClipRange = Annotated[float, Rule("a number of at least 0 and below 1", lambda x: 0 <= x < 1)]
Discount = Annotated[float, Rule("a number from 0 to 1", lambda x: 0 <= x <= 1)]
Share = Annotated[float, Rule("a number above 0 and at most 1", lambda x: 0 < x <= 1)]
Text = Annotated[str, Rule("text that is not empty", bool)]
Vector = tuple[Finite, ...]

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text", Path: "a path", NoneType: "None"}


def check(name: str, value: Any, hint: Any) -> Any:
    """Return a value in the type of a setting.

    Args:
        name: The setting's name, for the message.
        value: What was given, as Python, TOML or JSON have it.
        hint: int, float, bool, str, Path, None, Any, a Literal of texts, tuple[X, ...], a dict or Mapping type, or a
            union of these; with rules, where it is annotated with them.

    Returns:
        The value. Where the hint says so, a whole number becomes a float, a float without fraction an int, a path a
        text or a text a path, a list or an array a tuple, and a single text a tuple.

    Raises:
        ValueError: If the value is of another type or breaks a rule; where a Literal lists the names that there are,
            the message has the nearest ones.

    Example:
        >>> check("reference", [1, 0.5], Vector | None)
        (1.0, 0.5)
    """
    try:
        return _converted(value, hint)
    except _DoesNotFitError:
        choices = _choices(hint)
        told = unknown_name(name, value, choices) if choices else f"{name}: must be {describe(hint)}, got {value!r}"
        raise ValueError(told) from None


def check_all(values: Mapping[str, Any], kind: type, known: str = "setting") -> dict[str, Any]:
    """Return values by name, each in the type of the field of that name.

    Args:
        values: Any of the fields.
        kind: A dataclass.
        known: What its fields are called in messages.

    Raises:
        ValueError: If a name is unknown (the message has the nearest ones), or a value is wrong.
    """
    hints = get_type_hints(kind, include_extras=True)
    names = [field.name for field in fields(kind)]
    for name in values:
        if name not in names:
            raise ValueError(unknown_name(known, name, names))
    return {name: check(name, value, hints[name]) for name, value in values.items()}


def describe(hint: Any) -> str:
    """Return what a value must be, in words.

    Example:
        >>> describe(Vector | None)
        'None or a list (each a finite number)'
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return next((extra.words for extra in inner[1:] if isinstance(extra, Rule)), None) or describe(inner[0])
    if origin in (Union, UnionType):
        return " or ".join(map(describe, sorted(inner, key=lambda option: option is not NoneType)))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, inner))
    if origin is tuple:
        return f"a list (each {describe(inner[0])})"
    return "a table" if _is_table(origin) else NAMES[hint]


class _DoesNotFitError(Exception):
    """A value is not what a hint says."""


def _converted(value: Any, hint: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    value = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    if hint is Any:
        return value
    if origin is Annotated:
        value = _converted(value, inner[0])
        if all(extra.holds(value) for extra in inner[1:] if isinstance(extra, Rule)):
            return value
    elif origin in (Union, UnionType):
        for option in inner:
            try:
                return _converted(value, option)
            except _DoesNotFitError:
                continue
    elif origin is Literal:
        if isinstance(value, str) and value in inner:
            return value
    elif origin is tuple:
        entries = [value] if isinstance(value, str) and inner[0] in (str, Text) else value
        if isinstance(entries, Iterable) and not isinstance(entries, str | Mapping):
            return tuple(_converted(entry, inner[0]) for entry in entries)
    elif _is_table(origin):
        if isinstance(value, Mapping):
            return value
    elif hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    elif hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    elif (hint is Path and isinstance(value, str)) or (hint is str and isinstance(value, Path)):
        return hint(value)
    elif isinstance(value, hint) and (hint is not int or not isinstance(value, bool)):
        return value
    raise _DoesNotFitError


def _is_table(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _choices(hint: Any) -> tuple[str, ...]:
    """The names that a hint allows, if it is a Literal, alone or with None."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(choice for option in get_args(hint) if option is not NoneType for choice in _choices(option))
