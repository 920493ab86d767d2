from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike
from scipy import stats

from paretune.bench.statistics.estimates import (
    FEWEST_RUNS,
    compare,
    interquartile_interval,
    interquartile_mean,
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


def test_point_estimates_agree_with_rliable_and_so_do_intervals_of_means() -> None:
    # rliable 1.2.0: aggregate_iqm, its 95 % percentile interval of 20 000 resamples, [-0.0686, 0.4382], and
    # probability_of_improvement. Our interval is the same, expanded for 7 runs in 4 tasks.
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.3, 1, (7, 4)), rng.normal(0, 1, (7, 4))
    x[0, 0] = y[1, 0]
    mean, rival = interquartile_interval(list(x.T)), compare(list(x.T), list(y.T))
    assert mean.value == pytest.approx(0.18102695381325384)
    assert rival.probability.value == pytest.approx(0.5790816326530612)
    assert rival.ties == pytest.approx(1 / 49 / 4)
    assert (mean.low, mean.high) == pytest.approx((-0.0686, 0.4382), abs=0.07)
    assert mean.low < -0.0686 and mean.high > 0.4382


def chance(arm: Sequence[ArrayLike], other: Sequence[ArrayLike], *, larger_is_better: bool = True) -> float:
    return compare(arm, other, larger_is_better=larger_is_better).probability.value


def test_probability_of_improvement_by_hand() -> None:
    assert chance([[1, 3]], [[2, 3]]) == (0 + 0 + 1 + 0.5) / 4
    assert chance([[1, 3], [5, 5]], [[2, 3], [0, 0]]) == (0.375 + 1) / 2
    assert chance([[1, 3]], [[2, 3]], larger_is_better=False) == 1 - 0.375
    assert chance([[4, math.inf]], [[7, math.inf]], larger_is_better=False) == 0.625


def test_tasks_count_the_same_however_many_runs_they_have() -> None:
    assert chance([[1, 1], [0] * 6], [[0, 0], [1] * 3]) == 0.5


@given(tasks)
def test_improvement_and_its_opposite_add_up_to_one(pairs: list[tuple[list[float], list[float]]]) -> None:
    xs, ys = zip(*pairs, strict=True)
    forth, turned, back = compare(xs, ys), compare(xs, ys, larger_is_better=False), compare(ys, xs)
    for other in (turned, back):
        assert forth.probability.value + other.probability.value == pytest.approx(1.0)
        assert (other.probability.low, other.probability.high) == pytest.approx(
            (1 - forth.probability.high, 1 - forth.probability.low)
        )
        assert other.p == pytest.approx(forth.p) and other.ties == forth.ties
    assert 0.0 <= forth.probability.low <= forth.probability.value <= forth.probability.high <= 1.0


@given(tasks)
def test_interval_p_and_verdict_say_the_same(pairs: list[tuple[list[float], list[float]]]) -> None:
    rival = compare(*zip(*pairs, strict=True))
    apart = rival.p <= 0.05
    assert apart == (rival.probability.low > 0.5 or rival.probability.high < 0.5)
    assert apart == (rival.verdict in ("better", "worse"))
    if apart:
        assert rival.verdict == ("better" if rival.probability.value > 0.5 else "worse")


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
    rival = compare([[1.0]], [[0.0, 0.0, 0.0]])
    assert rival.probability == Interval(1.0, 0.0, 1.0) and rival.p == 0.25
    assert rival.verdict == "not distinguishable at 1 seed"


def test_constant_runs_have_an_interval_without_width_and_are_not_told_apart() -> None:
    assert interquartile_interval([[0.25] * 6]) == Interval(0.25, 0.25, 0.25)
    rival = compare([[0.25] * 6], [[0.25] * 6])
    assert (rival.probability, rival.p, rival.ties) == (Interval(0.5, 0.0, 1.0), 1.0, 1.0)


def test_the_verdict_follows_from_the_interval() -> None:
    assert verdict(Interval(0.8, 0.51, 0.9), 5) == "better"
    assert verdict(Interval(0.2, 0.1, 0.49), 5) == "worse"
    assert verdict(Interval(0.8, 0.5, 0.9), 5) == "not distinguishable at 5 seeds"
    assert verdict(Interval(0.2, 0.1, 0.5), 12) == "not distinguishable at 12 seeds"


def test_what_chance_does_too_often_is_no_verdict() -> None:
    # All runs of one arm beat all of the other: once in ten pairs of equal arms, once in 35 and once in 126.
    found = [compare([np.arange(n) + 10.0], [np.arange(n)]) for n in (3, 4, 5)]
    assert [rival.p for rival in found] == pytest.approx([1 / 10, 1 / 35, 1 / 126])
    assert [rival.verdict for rival in found] == ["not distinguishable at 3 seeds", "better", "better"]
    assert found[0].probability == Interval(1.0, 0.0, 1.0)
    # Of 25 pairs, 23 won are significant and 22 are not: the interval reaches as far as 22.5 come from one half.
    assert found[2].probability == Interval(1.0, pytest.approx(0.6), 1.0)


def test_so_few_seeds_are_too_few_to_choose_and_test() -> None:
    n = FEWEST_RUNS
    assert 2 / math.comb(n + (n + 1) // 2, n) <= 0.05 < 2 / math.comb(n - 1 + n // 2, n - 1)


@pytest.mark.parametrize("count", [5, 10])
def test_intervals_of_means_and_of_probabilities_hold_the_truth(count: int) -> None:
    rng = np.random.default_rng(count)
    held, right, trials = 0, 0, 300
    truth = float(stats.norm.cdf(1 / math.sqrt(2)))
    for _ in range(trials):
        x, y = rng.normal(size=(2, 1, count))
        interval = interquartile_interval(x, resamples=2000)
        held += interval.low <= 0.0 <= interval.high
        probability = compare(x + 1, y).probability
        right += probability.low <= truth <= probability.high
    assert held >= 0.89 * trials and right >= 0.91 * trials  # 95 %, and three standard errors of 300 trials


def test_runs_that_are_missing_or_not_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"tasks: must be at least one, each with runs, got \[\] runs"):
        interquartile_interval([])
    with pytest.raises(ValueError, match=r"tasks: must be at least one, each with runs, got \[2, 0\] runs"):
        interquartile_interval([[1.0, 2.0], []])
    with pytest.raises(ValueError, match="tasks: must hold numbers, got NaN"):
        compare([[1.0, math.nan]], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="other: must have as many tasks as arm, 1, got 2"):
        compare([[1.0]], [[1.0], [2.0]])
