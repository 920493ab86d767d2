from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from paretune.bench.statistics.estimates import (
    FEWEST_RUNS,
    interquartile_interval,
    interquartile_mean,
    probability_of_improvement,
    verdict,
)
from paretune.bench.statistics.summary import Interval

runs = st.lists(st.integers(0, 5).map(float), min_size=2, max_size=7)
tasks = st.lists(st.tuples(runs, runs), min_size=1, max_size=3)


def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end() -> None:
    assert interquartile_mean([8, 1, 2, 7, 3, 6, 100, -100]) == pytest.approx((2 + 3 + 6 + 7) / 4)
    assert interquartile_mean([0, 3, 60]) == 21.0  # a quarter of three runs is less than one run


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12))
def test_the_interquartile_mean_is_the_trimmed_mean_of_scipy(values: list[float]) -> None:
    assert interquartile_mean(values) == pytest.approx(stats.trim_mean(values, 0.25), abs=1e-6)


def test_unfinished_races_leave_the_mean_finite_while_few() -> None:
    assert interquartile_mean([1, 2, 3, math.inf]) == 2.5
    assert interquartile_mean([1, 2, math.inf, math.inf]) == math.inf
    interval = interquartile_interval([[1, 2, 3, 4, math.inf]])
    assert interval.value == 3.0 and interval.low >= 1.0 and interval.high == math.inf


def test_point_estimates_and_intervals_agree_with_rliable() -> None:
    # rliable 1.2.0: aggregate_iqm, probability_of_improvement and their 95 % percentile intervals (20 000 and 5000
    # resamples): [-0.0686, 0.4382] and [0.4133, 0.7372]. Ours are the same, expanded for 7 runs in 4 tasks.
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.3, 1, (7, 4)), rng.normal(0, 1, (7, 4))
    x[0, 0] = y[1, 0]
    mean, chance = interquartile_interval(list(x.T)), probability_of_improvement(list(x.T), list(y.T))
    assert mean.value == pytest.approx(0.18102695381325384) and chance.value == pytest.approx(0.5790816326530612)
    assert (mean.low, mean.high) == pytest.approx((-0.0686, 0.4382), abs=0.07)
    assert mean.low < -0.0686 and mean.high > 0.4382
    assert (chance.low, chance.high) == pytest.approx((0.4133, 0.7372), abs=0.03)
    assert chance.low < 0.4133 and chance.high > 0.7372


def test_probability_of_improvement_by_hand() -> None:
    assert probability_of_improvement([[1, 3]], [[2, 3]]).value == (0 + 0 + 1 + 0.5) / 4
    assert probability_of_improvement([[1, 3], [5, 5]], [[2, 3], [0, 0]]).value == (0.375 + 1) / 2
    assert probability_of_improvement([[1, 3]], [[2, 3]], larger_is_better=False).value == 1 - 0.375
    assert probability_of_improvement([[4, math.inf]], [[7, math.inf]], larger_is_better=False).value == 0.625


def test_tasks_count_the_same_however_many_runs_they_have() -> None:
    assert probability_of_improvement([[1, 1], [0] * 6], [[0, 0], [1] * 3]).value == 0.5


@given(tasks)
def test_improvement_and_its_opposite_add_up_to_one(pairs: list[tuple[list[float], list[float]]]) -> None:
    xs, ys = zip(*pairs, strict=True)
    forth, turned = probability_of_improvement(xs, ys), probability_of_improvement(xs, ys, larger_is_better=False)
    back = probability_of_improvement(ys, xs)
    assert forth.value + turned.value == pytest.approx(1.0) and forth.value + back.value == pytest.approx(1.0)
    assert (turned.low, turned.high) == pytest.approx((1 - forth.high, 1 - forth.low))
    assert 0.0 <= forth.low <= forth.value <= forth.high <= 1.0


@given(st.lists(runs, min_size=1, max_size=3))
def test_the_mean_lies_within_its_interval_and_the_interval_within_the_runs(values: list[list[float]]) -> None:
    interval = interquartile_interval(values)
    flat = list(itertools.chain(*values))
    assert min(flat) <= interval.low + 1e-9 and interval.high <= max(flat) + 1e-9
    assert interval.low <= interval.high


def test_the_same_runs_give_the_same_interval_and_another_seed_another_one() -> None:
    values = [np.random.default_rng(0).normal(size=9)]
    assert interquartile_interval(values) == interquartile_interval(values)
    assert interquartile_interval(values).low != interquartile_interval(values, seed=1).low


def test_one_run_gives_no_interval_and_no_verdict() -> None:
    assert interquartile_interval([[0.4]]) == Interval(0.4, -math.inf, math.inf)
    assert interquartile_interval([[0.4, 0.5, 0.6], [0.4]]).high == math.inf
    interval = probability_of_improvement([[1.0]], [[0.0, 0.0, 0.0]])
    assert interval == Interval(1.0, 0.0, 1.0)
    assert verdict(interval, 1) == "not distinguishable at 1 seed"


def test_constant_runs_have_an_interval_without_width() -> None:
    assert interquartile_interval([[0.25] * 6]) == Interval(0.25, 0.25, 0.25)
    assert probability_of_improvement([[0.25] * 6], [[0.25] * 6]) == Interval(0.5, 0.5, 0.5)


def test_the_verdict_follows_from_the_interval() -> None:
    assert verdict(Interval(0.8, 0.51, 0.9), 5) == "better"
    assert verdict(Interval(0.2, 0.1, 0.49), 5) == "worse"
    assert verdict(Interval(0.8, 0.5, 0.9), 5) == "not distinguishable at 5 seeds"
    assert verdict(Interval(0.2, 0.1, 0.5), 12) == "not distinguishable at 12 seeds"


def test_what_chance_does_too_often_is_no_verdict() -> None:
    for n in (3, 4):  # all runs of one arm beat all of the other: once in ten, and once in 35 pairs of equal arms
        interval = probability_of_improvement([np.arange(n) + 10.0], [np.arange(n)])
        assert interval == Interval(1.0, 1.0, 1.0)
        assert verdict(interval, n) == f"not distinguishable at {n} seeds"
    assert 2 / math.comb(2 * FEWEST_RUNS, FEWEST_RUNS) < 0.01


@pytest.mark.parametrize(("number", "count"), [(1, 5), (1, 10), (3, 5)])
def test_equal_arms_are_rarely_told_apart_and_intervals_hold_the_truth(number: int, count: int) -> None:
    rng = np.random.default_rng(number * count)
    wrong, held, trials = 0, 0, 300
    for _ in range(trials):
        x, y = rng.normal(size=(2, number, count))
        wrong += verdict(probability_of_improvement(x, y, resamples=2000), count) in ("better", "worse")
        interval = interquartile_interval(x, resamples=2000)
        held += interval.low <= 0.0 <= interval.high
    assert wrong <= 0.08 * trials  # 5 % and three standard errors of what 300 trials show
    assert held >= 0.89 * trials


def test_arms_that_differ_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    right = 0
    for _ in range(100):
        x, y = rng.normal(2.5, 1, (1, 10)), rng.normal(size=(1, 10))
        right += verdict(probability_of_improvement(x, y, resamples=2000), 10) == "better"
    assert right >= 95


def test_runs_that_are_missing_or_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tasks: must be at least one, each with runs, got \[\] runs"):
        interquartile_interval([])
    with pytest.raises(ValueError, match=r"tasks: must be at least one, each with runs, got \[2, 0\] runs"):
        interquartile_interval([[1.0, 2.0], []])
    with pytest.raises(ValueError, match="tasks: must hold numbers, got NaN"):
        probability_of_improvement([[1.0, math.nan]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="other: must have as many tasks as arm, 1, got 2"):
        probability_of_improvement([[1.0]], [[1.0], [2.0]])
