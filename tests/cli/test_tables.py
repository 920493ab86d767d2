from __future__ import annotations

from paretune.cli.tables import format_table


def test_numbers_are_flush_right_and_lines_have_no_trailing_space() -> None:
    table = format_table(("objective", "mean"), [("accuracy", "0.5"), ("hypervolume", "")])
    assert table.splitlines() == ["objective    mean", "accuracy      0.5", "hypervolume"]


def test_texts_are_flush_left() -> None:
    table = format_table(("id", "summary"), [("a", "long text"), ("longer", "b")], numbers=False)
    assert table.splitlines() == ["id      summary", "a       long text", "longer  b"]
