import math

import numpy as np
import pytest

from paretune.weighting import LagrangianWeighting, make_weighting

TRADE_OFF = [[1.0, 0.0], [0.0, 1.0]]


def test_hand_computed_multipliers():
    weighting = LagrangianWeighting([2, 1, 1], thresholds=[0.75, None, 0.25], rate=0.5, source="validation")
    weighting.on_validation([0.25, 0.0, 0.5])
    assert weighting.diagnostics() == {"multipliers": [0.75, 0.0, 0.125], "performance": [0.25, 0.0, 0.5]}
    np.testing.assert_allclose(weighting.weights, np.array([0.75, 0.25, 0.125]) / 1.125)
    weighting.on_validation([0.25, 0.0, 1.0])
    assert weighting.diagnostics() == {"multipliers": [1.0, 0.0, 0.0], "performance": [0.25, 0.0, 1.0]}


def test_what_thresholds_are_compared_with_is_told():
    weighting = LagrangianWeighting(2, thresholds=[0.5, None], decay=0.5)
    assert "performance" not in weighting.diagnostics()
    weighting.on_rewards(np.ones((1, 2, 2)))
    weighting.on_validation([0.0, 0.0])  # another quantity, which thresholds are not about here
    weighting.on_rewards(np.zeros((1, 2, 2)))
    assert weighting.diagnostics()["performance"] == [0.5, 0.5]


def test_a_multiplier_is_bounded():
    weighting = LagrangianWeighting(2, thresholds=[1.0, None], rate=1.0, largest=3.0, source="validation")
    for _ in range(10):
        weighting.on_validation([0.0, 0.0])
    assert weighting.diagnostics()["multipliers"] == [3.0, 0.0]
    np.testing.assert_allclose(weighting.weights, [3 / 3.5, 0.5 / 3.5])


def test_the_free_objectives_keep_their_preference_among_themselves():
    weighting = LagrangianWeighting([2, 6, 2], thresholds=[0.1, None, None], rate=1.0)
    weighting.on_rewards(np.ones((1, 1, 3)))
    np.testing.assert_allclose(weighting.weights, [0.0, 0.75, 0.25])


def test_if_all_thresholds_are_met_and_nothing_is_free_the_weights_are_the_preference():
    weighting = LagrangianWeighting([3, 1], thresholds=[0.1, 0.1], rate=100.0)
    weighting.on_rewards(np.ones((1, 1, 2)))
    assert weighting.diagnostics()["multipliers"] == [0.0, 0.0]
    assert weighting.weights.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("source", ["rewards", "validation"])
@pytest.mark.parametrize("threshold", [0.3, 0.8])
def test_training_reaches_the_threshold_and_gives_the_rest_to_the_free_objective(train, threshold, source):
    weighting = LagrangianWeighting(2, thresholds=[threshold, None], source=source, decay=0.5)
    performance = train(weighting, TRADE_OFF, 1500)[-500:].mean(axis=0)
    np.testing.assert_allclose(performance, [threshold, 1 - threshold], atol=0.03)


def test_a_threshold_that_costs_nothing_changes_nothing(train):
    weighting = LagrangianWeighting(2, thresholds=[0.2, None])
    performance = train(weighting, [[0.5, 1.0], [0.3, 0.0]], 300)[-1]  # the action that meets it is best anyway
    assert performance[1] > 0.95 and weighting.weights[0] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "thresholds: must be given for at least one objective, got None"),
        ({"thresholds": [None, None]}, "thresholds: must be given for at least one objective"),
        ({"thresholds": [0.8]}, r"thresholds: must be of length 2, as the preference, got \[0.8\]"),
        ({"thresholds": [0.8, math.inf]}, "thresholds: must be finite numbers, None or -inf"),
        ({"thresholds": [0.8, math.nan]}, "thresholds: must be finite numbers, None or -inf"),
        ({"thresholds": [0.8, None], "rate": -1.0}, "rate: must be a number above 0, got -1.0"),
        ({"thresholds": [0.8, None], "largest": 0.0}, "largest: must be a number above 0, got 0.0"),
        ({"thresholds": [0.8, None], "source": "?"}, "unknown source"),
        ({"thresholds": [0.8, None], "decay": -0.1}, "decay: must be"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        LagrangianWeighting(2, **options)


def test_toml_has_a_way_to_write_none():
    weighting = make_weighting("lagrangian", 2, thresholds=[0.8, -math.inf])
    assert weighting.options()["thresholds"] == [0.8, None]
