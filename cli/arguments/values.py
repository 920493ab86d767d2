"""Values to try of settings on the command line: words NAME=VALUE,VALUE,..."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from tyro.constructors import PrimitiveConstructorSpec

from paretune.cli.arguments.options import literal


def parse_values(words: Sequence[str]) -> dict[str, Any]:
    """Turn words NAME=VALUE,VALUE,... into lists of values by name.

    Args:
        words: The words. A value that is a TOML number or boolean is that, None is None, any other is text; values that
            have commas of their own stand in a TOML array.

    Raises:
        ValueError: If a word has no "=", its name is none, or a name comes twice.

    Example:
        >>> parse_values(["lr=5e-5,1e-4", "clip=None,0.2", "order=weigh_first,normalise_first"])
        {'lr': [5e-05, 0.0001], 'clip': [None, 0.2], 'order': ['weigh_first', 'normalise_first']}
        >>> parse_values(["reference=[[0, 0], [0, 0.5]]"])
        {'reference': [[0, 0], [0, 0.5]]}
    """
    values: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (equals and name.isidentifier()):
            raise ValueError(f"tune: must be words NAME=VALUE,VALUE such as lr=1e-4,2e-4, got {word!r}")
        if name in values:
            raise ValueError(f"tune: must name each setting once, got {name!r} twice")
        values[name] = literal(text) if text.startswith("[") else [_value(part) for part in text.split(",")]
    return values


def format_values(values: Mapping[str, Sequence[Any]]) -> list[str]:
    """Return the words that `parse_values` turns into `values`."""
    return [f"{name}={','.join(map(_word, each))}" for name, each in values.items()]


def _value(text: str) -> Any:
    return None if text == "None" else literal(text)


def _word(value: Any) -> str:
    return value if isinstance(value, str) else "None" if value is None else json.dumps(value)


Values = Annotated[
    dict[str, Any],
    PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME=VALUE,... ...",
        instance_from_str=parse_values,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=format_values,
    ),
]
"""Lists of values by name, as a field of settings that tyro reads."""
