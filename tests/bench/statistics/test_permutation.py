from __future__ import annotations

import doctest
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from paretune.bench.statistics import permutation
from paretune.bench.statistics.permutation import LEVEL, deal, doubled_wins, wins_of_all_deals

runs = st.lists(st.integers(0, 4).map(float), min_size=1, max_size=5)


def by_dealing(x: list[float], y: list[float]) -> dict[int, float]:
    """Doubled wins with their probabilities, from every way to deal the runs."""
    both = np.array([*x, *y])
    counts: dict[int, float] = {}
    for mine in itertools.combinations(range(len(both)), len(x)):
        theirs = [i for i in range(len(both)) if i not in mine]
        wins = doubled_wins(both[list(mine)], both[theirs])
        counts[wins] = counts.get(wins, 0.0) + 1 / math.comb(len(both), len(x))
    return counts


@given(runs, runs)
def test_the_distribution_is_that_of_all_deals_with_ties_as_they_are(x: list[float], y: list[float]) -> None:
    chances = wins_of_all_deals(np.array(x), np.array(y))
    expected = by_dealing(x, y)
    assert len(chances) == 2 * len(x) * len(y) + 1
    assert chances == pytest.approx([expected.get(wins, 0.0) for wins in range(len(chances))], abs=1e-12)


@given(runs, runs)
def test_p_is_the_share_of_the_deals_that_lie_as_far_from_one_half(x: list[float], y: list[float]) -> None:
    middle = len(x) * len(y)
    observed = abs(doubled_wins(np.array(x), np.array(y)) - middle)
    expected = sum(chance for wins, chance in by_dealing(x, y).items() if abs(wins - middle) >= observed)
    assert deal([x], [y]).p == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("n", "m"), [(3, 4), (5, 5), (10, 7)])
def test_without_ties_it_is_scipy_s_exact_test(n: int, m: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        x, y = rng.normal(0.7, 1, n), rng.normal(size=m)
        assert deal([x], [y]).p == pytest.approx(stats.mannwhitneyu(x, y, method="exact").pvalue, abs=1e-12)


def test_tasks_are_dealt_each_by_itself() -> None:
    x, y = [[1.0, 4.0], [2.0, 2.0, 9.0]], [[0.0, 3.0], [1.0, 2.0]]
    mean: dict[float, float] = {}
    one, other = by_dealing(x[0], y[0]), by_dealing(x[1], y[1])
    for (a, p), (b, q) in itertools.product(one.items(), other.items()):
        value = round((a / 8 + b / 12) / 2, 9)
        mean[value] = mean.get(value, 0.0) + p * q
    wins = [doubled_wins(np.array(a), np.array(b)) for a, b in zip(x, y, strict=True)]
    observed = (wins[0] / 8 + wins[1] / 12) / 2
    expected = sum(p for value, p in mean.items() if abs(value - 0.5) >= abs(observed - 0.5) - 1e-6)
    assert deal(x, y).p == pytest.approx(expected, abs=1e-12)


@given(st.lists(st.tuples(runs, runs), min_size=1, max_size=3))
def test_the_half_width_parts_what_is_significant_from_the_rest(pairs: list[tuple[list[float], list[float]]]) -> None:
    xs, ys = zip(*pairs, strict=True)
    dealt = deal(xs, ys)
    wins = [doubled_wins(np.array(x), np.array(y)) / (2 * len(x) * len(y)) for x, y in pairs]
    assert (abs(np.mean(wins) - 0.5) > dealt.half_width) == (dealt.p <= LEVEL)
    assert dealt.least_p <= dealt.p <= 1 and (dealt.least_p > LEVEL) == math.isinf(dealt.half_width)


def test_resolution_of_few_runs() -> None:
    for n in (3, 4, 5):
        least = deal([np.arange(n) + 10.0], [np.arange(float(n))])
        assert least.p == least.least_p == pytest.approx(2 / math.comb(2 * n, n))
        assert math.isinf(least.half_width) == (n == 3)
    assert deal([np.arange(5.0)], [[7.0, 8.0, 9.0]]).p == pytest.approx(2 / math.comb(8, 3))


def test_many_runs_and_tasks_come_near_the_normal_distribution() -> None:
    rng = np.random.default_rng(0)
    xs, ys = rng.normal(0.2, 1, (12, 10)), rng.normal(size=(12, 10))
    wins = np.mean([doubled_wins(x, y) / 200 for x, y in zip(xs, ys, strict=True)])
    # The variance of a probability of improvement of equal arms is (n + m + 1) / (12 n m).
    z = (wins - 0.5) / math.sqrt(21 / 1200 / 12)
    assert deal(xs, ys).p == pytest.approx(2 * stats.norm.sf(abs(z)), rel=0.1)
    big = deal([rng.normal(size=60)], [rng.normal(size=60)])
    assert 0 < big.least_p < 1e-12 and 0.05 < big.half_width < 0.15


def test_the_examples_in_the_docstrings_are_right() -> None:
    result = doctest.testmod(permutation)
    assert result.attempted > 0 and result.failed == 0
