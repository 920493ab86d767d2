"""Values to try of settings on the command line."""

import doctest

import pytest

from paretune.cli.arguments import values
from paretune.cli.arguments.values import format_values, parse_values


@pytest.mark.parametrize(
    "words",
    [["lr=5e-05,0.0001"], ["clip=None,0.2", "order=weigh_first,normalise_first", "share_prompts=true,false"], []],
)
def test_values_can_be_written_again(words):
    parsed = parse_values(words)
    assert parse_values(format_values(parsed)) == parsed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lr"], "tune: must be words NAME=VALUE,VALUE such as lr=1e-4,2e-4, got 'lr'"),
        (["l r=1"], "tune: must be words NAME=VALUE"),
        (["lr=1,2", "lr=3,4"], "tune: must name each setting once, got 'lr' twice"),
    ],
)
def test_what_are_no_values_is_told(words, message):
    with pytest.raises(ValueError, match=message):
        parse_values(words)


def test_the_examples_in_the_docstrings_are_right():
    result = doctest.testmod(values)
    assert result.attempted > 0 and result.failed == 0
