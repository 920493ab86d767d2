from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs.judging.answers import (
    FALLBACKS,
    MAX_TAIL,
    as_integer,
    as_rational,
    last_boxed,
    last_number,
    normalise,
    tidy,
)

MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{7}", "7"),
        (r"$\boxed{ 7 }$.", "7"),
        (r"First \boxed{3}, then \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\fbox{east}", "east"),
        (r"\boxed{5} and \fbox{6}", "6"),
        (r"\boxed {8}", "8"),
        (r"$\boxed 7$", "7"),
        (r"is \boxed 12.", "12"),
        (r"\boxed{\boxed{9}}", "9"),
        (r"\boxed{\left\{ x \right. }", r"\left\{ x \right."),
        (r"\boxed{\text{a } \} b}", r"\text{a } \} b"),
        ("\\boxed{1 +\n 2}", "1 +\n 2"),
        ("no box: {7}", None),
        (r"\boxed{}", None),
        (r"\boxed{  }", None),
        (r"\boxed", None),
        (r"\boxed $", None),
        (r"\boxed{7", None),
        (r"\boxed{5} so \boxed{", None),
        (r"\boxedness{7}", None),
        ("", None),
    ],
)
def test_last_boxed(text, content):
    assert last_boxed(text) == content


@given(st.text(alphabet=st.characters(exclude_characters="{}\\")), st.text())
def test_last_boxed_finds_what_was_boxed(content, before):
    assert last_boxed(f"{before} \\boxed{{{content}}} end") == (content.strip() or None)


@given(st.text())
def test_any_text_can_be_read(text):
    for read in (last_boxed, last_number, as_integer, as_rational, tidy, normalise):
        read(text)


@pytest.mark.parametrize(
    "unit", ["{", "}", "\\boxed{", "\\boxed ", "\\", "9", "1,234,", "-", " ", "\\frac{1}{", "1/", "$"]
)
def test_a_megabyte_of_anything_is_read_in_linear_time(unit):
    text = unit * (MEGABYTE // len(unit))
    for read in (last_boxed, last_number, as_integer, as_rational, tidy, normalise):
        read(text)


def test_only_the_end_of_a_huge_response_counts():
    assert last_boxed(r"\boxed{7}" + "." * MAX_TAIL) is None
    assert last_boxed("." * MEGABYTE + r"\boxed{7}") == "7"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 3 boxes and 17 apples.", "17"),
        ("it costs $1,250.50 in all", "1,250.50"),
        ("from 10-3", "3"),
        ("x = -3", "-3"),
        ("x = (-3)", "-3"),
        ("a half is 1/2.", "1/2"),
        (r"that is $-\frac{3}{4}$.", r"-\frac{3}{4}"),
        ("about .5", ".5"),
        ("17.", "17"),
        ("no number", None),
    ],
)
def test_last_number(text, number):
    assert last_number(text) == number
    assert FALLBACKS["last_number"](text) == number
    assert FALLBACKS["none"](text) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17", 17),
        ("-3", -3),
        ("+5", 5),
        ("1,234", 1234),
        ("10{,}080", 10080),
        (r"10,\!080", 10080),
        (" $42$ ", 42),
        ("42.", 42),
        ("\N{MINUS SIGN}4", -4),
        ("007", 7),
        ("1,23", None),
        ("17.0", None),
        ("1 2", None),
        ("x", None),
        ("", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("9" * 100, int("9" * 100)),
        ("9" * 101, None),
    ],
)
def test_as_integer(text, value):
    assert as_integer(text) == value


@given(st.integers())
def test_as_integer_reads_what_python_writes(value):
    assert as_integer(str(value)) == value
    assert as_integer(f"{value:,}") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17", Fraction(17)),
        ("3/4", Fraction(3, 4)),
        ("-3/4", Fraction(-3, 4)),
        (r"\frac{6}{8}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        (r"\tfrac{-3}{4}", Fraction(-3, 4)),
        (r"\frac34", Fraction(3, 4)),
        (r"\frac 34", Fraction(3, 4)),
        (r"\frac{0}{5}", Fraction(0)),
        (r"\frac{3}{0}", None),
        (r"1\frac{1}{2}", None),
        ("1 1/2", None),
        ("0.75", None),
    ],
)
def test_as_rational(text, value):
    assert as_rational(text) == value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"\left( 3, \dfrac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
        (" $x = 5$. ", "x=5"),
        ("p - q", "p-q"),
        (r"10,\!080", "10,080"),
    ],
)
def test_normalise_removes_what_means_nothing(one, other):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1 1/2", "11/2"),
        ("1   2", "12"),
        ("a b", "ab"),
        (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix} 1 2 \end{pmatrix}"),
        (r"\leftarrow", "arrow"),
        (r"\$5", "5"),
        ("0.5", "5"),
    ],
)
def test_normalise_keeps_what_means_something(one, other):
    assert normalise(one) != normalise(other)
