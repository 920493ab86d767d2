"""What users and trainers hand in, checked: an error names the argument, the rule and the actual value."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Preference = int | Sequence[float]

MOST_LISTED = 16


def require(name: str, value: Any, holds: bool, rule: str) -> None:
    """Raise ValueError saying that argument `name`, which is `value`, must be `rule`, unless it `holds`."""
    if not holds:
        raise ValueError(f"{name}: must be {rule}, got {value!r}")


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """Return the text of an error about a name that is not one of the known ones, in the words of `paretune.envs`.

    Args:
        kind: What the name stands for, such as "weighting".
        name: The name that was given.
        known: The names that there are; of more than `MOST_LISTED` only the first are listed.

    Example:
        >>> unknown_name("weighting", "sav", ["fixed", "saw"])
        "unknown weighting 'sav': did you mean 'saw'? Known: 'fixed', 'saw'"
    """
    known = list(known)
    lowered = {candidate.lower(): candidate for candidate in known}
    nearest = [repr(lowered[match]) for match in get_close_matches(str(name).lower(), lowered, n=3)]
    question = f": did you mean {' or '.join(nearest)}?" if nearest else "."
    listed = ", ".join(map(repr, known[:MOST_LISTED])) or "none"
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return f"unknown {kind} {name!r}{question} Known: {listed}{more}"


def require_known(kind: str, name: object, known: Iterable[str]) -> None:
    """Raise ValueError with the nearest names unless `name`, which stands for a `kind`, is one of the known ones."""
    known = list(known)
    if name not in known:
        raise ValueError(unknown_name(kind, name, known))


def finite_array(name: str, value: ArrayLike, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Return a float64 copy of `value`.

    Args:
        name: The argument's name, for the message.
        value: Numbers.
        shape: The shape that `value` must have; None is any length.

    Raises:
        ValueError: If `value` is not made of finite numbers or has another shape.

    Example:
        >>> finite_array("performance", [0.5, 0.25], (2,))
        array([0.5 , 0.25])
    """
    try:
        array = np.array(value, dtype=np.float64, order="C")  # sums must not depend on how numbers lie in memory
    except (TypeError, ValueError):
        raise ValueError(f"{name}: must be an array of numbers, got {value!r}") from None
    if array.ndim != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{name}: must have shape ({wanted}), got {array.shape}")
    if not np.isfinite(array).all():
        place = tuple(np.argwhere(~np.isfinite(array))[0].tolist())
        raise ValueError(f"{name}: must be finite, got {array[place]} at position {place}")
    return array


def resolve_preference(preference: Preference) -> tuple[float, ...]:
    """Return the K weights that a user's preference stands for, normalised to sum 1.

    A preference that already sums to 1 up to rounding is returned as it is, so that resolving twice changes nothing.

    Args:
        preference: K non-negative finite numbers with a positive sum, or K itself for equal weights.

    Raises:
        ValueError: If `preference` is neither.

    Example:
        >>> resolve_preference([2, 1, 1]), resolve_preference(2)
        ((0.5, 0.25, 0.25), (0.5, 0.5))
    """
    if isinstance(preference, (int, np.integer)):
        require("preference", preference, preference >= 1, "a number of objectives K >= 1, or K weights")
        return (1 / int(preference),) * int(preference)
    numbers_K = finite_array("preference", preference, (None,))
    rule = "non-negative numbers with a positive sum"
    require("preference", preference, bool((numbers_K >= 0).all() and (numbers_K > 0).any()), rule)
    if numbers_K.max() <= 1 and abs(math.fsum(numbers_K) - 1) < 1e-12:
        return tuple(numbers_K.tolist())
    shares_K = numbers_K / numbers_K.max()  # the sum of the numbers themselves may overflow
    return tuple((shares_K / math.fsum(shares_K)).tolist())
