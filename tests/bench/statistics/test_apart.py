"""Whether a setting tells fixed weights apart."""

from __future__ import annotations

import numpy as np
import pytest

from paretune.bench.statistics import apart
from paretune.bench.statistics.apart import order_test, tells_apart
from tests.bench.outcomes import outcome

WEIGHTS = {"first": [0.75, 0.25], "middle": [0.5, 0.5], "second": [0.25, 0.75]}


def runs(ends, seeds=5):
    """Fixed runs by label of the preference, which end where `ends` says, a little apart by seed."""
    return [
        outcome("fixed", name, seed, end=(x + 0.004 * ((7 * seed) % 5), y + 0.004 * ((3 * seed) % 5)), weights=weights)
        for (name, weights), (x, y) in zip(WEIGHTS.items(), ends, strict=True)
        for seed in range(seeds)
    ]


def test_ends_in_the_order_of_the_weights_are_told_apart():
    found = tells_apart(runs([(0.8, 0.3), (0.6, 0.5), (0.3, 0.8)]), "fixed")
    assert found.verdict == "yes"
    assert list(found.correlations) == ["accuracy", "brevity"]
    # Three groups of five ranks each: the correlation of groups in perfect order is sqrt(1 - (5^2 - 1) / (15^2 - 1)).
    assert list(found.correlations.values()) == pytest.approx([np.sqrt(1 - 24 / 224)] * 2)
    # Means: (.808, .308), (.608, .508), (.308, .808). Own worth less the other two's mean, for each preference:
    own = np.array([[0.808, 0.308], [0.608, 0.508], [0.308, 0.808]]) @ np.array(list(WEIGHTS.values())).T
    by_hand = np.mean([own[a, a] - (own[:, a].sum() - own[a, a]) / 2 for a in range(3)])
    assert found.worth == pytest.approx(by_hand)


def test_the_same_place_and_the_wrong_order_are_not():
    same = tells_apart(runs([(0.5, 0.5)] * 3), "fixed")
    assert same.verdict == "no" and "not shown to end at different places" in same.reason
    turned = tells_apart(runs([(0.3, 0.8), (0.6, 0.5), (0.8, 0.3)]), "fixed")
    assert turned.verdict == "no" and "more weight, less accuracy and brevity" in turned.reason
    assert turned.worth is not None and turned.worth < 0
    mixed = tells_apart(runs([(0.5, 0.5), (0.9, 0.9), (0.5, 0.5)]), "fixed")
    assert mixed.verdict == "no" and "end at different places (p = 0.000" in mixed.reason
    assert ", but not in the order of their preferences (p = 0." in mixed.reason
    half = tells_apart(runs([(0.9, 0.8), (0.6, 0.5), (0.3, 0.3)]), "fixed")
    assert half.verdict == "no" and "more weight, less brevity" in half.reason


def test_few_runs_or_one_arm_tell_nothing():
    few = tells_apart(runs([(0.8, 0.3), (0.6, 0.5), (0.3, 0.8)], seeds=1), "fixed")
    assert (few.verdict, few.reason) == ("not known", "It takes 5 runs of each fixed arm to tell.")
    some = tells_apart(runs([(0.8, 0.3), (0.6, 0.5), (0.3, 0.8)], seeds=3), "fixed")
    assert some.verdict == "yes"
    alone = tells_apart([run for run in runs([(0.5, 0.5)] * 3) if run.preference == "first"], "fixed")
    assert (alone.verdict, alone.correlations, alone.worth) == ("not known", {}, None)


def test_an_objective_that_all_runs_earn_alike_does_not_count():
    performance = np.array([[0.1, 1.0], [0.2, 1.0], [0.7, 1.0], [0.8, 1.0]])
    test = order_test(np.array([[0.2, 0.8], [0.6, 0.4]]), performance, np.array([0, 0, 1, 1]))
    assert test.correlations[1] is None and test.p_falls[1] == 1.0
    assert test.correlations[0] == pytest.approx(2 / np.sqrt(5))
    # One of the C(4, 2) = 6 ways to deal the runs is as well ordered; both tests know no better.
    assert pytest.approx(test.p_order, abs=4 * np.sqrt(5 / 36 / apart.PERMUTATIONS)) == 1 / 6


def test_arms_that_are_equal_in_truth_are_told_apart_in_one_of_twenty_grids(monkeypatch):
    monkeypatch.setattr(apart, "PERMUTATIONS", 199)
    rng = np.random.default_rng(0)
    arm, weights, draws = np.repeat(np.arange(5), 5), rng.dirichlet(np.ones(3), size=5), 400
    values = [order_test(weights, rng.normal(size=(25, 3)), arm, seed=draw).p_order for draw in range(draws)]
    assert np.mean(np.array(values) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    assert abs(np.mean(values) - 0.5) < 3 * np.sqrt(1 / 12 / draws) + 0.005
