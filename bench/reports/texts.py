"""Numbers, intervals and tables as Markdown shows them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from paretune.bench.statistics.summary import Interval

NOTHING = "-"
"""What stands where there is no number."""


def interval_text(interval: Interval | None) -> str:
    """Return an interval as text; the value alone where there is none, or where nobody ever gets there.

    Example:
        >>> interval_text(Interval(0.41234, 0.4, 0.45)), interval_text(Interval(0.5, -math.inf, math.inf))
        ('0.412 [0.400, 0.450]', '0.500')
        >>> interval_text(Interval(20.0, 15.0, math.inf))
        '20 [15, never]'
    """
    if interval is None:
        return NOTHING
    if interval.low in (-math.inf, math.inf):
        return number_text(interval.value)
    return f"{number_text(interval.value)} [{number_text(interval.low)}, {number_text(interval.high)}]"


def number_text(value: float) -> str:
    """Return a number with three digits; whole numbers, and those above 1000, without any after the point.

    Example:
        >>> [number_text(x) for x in (0.0, 0.41234, 0.00123, 12.3456, 20.0, 123456.7, math.inf)]
        ['0', '0.412', '0.00123', '12.3', '20', '123457', 'never']
    """
    if math.isinf(value):
        return "never"
    if value == int(value) or abs(value) >= 1000:
        return str(round(value))
    if abs(value) < 0.01:
        return f"{value:.3g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 1 else f"{value:.3f}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its columns padded so that it can be read as plain text too."""
    cells = [[cell_text(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def cell_text(text: str) -> str:
    """Return text as it can stand in a table."""
    return " ".join(text.split()).replace("|", "\\|")
