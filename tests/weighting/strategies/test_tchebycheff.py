import math

import numpy as np
import pytest

from paretune.weighting import FixedWeighting, TchebycheffWeighting
from paretune.weighting.strategies.tchebycheff import tchebycheff_weights

TRADE_OFF = [[1.0, 0.0], [0.0, 1.0], [0.3, 0.3]]


def scalarisation(performance, preference, ideal, mu):
    return mu * math.log(np.exp(preference * (ideal - performance) / mu).sum())


def test_weights_are_the_gradient_of_the_scalarisation():
    preference, ideal, performance = np.array([0.5, 0.3, 0.2]), np.array([1.0, 1.2, 0.9]), np.array([0.2, 0.7, 0.4])
    slopes = []
    for step in np.eye(3) * 1e-6:
        change = [scalarisation(performance + sign * step, preference, ideal, 0.1) for sign in (1, -1)]
        slopes.append((change[1] - change[0]) / 2e-6)
    weighting = TchebycheffWeighting(preference, mu=0.1, ideal=ideal.tolist(), source="validation")
    weighting.on_validation(performance)
    np.testing.assert_allclose(weighting.weights, np.array(slopes) / np.sum(slopes), rtol=1e-6)


def test_equal_weighted_gaps_leave_the_preference():
    np.testing.assert_allclose(tchebycheff_weights(np.array([0.8, 0.2]), np.array([0.1, 0.4]), 0.01), [0.8, 0.2])


def test_mu_goes_from_the_preference_to_the_largest_gap():
    preference, gap = np.array([0.5, 0.5]), np.array([0.4, 0.5])
    np.testing.assert_allclose(tchebycheff_weights(preference, gap, 1e6), preference, atol=1e-6)
    np.testing.assert_allclose(tchebycheff_weights(preference, gap, 1e-3), [0, 1], atol=1e-6)


def test_an_objective_of_no_preference_has_no_weight():
    weights = tchebycheff_weights(np.array([1.0, 0.0]), np.array([-1e10, 5.0]), 0.01)
    assert weights.tolist() == [1.0, 0.0]


def test_the_performance_is_a_moving_average_of_the_rewards():
    weighting = TchebycheffWeighting(2, decay=0.75)
    weighting.on_rewards([[[0.0, 1.0], [1.0, 1.0]]])
    weighting.on_validation([0.0, 0.0])
    assert weighting.diagnostics() == {"gap": [0.5, 0.0]}
    weighting.on_rewards([[[1.0, 0.0], [1.0, 0.0]]])
    assert weighting.diagnostics()["gap"] == pytest.approx([0.375, 0.25])
    assert not weighting.needs_validation


def test_the_performance_is_the_last_validation():
    weighting = TchebycheffWeighting(2, source="validation")
    weighting.on_rewards(np.zeros((1, 1, 2)))
    assert weighting.diagnostics() == {} and weighting.needs_validation
    weighting.on_validation([0.25, 0.75])
    assert weighting.diagnostics() == {"gap": [0.75, 0.25]}


def test_without_bounds_the_ideal_is_beyond_the_best_seen():
    weighting = TchebycheffWeighting(2, source="validation", margin=2.0)
    weighting.on_validation([100.0, -5.0])
    assert weighting.diagnostics() == {"gap": [2.0, 2.0]}
    weighting.on_validation([90.0, -4.0])
    assert weighting.diagnostics() == {"gap": [12.0, 2.0]}


@pytest.mark.parametrize("source", ["rewards", "validation"])
@pytest.mark.parametrize(("preference", "balance"), [([0.5, 0.5], 0.5), ([0.75, 0.25], 0.75)])
def test_it_balances_where_fixed_weights_end_in_a_corner(train, preference, balance, source):
    start = [0.5, 0.0, 0.0]
    # On the front f_1 + f_2 = 1, p_1 (1 - f_1) = p_2 (1 - f_2) at f_1 = p_1.
    weighting = TchebycheffWeighting(preference, mu=0.02, source=source)
    performance = train(weighting, TRADE_OFF, 400, start=start)[-100:].mean(axis=0)
    np.testing.assert_allclose(performance, [balance, 1 - balance], atol=0.06)
    fixed = train(FixedWeighting([0.6, 0.4]), TRADE_OFF, 400, start=start)[-1]
    assert fixed[0] > 0.95


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mu": 0.0}, "mu: must be a number above 0, got 0.0"),
        ({"ideal": [1.0]}, r"ideal: must have shape \(2\)"),
        ({"margin": -1.0}, "margin: must be None or a number of at least 0, got -1.0"),
        ({"margin": 1.0, "ideal": [1.0, 1.0]}, "margin: must be None if ideal is given, got 1.0"),
        ({"source": "dreams"}, "unknown source 'dreams': did you mean 'rewards'"),
        ({"decay": 1.0}, r"decay: must be in \[0, 1\), got 1.0"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TchebycheffWeighting(2, **options)
