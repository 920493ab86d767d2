import math

import numpy as np
import pytest

from paretune.weighting import CTWAWeighting
from paretune.weighting.strategies.ctwa import covariances


def test_hand_computed_covariances():
    rewards = np.array([[[0.0, 1.0], [1.0, 0.5]], [[0.5, 0.0], [0.5, 0.5]]])
    # Prompt 1: signal (-1, 1), covariances 0.5 and -0.25. Prompt 2: signal (-1, 1), covariances 0 and 0.25.
    np.testing.assert_allclose(covariances(rewards, np.array([0.75, 0.25])), [0.25, 0.0])


def test_a_prompt_without_a_signal_counts_as_zero():
    rewards = np.array([[[0.1, 0.3], [0.3, 0.1], [0.2, 0.2]]])  # cancels, but for rounding
    np.testing.assert_allclose(covariances(rewards, np.array([0.5, 0.5])), [0.0, 0.0], atol=1e-12)


def test_a_covariance_below_its_target_raises_the_logarithm_of_the_weight():
    weighting = CTWAWeighting([0.75, 0.25], rate=2.0, target=[0.6, 0.05], tau=0.5)
    rewards = [[[0.0, 1.0], [1.0, 0.5]]]
    weighting.on_rewards(rewards)  # covariances 0.5, -0.25: missing 0.1, 0.3
    expected = np.log([0.75, 0.25]) + 2 * np.array([0.1, 0.3])
    expected = np.exp(expected) / np.exp(expected).sum()
    np.testing.assert_allclose(weighting.weights, expected)
    assert weighting.diagnostics()["covariance"] == pytest.approx([0.5, -0.25])
    weighting.on_rewards(np.array(rewards) / 2)  # means 0.375, -0.1875
    assert weighting.diagnostics()["covariance"] == pytest.approx([0.375, -0.1875])


def test_weights_stay_where_all_targets_are_met():
    weighting = CTWAWeighting([0.3, 0.7], target=0.0)
    weighting.on_rewards([[[0.0, 0.0], [1.0, 0.5]]])
    np.testing.assert_allclose(weighting.weights, [0.3, 0.7])


def test_what_does_not_vary_is_left_as_it_is():
    weighting = CTWAWeighting(2, target=10.0, rate=0.01)
    for _ in range(50):
        weighting.on_rewards([[[0.1, 0.5], [0.1, 0.75]]])  # the first objective's covariance can only be zero
    assert weighting.weights[0] < 0.5


def test_single_responses_are_compared_over_the_batch():
    groups, singles = CTWAWeighting(2, target=1.0), CTWAWeighting(2, target=1.0)
    rewards = np.random.default_rng(0).random((1, 6, 2))
    groups.on_rewards(rewards)
    singles.on_rewards(rewards.swapaxes(0, 1))
    assert singles.weights.tolist() == groups.weights.tolist() != [0.5, 0.5]


def test_a_sacrificed_objective_is_supported_again(train):
    actions = [[1.0, 0.0], [0.4, 0.9], [0.0, 1.0]]
    lost, kept = (
        train(CTWAWeighting([0.8, 0.2], target=target, rate=0.5), actions, steps=100, lr=0.5)
        for target in (-1.0, 0.1)  # never missed: fixed weights
    )
    assert lost[-1][1] < 0.2 < lost[0][1]
    assert kept[-1][1] > 0.6 and kept[-1].sum() > kept[0].sum()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": math.nan}, "target: must be a finite number, or one per objective, got nan"),
        ({"target": [0.1]}, r"target: must have shape \(2\)"),
        ({"rate": 0.0}, "rate: must be a number above 0, got 0.0"),
        ({"tau": 0.0}, r"tau: must be in \(0, 1\], got 0.0"),
        ({"tau": 1.5}, "tau: must be"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        CTWAWeighting(2, **options)
