from __future__ import annotations

import json

import numpy as np
import pytest

from paretune.bench.reports.page_data import arm_names, details, overview
from paretune.bench.reports.page_lines import band, common_steps, on_common_steps, rounded, short, thinned
from paretune.bench.statistics.pooled import whole_sweeps
from paretune.bench.statistics.summarise import summarise
from tests.bench.summaries import summary


def test_common_steps_are_within_what_all_seeds_cover() -> None:
    assert common_steps([[0, 4, 8], [2, 6, 8, 10], []]).tolist() == [2, 4, 6, 8]
    assert common_steps([[], []]).tolist() == []
    many = common_steps([range(1000)], most=5)
    assert many.tolist() == [0, 250, 500, 749, 999]


def test_values_lie_on_straight_lines_between_the_steps_that_a_seed_has() -> None:
    common = np.array([0.0, 2.0, 4.0])
    values = on_common_steps(
        common, [[0, 4], [0, 2, 4], []], [[[0.0, 1.0], [4.0, 1.0]], [[1.0, 0], [5.0, 0], [3.0, 0]], []]
    )
    assert values.tolist() == [[[0, 1], [2, 1], [4, 1]], [[1, 0], [5, 0], [3, 0]]]


def test_a_band_holds_the_mean_and_stays_within_the_seeds() -> None:
    values_NG1 = np.array([0.0, 1.0, 5.0]).reshape(3, 1, 1)
    made = band(values_NG1)
    assert made["mean"] == [[2]]
    assert 0 <= made["low"][0][0] < 2 < made["high"][0][0] <= 5
    assert band(values_NG1) == made
    assert band(values_NG1[:1]) == {"mean": [[0]]}
    same = band(np.full((4, 2, 1), 0.25))
    assert same["low"] == same["mean"] == same["high"] == [[0.25, 0.25]]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456789, 0.12346), (123456789.0, 123456789), (float("nan"), None), (float("inf"), "never"), (None, None)],
)
def test_numbers_are_short_and_fit_json(value: float | None, expected: object) -> None:
    assert short(value) == expected


def test_rounding_keeps_the_shape() -> None:
    assert rounded(np.full((2, 1, 3), 1 / 3), 2) == [[[0.33] * 3], [[0.33] * 3]]
    assert thinned(np.arange(3.0), 5).tolist() == [0, 1, 2]


def test_a_long_run_takes_no_more_numbers_than_a_short_one_needs() -> None:
    made = summary(weightings=["fixed"], seeds=2, steps=4000)
    (arm,) = details(made.comparisons[0], arm_names(made))["arms"]
    assert len(arm["training"]["steps"]) == 80
    assert len(arm["training"]["weights"]["every"][0][0]) == len(arm["training"]["few"]) == 25
    assert arm["training"]["steps"][-1] == arm["validation"]["steps"][-1] == 4000


def test_arms_are_numbered_by_the_ranking() -> None:
    made = summary(preferences=("a", "b"), seeds=1)
    names = arm_names(made)
    assert names[:2] == [("fixed", "a"), ("fixed", "b")]
    assert len(names) == 8
    told = json.loads(json.dumps(overview(made), allow_nan=False))
    assert [ranked["arm"] for ranked in told["ranking"]] == list(range(8))
    assert told["finished"] == 8


def test_runs_that_are_judged_together_are_counted_once() -> None:
    single = [
        outcome for arm in summary(preferences=("a", "b"), seeds=2).comparisons[0].arms for outcome in arm.outcomes
    ]
    for outcome in single:
        outcome.cost["peak_memory_mb"] = 100.0
    made = summarise(single + whole_sweeps(single), name="sweeps")
    told = overview(made)
    assert (told["finished"], told["weightings"], told["preferences"]) == (16, 4, 2)
    assert [details(comparison, arm_names(made))["together"] for comparison in made.comparisons] == [1, 2]
