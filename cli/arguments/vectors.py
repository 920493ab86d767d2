"""Numbers of objectives, such as a preference, on the command line: words with a number each."""

from __future__ import annotations

from collections.abc import Sequence

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from paretune.agents.rules import Vector

VECTORS = ConstructorRegistry()
"""How tyro reads every vector that may be None; the text it makes up by itself is not fit to be read."""


def parse_vector(words: Sequence[str]) -> Vector | None:
    """Turn words into numbers; the single word None stands for None.

    Raises:
        ValueError: If there is no word, or one is not a number.

    Example:
        >>> parse_vector(["0.5", "-100"])
        (0.5, -100.0)
    """
    if list(words) == ["None"]:
        return None
    try:
        numbers = tuple(map(float, words))
    except ValueError:
        numbers = ()
    if not numbers:
        raise ValueError(f"must be numbers with spaces between them, such as 0.5 0.25 0.25, got {' '.join(words)!r}")
    return numbers


def format_vector(vector: Vector | None) -> list[str]:
    """Return the words that `parse_vector` turns into `vector`."""
    return ["None"] if vector is None else list(map(str, vector))


@VECTORS.primitive_rule
def _rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Vector | None] | None:
    if info.type != Vector | None:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="FLOAT ...",
        instance_from_str=parse_vector,
        is_instance=lambda value: value is None or isinstance(value, tuple),
        str_from_instance=format_vector,
    )
