"""Values of settings, from Python or a file: what becomes of them, and what is said of those that break a rule."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np
import pytest

from paretune.agents.rules import (
    Count,
    CountFromZero,
    Finite,
    Positive,
    Share,
    Text,
    Vector,
    check,
    check_all,
    describe,
)
from paretune.agents.settings import AgentSettings, Schedule, agent_settings

HINTS = get_type_hints(AgentSettings, include_extras=True)


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (3, int, 3),
        (3.0, int, 3),
        (np.int64(3), Count, 3),
        (0, CountFromZero, 0),
        (3, float, 3.0),
        (0.5, float, 0.5),
        (np.float32(0.5), Positive, 0.5),
        (1, Share, 1.0),
        (True, bool, True),
        (np.bool_(True), bool, True),
        ("a", str, "a"),
        (Path("runs/a"), str, "runs/a"),
        ("runs/a", Path, Path("runs/a")),
        (None, int | None, None),
        (4, Count | None, 4),
        ("b", Literal["a", "b"], "b"),
        (None, Literal["a", "b"] | None, None),
        (["x", "y"], tuple[str, ...], ("x", "y")),
        ("xy", tuple[Text, ...], ("xy",)),
        ([1, 2], tuple[float, ...] | None, (1.0, 2.0)),
        (np.array([1, 2]), Vector, (1.0, 2.0)),
        ([np.float64(-1)], Vector | None, (-1.0,)),
        ({"terms": 2}, dict[str, Any], {"terms": 2}),
        (["a", {"name": "b"}], tuple[str | dict[str, Any], ...], ("a", {"name": "b"})),
        ([object], Any, [object]),
    ],
)
def test_values_take_the_type_of_the_setting(value: Any, hint: Any, expected: Any) -> None:
    checked = check("x", value, hint)
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("value", "hint", "message"),
    [
        (True, int, "x: must be a whole number, got True"),
        (3.5, int, "x: must be a whole number, got 3.5"),
        (float("nan"), int, "x: must be a whole number, got nan"),
        (0, Count, "x: must be a whole number of at least 1, got 0"),
        (-1, CountFromZero, "x: must be a whole number of at least 0, got -1"),
        (True, float, "x: must be a number, got True"),
        ("3", float, "x: must be a number, got '3'"),
        ("3", Positive, "x: must be a finite number above 0, got '3'"),
        (float("inf"), Positive, "x: must be a finite number above 0, got inf"),
        (float("nan"), Finite, "x: must be a finite number, got nan"),
        (1.5, Share, "x: must be a number above 0 and at most 1, got 1.5"),
        (1, bool, "x: must be true or false, got 1"),
        (None, str, "x: must be text, got None"),
        ([1], Path, "x: must be a path, got [1]"),
        ("y", int | None, "x: must be None or a whole number, got 'y'"),
        ("c", Literal["a", "b"], "unknown x 'c'. Known: 'a', 'b'"),
        ([], Literal["a", "b"] | None, "unknown x []. Known: 'a', 'b'"),
        (
            "linea",
            Schedule,
            "unknown x 'linea': did you mean 'linear'? Known: " + "'constant', 'linear', 'cosine', 'polynomial'",
        ),
        (3, tuple[str, ...], "x: must be a list (each text), got 3"),
        ("xy", tuple[float, ...], "x: must be a list (each a number), got 'xy'"),
        ({"a": 1}, tuple[str, ...], "x: must be a list (each text), got {'a': 1}"),
        (["a", ""], tuple[Text, ...], "x: must be a list (each text that is not empty), got ['a', '']"),
        ([1, "x"], Vector | None, "x: must be None or a list (each a finite number), got [1, 'x']"),
        ([], dict[str, Any], "x: must be a table, got []"),
    ],
)
def test_others_are_refused_with_name_rule_and_value(value: Any, hint: Any, message: str) -> None:
    with pytest.raises(ValueError) as error:
        check("x", value, hint)
    assert str(error.value) == message


def test_the_default_of_every_setting_keeps_its_rule() -> None:
    defaults = {entry.name: entry.default for entry in fields(AgentSettings)}
    assert check_all(defaults, AgentSettings) == defaults
    assert agent_settings({}) == AgentSettings()


def test_every_number_among_the_settings_has_a_rule() -> None:
    assert not [name for name, hint in HINTS.items() if describe(hint).endswith(("a whole number", "a number"))]


def test_every_rule_can_be_asked_about_a_number() -> None:
    rules = {name: describe(hint) for name, hint in HINTS.items() if "number" in describe(HINTS[name])}
    assert "importance_cap" in rules and len(rules) > 20
    for name, rule in rules.items():
        good: Any = 0.5 if "below 1" in rule else 2 if "at least 2" in rule else 1
        good, bad = ([good], [-np.inf]) if "list" in rule else (good, -np.inf)
        assert np.all(check(name, good, HINTS[name]) == np.asarray(good))
        with pytest.raises(ValueError, match=f"^{name}: must be .* number"):
            check(name, bad, HINTS[name])


def test_settings_may_be_given_as_arrays_and_single_texts() -> None:
    settings = agent_settings({"lr": 1, "seed": np.int64(3), "reference": np.array([-9, 0]), "stop": "\n"})
    assert (settings.lr, settings.seed, settings.reference, settings.stop) == (1.0, 3, (-9.0, 0.0), ("\n",))


def test_settings_that_need_each_other_are_told_together() -> None:
    with pytest.raises(ValueError, match="lora_alpha, lora_targets: must come with lora_rank"):
        agent_settings({"lora_alpha": 2})
    with pytest.raises(ValueError, match=r"minibatches: must be at most prompts_per_step \* group_size = 128, got 129"):
        agent_settings({"minibatches": 129})
