"""Error texts that help: the nearest known names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

MOST_LISTED = 16


def unknown_name(kind: str, name: object, known: Iterable[str]) -> str:
    """Return the text of an error about a name that is not one of the known ones.

    Args:
        kind: What the name stands for, such as "split".
        name: The name that was given.
        known: The names that there are; of more than `MOST_LISTED` only the first are listed.

    Example:
        >>> unknown_name("split", "tset", ["train", "test"])
        "unknown split 'tset': did you mean 'test'? Known: 'train', 'test'"
    """
    known = list(known)
    lowered = {candidate.lower(): candidate for candidate in known}
    nearest = [repr(lowered[match]) for match in get_close_matches(str(name).lower(), lowered, n=3)]
    question = f": did you mean {' or '.join(nearest)}?" if nearest else "."
    listed = ", ".join(map(repr, known[:MOST_LISTED])) or "none"
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return f"unknown {kind} {name!r}{question} Known: {listed}{more}"
