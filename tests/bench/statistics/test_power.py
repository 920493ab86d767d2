from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from scipy import stats

from paretune.bench.statistics import power
from paretune.bench.statistics.permutation import LEVEL, deal
from paretune.bench.statistics.power import power_of, runs_needed, told_in_spreads


def test_told_differences_by_hand() -> None:
    # 10 and 10 runs: a = .0433 (Mann-Whitney's U up to 23), t(1 - a / 2, 18) = 2.1732, t(.8, 18) = 0.8620, and
    # sqrt(2 / 10 * 1.0472) = 0.45765.
    assert told_in_spreads(10, 10) == pytest.approx((2.1732 + 0.8620) * 0.45765, rel=1e-3)
    assert told_in_spreads(3, 3) == math.inf and math.isfinite(told_in_spreads(4, 4))
    assert told_in_spreads(1, 1) == math.inf


@pytest.mark.parametrize(("n", "m"), [(5, 5), (10, 10), (10, 5), (20, 20)])
def test_what_is_said_to_be_told_is_told_in_80_percent_of_simulations(n: int, m: int) -> None:
    rng, trials = np.random.default_rng(n + m), 1000
    x, y = rng.normal(told_in_spreads(n, m), 1, (trials, n)), rng.normal(size=(trials, m))
    found = np.mean([deal([a], [b]).p <= LEVEL for a, b in zip(x, y, strict=True)])
    # Three standard errors of 1000 trials are 3.8 %; the formula is an approximation.
    assert found == pytest.approx(0.8, abs=0.05)


def test_runs_that_are_needed_are_the_first_that_tell() -> None:
    for share in (0.3, *np.linspace(0.8, 3, 12)):
        n = runs_needed(1.0, share)
        assert told_in_spreads(n, n) <= share
        assert n == 4 or told_in_spreads(n - 1, n - 1) > share
    # For many runs 2 (1.96 + 0.84)^2 (s / d)^2 pi / 3.
    assert runs_needed(0.1, 0.01) == pytest.approx(2 * (1.95996 + 0.84162) ** 2 * 100 * math.pi / 3, rel=0.01)
    assert runs_needed(1.0, 1e-9) == 10**6 and runs_needed(0.0, 0.1) == 4


def test_the_spread_is_pooled_over_the_arms_and_the_share_is_of_the_baseline() -> None:
    found = power_of([[1.0, 3.0], [10.0, 12.0, 14.0]], [[1.0, 3.0]], tested=2)
    assert found is not None
    assert found.spread == pytest.approx(math.sqrt((2 + 8) / 3)) and found.level == 2.0
    assert found.runs == (2, 2) and found.told == (math.inf, math.inf) and found.chances == (1.0, 1.0)
    assert found.needed == runs_needed(found.spread, 0.1)
    ten = power_of([list(range(10))] * 2, [list(range(10))], tested=5)
    assert ten is not None and ten.runs == (10, 5)
    assert ten.told[0] == pytest.approx(np.std(range(10), ddof=1) * told_in_spreads(10, 10))
    assert ten.chances[1] == pytest.approx(stats.norm.cdf(told_in_spreads(10, 5) / math.sqrt(2)))


def test_without_spread_or_baseline_there_is_no_power() -> None:
    assert power_of([[1.0], [2.0]], [[1.0]], 0) is None
    assert power_of([[1.0, 2.0]], [], 0) is None
    none = power_of([[0.0] * 5], [[0.0] * 5], 0)
    assert none is not None and none.needed is None and none.told == (0.0,)


def test_the_examples_in_the_docstrings_are_right() -> None:
    result = doctest.testmod(power)
    assert result.attempted > 0 and result.failed == 0
