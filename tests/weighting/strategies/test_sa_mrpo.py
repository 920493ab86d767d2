import math

import numpy as np
import pytest

from paretune.weighting import SAMRPOWeighting


def test_hand_computed_weights():
    weighting = SAMRPOWeighting([0.5, 0.25, 0.25])
    weighting.on_rewards([[[0.0, 0.75, 1.0], [0.0, 0.75, 1.0]]])
    np.testing.assert_allclose(weighting.weights, np.array([0.5, 0.125, 0.0]) / 0.625)
    assert weighting.diagnostics() == {"saturation": [0.0, 0.75, 1.0]}


def test_bounds_turn_rewards_into_saturations():
    weighting = SAMRPOWeighting(3, lowest=[-1, 0, 0], highest=[1, 10, 1])
    weighting.on_rewards([[[0.0, 2.5, 3.0], [0.0, 2.5, -1.0]]])
    assert weighting.diagnostics()["saturation"] == [0.5, 0.25, 1.0]
    weighting.on_rewards([[[-9.0, 20.0, 0.0]]])
    assert weighting.diagnostics()["saturation"] == [0.0, 1.0, 0.0]


def test_gamma_zero_is_the_preference_and_a_larger_one_turns_further():
    shares = []
    for gamma in (0.0, 0.5, 1.0, 3.0):
        weighting = SAMRPOWeighting([3, 1], gamma=gamma)
        weighting.on_rewards([[[0.9, 0.2]]])
        shares.append(weighting.weights[1])
    assert shares[0] == 0.25
    assert shares == sorted(shares)


def test_what_is_mastered_by_all_leaves_the_preference():
    weighting = SAMRPOWeighting([3, 1])
    weighting.on_rewards(np.ones((2, 2, 2)))
    assert weighting.weights.tolist() == [0.75, 0.25]


def test_a_mastered_objective_gives_its_weight_to_the_hard_one(train):
    weighting = SAMRPOWeighting(2)
    train(weighting, [[1.0, 0.3], [0.0, 0.2]], steps=300)  # the first action is best: format mastered, accuracy at 0.3
    assert weighting.weights[1] > 0.85


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": -0.5}, "gamma: must be a finite number of at least 0, got -0.5"),
        ({"gamma": math.nan}, "gamma: must be a finite number"),
        ({"lowest": [0.0]}, r"lowest: must have shape \(2\), got"),
        ({"highest": [1.0, 0.0]}, r"highest: must be above lowest in every objective, got \[1.0, 0.0\]"),
        ({"highest": [1.0, 1e300]}, "highest: must be at most 1e"),
        ({"lowest": [-math.inf, 0.0]}, "lowest: must be finite"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        SAMRPOWeighting(2, **options)
