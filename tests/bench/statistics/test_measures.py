from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.bench.outcome import Curve, Point
from paretune.bench.statistics.budgets import EQUAL_TOKENS
from paretune.bench.statistics.measures import (
    MAIN,
    MEASURES,
    completed,
    expected_utility,
    igd_plus,
    mean_over_steps,
    measure,
    uniform_preferences,
    untrained_measures,
)
from paretune.weighting.archive import hypervolume
from tests.bench.outcomes import outcome

CURVE = Curve(
    steps=[0, 5, 15],
    updates=[0, 10, 30],
    tokens=[0, 500, 1500],
    performance=[[0.1, 0.1], [0.5, 0.5], [0.2, 0.9]],
    hypervolume=[0.01, 0.25, 0.33],
)
FRONT = [
    Point(step=5, validation=[0.5, 0.5], test=[0.4, 0.5]),
    Point(step=15, validation=[0.2, 0.9], test=[0.2, 0.8]),
]
points = st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=6)


def test_measures_by_hand() -> None:
    trained = [FRONT[0], Point(step=10, validation=[0.4, 0.6], test=[0.3, 0.9])]
    values = measure(CURVE, FRONT, FRONT[-1], [0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]], trained)
    assert values[MAIN] == pytest.approx(0.4 * 0.5 + 0.3 * 0.4)
    assert values["front_hypervolume"] == pytest.approx(0.4 * 0.5 + 0.2 * 0.3)
    assert values["final_hypervolume"] == pytest.approx(0.2 * 0.8)
    assert values["hypervolume_auc"] == pytest.approx((5 * 0.01 + 10 * 0.25) / 15)
    assert values["share_of_front"] == pytest.approx(0.26 / 0.75)
    # From (1, .5) the nearer point is (.4, .5), 0.6 short; from (.5, 1) it is (.2, .8), short by (.3, .2).
    assert values["igd_plus"] == pytest.approx((0.6 + np.hypot(0.3, 0.2)) / 2)
    assert values["points"] == 2.0


def test_every_number_that_a_run_says_by_itself_has_a_name() -> None:
    values = measure(CURVE, FRONT, FRONT[-1], [0.0, 0.0], None)
    of_one_run = {name for name, what in MEASURES.items() if what.kind in ("volume", "run")} - {EQUAL_TOKENS}
    assert set(values) == of_one_run
    assert [name for name, value in values.items() if value is None] == [MAIN, "igd_plus", "share_of_front"]


def test_the_untrained_policy_alone_by_hand() -> None:
    start = Point(step=0, validation=[0.9, 0.9], test=[0.5, 0.2])
    values = untrained_measures(start, [0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]])
    assert values["front_hypervolume"] == values["final_hypervolume"] == pytest.approx(0.1)
    assert values["expected_utility"] == pytest.approx(0.35)
    assert values["share_of_front"] == pytest.approx(0.1 / 0.75)
    assert values["igd_plus"] == pytest.approx((np.hypot(0.5, 0.3) + 0.8) / 2)
    assert "share_of_front" not in untrained_measures(start, [0.0, 0.0], None)


def test_the_front_of_an_older_outcome_is_what_is_known_of_it_without_step_0() -> None:
    old = replace(outcome(end=(0.05, 0.9)), trained=None, measures={})
    assert [point.step for point in old.front] == [0, 5, 10, 15, 20]
    assert [point.step for point in old.trained_front or []] == [5, 10, 15, 20]
    volume = hypervolume(np.array([point.test for point in old.front[1:]]), np.zeros(2))
    assert completed(old).measures == {MAIN: pytest.approx(volume)}
    alone = replace(old, front=old.front[:1])  # the untrained policy dominates all others that were tested
    assert alone.trained_front == [old.final]
    assert replace(old, front=[]).trained_front is None
    assert completed(replace(old, front=[])).measures == {}


def test_a_front_below_the_reference_has_no_share_of_nothing() -> None:
    values = measure(CURVE, FRONT, FRONT[-1], [2.0, 2.0], [[1.0, 1.0]])
    assert values["front_hypervolume"] == 0.0 and values["share_of_front"] is None


def test_a_run_without_policies_is_refused() -> None:
    with pytest.raises(ValueError, match="front: must hold at least one policy, got none"):
        measure(CURVE, [], FRONT[-1], [0.0, 0.0], None)


def test_a_value_holds_until_the_next_validation_whatever_the_last_one_is() -> None:
    assert mean_over_steps([0, 5, 15], [0.0, 0.3, 0.9]) == pytest.approx(0.2)
    assert mean_over_steps([0, 5, 15], [0.0, 0.3, 0.3]) == pytest.approx(0.2)
    assert mean_over_steps([7], [0.4]) == 0.4


def test_expected_utility_of_two_extremes_is_the_mean_of_the_larger_weight() -> None:
    assert expected_utility(np.eye(2), np.eye(2)) == pytest.approx(3 / 4, abs=1e-4)
    # The mean of the largest of K uniform weights is (1 + 1/2 + ... + 1/K) / K.
    assert expected_utility(np.eye(3), np.eye(3)) == pytest.approx(11 / 18, abs=2e-3)


def test_expected_utility_is_that_of_the_policy_that_validation_chooses() -> None:
    lucky = [[0.9, 0.9], [0.1, 0.1]]  # on the test split, the policy that nobody would have chosen
    assert expected_utility([[0.4, 0.4], [0.5, 0.5]], lucky) == pytest.approx(0.1)


@given(points)
def test_expected_utility_lies_between_the_mean_preference_and_the_best_objective(front: list[list[float]]) -> None:
    value = expected_utility(front, front)
    assert max(np.mean(point) for point in front) - 1e-2 <= value <= np.max(front) + 1e-12


@given(points)
def test_igd_plus_agrees_with_its_definition(front: list[list[float]]) -> None:
    exact = np.array(list(itertools.permutations([0.2, 0.5, 0.9])))
    short = [min(np.linalg.norm(np.maximum(z - np.array(f), 0.0)) for f in front) for z in exact]
    assert igd_plus(front, exact) == pytest.approx(np.mean(short), abs=1e-12)


@pytest.mark.parametrize("objectives", [1, 2, 3, 5])
def test_preferences_are_uniform_on_the_simplex(objectives: int) -> None:
    preferences = uniform_preferences(objectives)
    assert preferences.shape == (1024, objectives)
    assert (preferences >= 0).all() and preferences.sum(axis=1) == pytest.approx(1.0)
    assert preferences.mean(axis=0) == pytest.approx(1 / objectives, abs=2e-3)
    # The variance of one weight that is uniform on the simplex: (K - 1) / (K^2 (K + 1)).
    variance = (objectives - 1) / (objectives**2 * (objectives + 1))
    assert preferences.var(axis=0) == pytest.approx(variance, abs=2e-3)
