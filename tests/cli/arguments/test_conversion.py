from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from paretune.cli.arguments.conversion import convert


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (3, int, 3),
        (3, float, 3.0),
        (0.5, float, 0.5),
        (True, bool, True),
        ("a", str, "a"),
        ("runs/a", Path, Path("runs/a")),
        (None, int | None, None),
        (4, int | None, 4),
        ("b", Literal["a", "b"], "b"),
        (["x", "y"], tuple[str, ...], ("x", "y")),
        ([1, 2], tuple[float, ...] | None, (1.0, 2.0)),
        ({"terms": 2}, dict[str, Any], {"terms": 2}),
    ],
)
def test_values_take_the_type_of_the_setting(value: Any, kind: Any, expected: Any) -> None:
    converted = convert(value, kind)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "kind", "message"),
    [
        (True, int, "must be a whole number, got True"),
        (3.0, int, r"must be a whole number, got 3\.0"),
        (True, float, "must be a number, got True"),
        ("3", float, "must be a number, got '3'"),
        (1, bool, "must be true or false, got 1"),
        (None, str, "must be text, got None"),
        ([1], Path, r"must be a path, got \[1\]"),
        ("x", int | None, "must be a whole number or null, got 'x'"),
        ("c", Literal["a", "b"], "must be one of 'a', 'b', got 'c'"),
        ("xy", tuple[str, ...], r"must be a list \(each text\), got 'xy'"),
        ([1, "x"], tuple[float, ...] | None, r"must be a list \(each a number\) or null, got \[1, 'x'\]"),
        ([], dict[str, Any], r"must be a table, got \[\]"),
    ],
)
def test_other_types_are_refused(value: Any, kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(value, kind)
