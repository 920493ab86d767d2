"""Final answers in text: where a response states its answer, and what of it can be read without any mathematics.

Everything here is linear in the length of the text, of which at most the last `MAX_TAIL` characters are looked at.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from fractions import Fraction

MAX_TAIL = 20_000
"""Characters at the end of a response among which its final answer is searched."""

MAX_DIGITS = 100
"""Longest number, in digits, that `as_integer` and `last_number` read."""

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BARE_CONTENT = re.compile(r"[^\s{}$]+")

_DIGITS = rf"(?:[0-9]{{1,3}}(?:,[0-9]{{3}}){{1,{MAX_DIGITS // 3}}}(?![0-9])|[0-9]{{1,{MAX_DIGITS}}})"
_INTEGER = re.compile(rf"[+-]?{_DIGITS}")
_PART = r"(?:\{([+-]?[0-9]+)\}|([0-9]))"
_FRACTION = re.compile(rf"([+-]?)(?:\\frac ?{_PART}{_PART}|([0-9]+)/([0-9]+))")
_SIGN = r"(?:(?<![\w)\]}])[+-])?"
_NUMBER = re.compile(
    rf"{_SIGN}\\[dt]?frac\{{-?{_DIGITS}\}}\{{-?{_DIGITS}\}}"
    rf"|{_SIGN}(?:{_DIGITS}(?:\.[0-9]{{1,{MAX_DIGITS}}})?(?:/{_DIGITS})?|(?<![\w.])\.[0-9]{{1,{MAX_DIGITS}}})"
)

_SPACING = re.compile(r"(\\\\)|\\[!,;: ]|\\(?:left|right)(?![A-Za-z])")
_OUTER_SPACE = re.compile(r"(?<![\w.]) | (?![\w.])")


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last `\boxed{...}` or `\fbox{...}`.

    A box without braces holds what follows it up to a space or dollar sign, as in `$\boxed 7$`.

    Args:
        text: A response; of a longer one only the last `MAX_TAIL` characters count.

    Returns:
        The content without surrounding space; None if there is no box, or if the last one is empty or never closed.

    Example:
        >>> last_boxed(r"First \boxed{3}, then \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
    """
    tail = text[-MAX_TAIL:]
    boxes = deque(_BOX.finditer(tail), maxlen=1)
    if not boxes:
        return None
    start = boxes[0].end()
    if not tail.startswith("{", start):
        bare = _BARE_CONTENT.match(tail, start)
        return (bare.group().rstrip(".,;:") or None) if bare else None
    depth = 0
    for brace in _BRACE.finditer(tail, start):
        depth += {"{": 1, "}": -1}.get(brace.group(), 0)
        if depth == 0 and brace.group() == "}":
            return tail[start + 1 : brace.start()].strip() or None
    return None


def last_number(text: str) -> str | None:
    r"""Return the last integer, decimal or fraction (`3/4`, `\frac{3}{4}`) in `text`, None if there is none.

    Example:
        >>> last_number("That makes 3 boxes of 1,250 g each.")
        '1,250'
    """
    numbers = deque(_NUMBER.finditer(text[-MAX_TAIL:]), maxlen=1)
    return numbers[0].group() if numbers else None


def no_answer(text: str) -> None:
    """Return None: a response without a box has no final answer."""


FALLBACKS: dict[str, Callable[[str], str | None]] = {"none": no_answer, "last_number": last_number}
"""Where a final answer may come from if no box holds it, by name."""


def final_answer(text: str, fallback: str = "none") -> str | None:
    r"""Return a response's final answer: what its last box holds, else what the fallback finds; None if there is none.

    Args:
        text: A response.
        fallback: A name in `FALLBACKS`.

    Example:
        >>> final_answer(r"2 + 2 is \boxed{4}"), final_answer("so it is 4", "last_number"), final_answer("so it is 4")
        ('4', '4', None)
    """
    return last_boxed(text) or FALLBACKS[fallback](text)


def as_integer(text: str) -> int | None:
    r"""Read an exact integer, such as `17`, `-3`, `+5`, `1,234`, `10{,}080` or ` $42$ `.

    Args:
        text: An answer.

    Returns:
        The integer; None if the text is anything else or has more than `MAX_DIGITS` digits.

    Example:
        >>> as_integer("$-1,234$"), as_integer("17.0")
        (-1234, None)
    """
    if len(text) > 3 * MAX_DIGITS:
        return None
    digits = normalise(text).replace("{,}", ",")
    return int(digits.replace(",", "")) if _INTEGER.fullmatch(digits) else None


def as_rational(text: str) -> Fraction | None:
    r"""Read an exact integer or fraction, such as `-3`, `3/4`, `\frac{3}{4}`, `\frac34` or `-\frac{3}{4}`.

    Args:
        text: An answer.

    Returns:
        The number; None if the text is anything else, a division by zero, or has too many digits (see `as_integer`).

    Example:
        >>> as_rational(r"-\dfrac{6}{8}"), as_rational("0.75")
        (Fraction(-3, 4), None)
    """
    integer = as_integer(text)
    if integer is not None:
        return Fraction(integer)
    fraction = _FRACTION.fullmatch(normalise(text)) if len(text) <= MAX_DIGITS else None
    if fraction is None:
        return None
    sign = -1 if fraction[1] == "-" else 1
    numerator, denominator = (int(part) for part in fraction.groups()[1:] if part)
    return Fraction(sign * numerator, denominator) if denominator else None


def tidy(text: str) -> str:
    """Return an answer without surrounding space, dollar signs around it and a full stop behind it.

    Example:
        >>> tidy(" $x = 5$. ")
        'x = 5'
    """
    text = text.strip().rstrip(".")
    if len(text) > 1 and text.startswith("$") and text.endswith("$") and not text.endswith("\\$"):
        text = text.strip("$").rstrip(".")
    return text.strip()


def normalise(text: str) -> str:
    r"""Return an answer without what never changes its meaning, for comparing strings.

    That is what `tidy` removes, spaces that separate no words or numbers, LaTeX spacing, `\left` and `\right`; `\dfrac`
    and `\tfrac` become `\frac`, a Unicode minus a hyphen.

    Example:
        >>> normalise(r" $\left( 3, \dfrac{1}{2} \right)$. ")
        '(3,\\frac{1}{2})'
    """
    text = tidy(text).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("\N{MINUS SIGN}", "-")
    return _OUTER_SPACE.sub("", " ".join(_SPACING.sub(r"\1", text).split()))
