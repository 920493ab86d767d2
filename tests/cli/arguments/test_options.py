from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.cli.arguments.options import format_options, parse_options

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"))
scalars = st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | texts
identifiers = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("x=2", 2),
        ("x=-0.5", -0.5),
        ("x=1e-4", 1e-4),
        ("x=true", True),
        ("x=[1, 9]", [1, 9]),
        ('x={a = 1, b = "c"}', {"a": 1, "b": "c"}),
        ('x="2"', "2"),
        ("x=+-", "+-"),
        ("x=data/math.jsonl", "data/math.jsonl"),
        ("x=a=b", "a=b"),
        ("x=", ""),
        ("x=1979-05-27", "1979-05-27"),
        ("x=1\ny = 2", "1\ny = 2"),
        ("x=True", "True"),
    ],
)
def test_values_are_toml_or_else_text(word: str, value: Any) -> None:
    parsed = parse_options([word])
    assert parsed == {"x": value}
    assert type(parsed["x"]) is type(value)


@pytest.mark.parametrize("word", ["terms", "=2", "2=3", "a b=2", ""])
def test_words_without_key_or_value_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match="KEY=VALUE such as terms=2"):
        parse_options([word])


def test_a_key_comes_once() -> None:
    with pytest.raises(ValueError, match="'terms' twice"):
        parse_options(["terms=2", "terms=3"])


@given(st.dictionaries(identifiers, scalars | st.lists(scalars, max_size=3), max_size=4))
def test_formatting_is_the_inverse_of_parsing(options: dict[str, Any]) -> None:
    assert parse_options(format_options(options)) == options
