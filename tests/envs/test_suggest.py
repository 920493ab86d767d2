from __future__ import annotations

from paretune.envs.suggest import MOST_LISTED, unknown_name


def test_names_the_nearest_in_any_case() -> None:
    assert "did you mean 'Question'?" in unknown_name("column", "questoin", ["answer", "Question"])


def test_without_a_near_name_only_lists() -> None:
    assert unknown_name("column", "zzz", ["answer"]) == "unknown column 'zzz'. Known: 'answer'"
    assert unknown_name("column", "zzz", []) == "unknown column 'zzz'. Known: none"


def test_long_lists_are_cut_but_searched_to_the_end() -> None:
    text = unknown_name("id", "name-99x", [f"name-{number}" for number in range(100)])
    assert "'name-99'" in text
    assert f"'name-{MOST_LISTED - 1}' and {100 - MOST_LISTED} more" in text
    assert f"'name-{MOST_LISTED}'" not in text
