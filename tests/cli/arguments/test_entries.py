"""Entries of a grid and preferences on the command line."""

import pytest

from paretune.cli.arguments.entries import format_entries, format_preferences, parse_entries, parse_preferences


@pytest.mark.parametrize(
    "words", [["fixed", "saw"], ["fixed", '{"name": "saw", "options": {"average": 0.9}, "preferences": ["equal"]}'], []]
)
def test_entries_are_names_or_tables_and_can_be_written_again(words):
    entries = parse_entries(words)
    assert parse_entries(format_entries(entries)) == entries
    assert all(isinstance(entry, dict) == word.startswith("{") for entry, word in zip(entries, words, strict=True))


@pytest.mark.parametrize(
    "words", [["equal", "0.5,0.25,0.25"], ["balanced=equal", "accurate=2,1,1"], ["a=b=1,2", "equal"], []]
)
def test_preferences_can_be_written_again(words):
    preferences = parse_preferences(words)
    assert parse_preferences(format_preferences(preferences)) == preferences


def test_labels_may_hold_equals_signs_and_be_missing():
    assert parse_preferences(["a=b=1,2", "equal"]) == {"a=b": (1.0, 2.0), "equal": "equal"}


def test_what_is_neither_is_told():
    with pytest.raises(ValueError, match=r"must be a name, or a table in JSON, got '\{name: saw\}'"):
        parse_entries(["{name: saw}"])
    with pytest.raises(ValueError, match="must be weights with commas between them, or equal, got 'even'"):
        parse_preferences(["even"])
