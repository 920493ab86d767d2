import math

import numpy as np
import pytest

from paretune.weighting import SAWWeighting


def test_hand_computed_weights():
    weighting = SAWWeighting([0.25, 0.75], epsilon=1e-9)
    # Means 0.25 and 0.5; standard deviations sqrt(3)/4 and 0.25: coefficients sqrt(3) and 0.5.
    weighting.on_rewards([[[1.0, 0.25], [0.0, 0.75]], [[0.0, 0.25], [0.0, 0.75]]])
    ratio = (0.25 * math.sqrt(3)) / (0.75 * 0.5)
    assert weighting.weights[0] / weighting.weights[1] == pytest.approx(ratio)


def test_the_objective_that_varies_more_gains_weight():
    rng, weighting = np.random.default_rng(0), SAWWeighting(2)
    weighting.on_rewards(0.5 + np.stack([rng.normal(0, 0.2, (8, 8)), rng.normal(0, 0.02, (8, 8))], axis=-1))
    assert weighting.weights[0] > 0.85
    weighting.on_rewards(0.5 + np.stack([rng.normal(0, 0.02, (8, 8)), rng.normal(0, 0.2, (8, 8))], axis=-1))
    assert weighting.weights[1] > 0.85  # it forgets the last batch


def test_a_rare_success_gets_more_weight_than_a_common_one():
    rewards = np.zeros((1, 10, 2))
    rewards[0, :1, 0] = rewards[0, :9, 1] = 1
    weighting = SAWWeighting(2)
    weighting.on_rewards(rewards)
    assert weighting.weights[0] / weighting.weights[1] == pytest.approx(9, rel=0.02)  # 3 and 1/3


def test_the_units_do_not_matter():
    rewards = np.random.default_rng(1).random((2, 4, 2)) + 0.5
    plain, scaled = SAWWeighting(2, epsilon=1e-12), SAWWeighting(2, epsilon=1e-12)
    plain.on_rewards(rewards)
    scaled.on_rewards(rewards * [1000, -0.01])
    np.testing.assert_allclose(scaled.weights, plain.weights)


def test_without_variation_the_weights_are_the_preference():
    weighting = SAWWeighting([0.9, 0.1])
    weighting.on_rewards(np.full((3, 7, 2), 0.1))
    assert weighting.weights.tolist() == [0.9, 0.1]


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.inf, math.nan])
def test_bad_options_are_named(epsilon):
    with pytest.raises(ValueError, match="epsilon: must be a number of at least 1e-100"):
        SAWWeighting(2, epsilon=epsilon)
