"""The objective "clarity": does a response show its steps and box its answer?

Shapes: B responses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from paretune.envs.judging.answers import last_boxed
from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.prompts import Prompt

MAX_HEAD = 20_000
"""Characters at the beginning of a response among which its steps are searched."""

_ORDINALS = {
    "first": 1, "firstly": 1, "second": 2, "secondly": 2, "third": 3, "thirdly": 3,
    "next": 4, "then": 4, "finally": 5, "lastly": 5,
}  # fmt: skip
_BETWEEN = 4  # the rank that two ordinals in a row may share

# A line start with Markdown marks, or a sentence end, closing brackets, and at most three spaces. Every repetition is
# bounded, which keeps the search linear.
_START = r"(?:^[ \t#>*_-]{0,12}|(?<=[.!?:;])[\"')\]}*$]{0,4}\s{1,3}[*_]{0,3})"
_MARKER = re.compile(
    rf"{_START}(?:"
    r"step\s{0,3}(?P<step>[0-9]{1,2})(?![0-9]|[.,][0-9])"
    r"|\((?P<bracketed>[0-9]{1,2})\)(?=[\s*_])"
    r"|(?P<numbered>[0-9]{1,2})[.)](?=[\s*_])"
    rf"|(?P<ordinal>{'|'.join(_ORDINALS)})(?![\w-])"
    r")",
    re.IGNORECASE | re.MULTILINE,
)


def shows_steps(text: str) -> bool:
    """Return whether `text` enumerates at least two steps.

    Steps are `Step 1`, `(1)`, `1.` or `1)`, of one kind and numbered 1, 2 (or 0, 1) one after the other; or two of the
    ordinals first, second, third, next, then, finally in a sensible order. They count at the start of a line or
    sentence only, and only with words or numbers of their own behind them.

    Args:
        text: A response; of a longer one only the first `MAX_HEAD` characters count.

    Example:
        >>> shows_steps("1. Add 3 and 4. 2. Double the sum."), shows_steps("So a - b is 4. Done.")
        (True, False)
    """
    head = text[:MAX_HEAD]
    markers = list(_MARKER.finditer(head))
    bounds = [marker.start() for marker in markers] + [len(head)]
    steps = [marker for marker, end in zip(markers, bounds[1:], strict=True) if _has_content(head[marker.end() : end])]
    return _counts_up(steps) or _goes_on(steps)


def _has_content(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _counts_up(steps: Sequence[re.Match[str]]) -> bool:
    """Return whether a first number is followed, later, by the next one of the same kind."""
    seen: set[tuple[str | None, int]] = set()
    for step in steps:
        kind = step.lastgroup
        if kind != "ordinal":
            number = int(step[kind or 0])
            if number in (1, 2) and (kind, number - 1) in seen:
                return True
            seen.add((kind, number))
    return False


def _goes_on(steps: Sequence[re.Match[str]]) -> bool:
    """Return whether two ordinals in a row are in order."""
    ranks = [_ORDINALS[step["ordinal"].lower()] for step in steps if step["ordinal"]]
    return any(before < after or before == after == _BETWEEN for before, after in pairwise(ranks))


class Clarity(Objective):
    r"""1 where a response both shows its steps (`shows_steps`) and boxes an answer that is not empty, else 0.

    This is the intent of the format reward in arXiv 2509.11452; the pattern published there also accepts any dash
    followed by a number and a full stop, which this one does not.

    Example:
        >>> prompt = Prompt.from_question("What is (3 + 4) * 2?")
        >>> Clarity()([prompt] * 2, ["1. 3 + 4 = 7\n2. 7 * 2 = 14\n\\boxed{14}", r"3 + 4 = 7, so \boxed{14}"])
        array([1., 0.], dtype=float32)
    """

    name = "clarity"

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Score responses.

        Args:
            prompts: B prompts; ignored.
            responses: B responses.

        Returns:
            0 or 1 each, shape (B,), float32.
        """
        return np.array(
            [last_boxed(response) is not None and shows_steps(response) for response in responses], dtype=np.float32
        )
