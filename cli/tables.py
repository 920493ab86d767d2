"""Tables of plain text, the same on a terminal and in a file."""

from __future__ import annotations

from collections.abc import Sequence


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = True) -> str:
    """Return lines with aligned columns, two spaces between them.

    Args:
        header: Names of the columns.
        rows: Texts of the cells, one per column.
        numbers: Whether all columns but the first are set flush right.

    Example:
        >>> print(format_table(["objective", "mean"], [["accuracy", "0.125"], ["clarity", "1.000"]]))
        objective   mean
        accuracy   0.125
        clarity    1.000
    """
    lines = [header, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if numbers and column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
