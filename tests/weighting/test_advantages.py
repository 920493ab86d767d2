"""Advantages: hand-computed values and the properties that the weighting relies on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretune.agents import GRPO, REINFORCE, RLOO
from paretune.weighting import FixedWeighting, HypervolumeWeighting
from paretune.weighting.advantages import (
    AdvantageRule,
    SplitWeights,
    combined,
    conflict,
    grpo,
    per_objective,
    reinforce,
    rloo,
    weighed,
    zero_variance_groups,
)

ALGORITHMS = [REINFORCE.algorithm, RLOO.algorithm, GRPO.algorithm]
ORDERS = ["weigh_first", "normalise_first"]
rewards_PGK = arrays(np.float32, (3, 4, 2), elements=st.floats(0, 1, width=32))


def some_rewards(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((5, 8, 3)).astype(np.float32)


def test_reinforce_subtracts_the_batch_mean():
    np.testing.assert_allclose(reinforce(np.array([[1.0, 0.0], [0.5, 0.5]])), [[0.5, -0.5], [0.0, 0.0]])


def test_rloo_subtracts_the_mean_of_the_others():
    rewards = np.array([[1.0, 0.0, 0.5], [0.2, 0.2, 0.8]])
    expected = [[0.75, -0.75, 0.0], [-0.3, -0.3, 0.6]]
    np.testing.assert_allclose(rloo(rewards), expected, atol=1e-12)


def test_grpo_divides_by_the_sample_standard_deviation():
    rewards = np.array([[1.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(grpo(rewards), [[0.866, -0.866, -0.866, 0.866]], atol=1e-3)


@pytest.mark.parametrize("algorithm", [RLOO.algorithm, GRPO.algorithm])
def test_a_group_of_equal_rewards_teaches_exactly_nothing(algorithm):
    assert (algorithm.advantage(np.full((2, 8), 0.1)) == 0).all()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)
@pytest.mark.parametrize("scale", [0.5, 1.7])
def test_the_multiplier_survives_every_algorithm_and_order(algorithm, order, scale):
    direction = np.array([0.5, 0.3, 0.2])
    plain, one = combined(some_rewards(), SplitWeights(direction), algorithm, order)
    advantages, left = combined(some_rewards(), SplitWeights(direction, behind=scale), algorithm, order)
    assert (one, left) == (1.0, scale) and np.array_equal(advantages, plain)


@pytest.mark.parametrize("scale", [0.5, 1.7])
def test_in_the_published_order_the_multiplier_vanishes_under_grpo_and_survives_under_rloo(scale):
    direction = np.array([0.5, 0.3, 0.2])

    def published(algorithm, factor):
        advantages, left = combined(some_rewards(), SplitWeights(direction, before=factor), algorithm)
        assert left == 1.0
        return advantages

    plain = published(GRPO.algorithm, 1.0)
    assert np.abs(published(GRPO.algorithm, scale) - plain).max() < 2e-5 < 0.1 < np.abs(plain).max()
    np.testing.assert_allclose(published(RLOO.algorithm, scale), scale * published(RLOO.algorithm, 1.0), rtol=1e-9)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda algorithm: algorithm.name)
def test_normalise_first_makes_objectives_of_different_spread_count_alike(algorithm):
    rewards = some_rewards()[..., :2]
    narrow = np.stack([rewards[..., 0], 0.5 + 0.01 * (rewards[..., 1] - 0.5)], axis=-1)
    even = SplitWeights(np.array([0.5, 0.5]))
    weigh_first = combined(narrow, even, algorithm, "weigh_first")[0].ravel()
    normalise_first = combined(narrow, even, algorithm, "normalise_first")[0].ravel()
    first, second = narrow.reshape(-1, 2).T
    assert np.corrcoef(weigh_first, first)[0, 1] > 0.8
    assert np.corrcoef(normalise_first, second)[0, 1] > np.corrcoef(weigh_first, second)[0, 1] + 0.5


def test_normalise_first_is_gdpo_by_hand():
    rewards = np.array([[[1.0, 0.0], [0.0, 0.2], [0.5, 0.4]]])
    first, second = (r - r.mean() for r in rewards[0].T)
    weighed = 0.75 * first / first.std(ddof=1) + 0.25 * second / second.std(ddof=1)
    expected = (weighed - weighed.mean()) / weighed.std(ddof=1)
    actual, _ = combined(rewards, SplitWeights(np.array([0.75, 0.25])), GRPO.algorithm, "normalise_first")
    np.testing.assert_allclose(actual[0], expected, atol=1e-4)


def test_the_sum_of_the_weights_goes_behind_unless_it_is_to_multiply_the_rewards():
    fixed = SplitWeights.of(FixedWeighting([3, 1]))
    assert (fixed.direction.tolist(), fixed.before, fixed.behind) == ([0.75, 0.25], 1.0, 1.0)
    for exact_paper, factors in ((False, (1.0, 0.5)), (True, (0.5, 1.0))):
        weighting = HypervolumeWeighting([3, 1], exact_paper=exact_paper)
        weighting.on_validation([0.5, 0.5])
        weighting.on_validation([0.1, 0.1])  # adds nothing: the multiplier is 0.5
        split = SplitWeights.of(weighting)
        assert (split.direction.tolist(), split.before, split.behind) == ([0.75, 0.25], *factors)
        assert split.of_rewards.tolist() == [0.75 * factors[0], 0.25 * factors[0]]


def test_weighed_advantages_by_hand():
    rewards = np.array([[[1.0, 0.0], [0.0, 0.5]]])
    weights, rule = SplitWeights(np.array([0.75, 0.25]), before=2.0, behind=9.0), AdvantageRule(advantage=rloo)
    # weighed rewards: 2 * (0.75, 0.125); the objectives' own advantages, normalised: sqrt(2) * (1, -1) and (-1, 1)
    assert weighed(rewards, weights, rule, "weigh_first").tolist() == [[1.25, -1.25]]
    np.testing.assert_allclose(
        weighed(rewards, weights, rule, "normalise_first"), [[np.sqrt(0.5), -np.sqrt(0.5)]], atol=1e-5
    )
    advantages, left = combined(rewards, weights, rule, "normalise_first")
    np.testing.assert_allclose(advantages, [[np.sqrt(0.5), -np.sqrt(0.5)]], atol=1e-5)
    assert left == 9.0


@given(rewards_PGK)
def test_advantages_are_finite_and_permute_with_the_objectives(rewards):
    direction = np.array([0.7, 0.3])
    for algorithm in ALGORITHMS:
        for order in ORDERS:
            advantages, _ = combined(rewards, SplitWeights(direction, 1.3), algorithm, order)
            assert np.isfinite(advantages).all()
            swapped, _ = combined(rewards[..., ::-1], SplitWeights(direction[::-1], 1.3), algorithm, order)
            np.testing.assert_allclose(swapped, advantages, atol=1e-6)


def test_zero_variance_groups_are_counted():
    rewards = np.zeros((4, 3, 2))
    rewards[0, 1, 1] = 1
    assert zero_variance_groups(rewards) == 0.75


def test_conflict_is_the_share_that_cancels():
    opposed = np.array([[[1.0, -1.0], [-2.0, 2.0]]])
    assert conflict(opposed, np.array([0.5, 0.5])) == 1.0
    assert conflict(np.abs(opposed), np.array([0.5, 0.5])) == 0.0
    assert conflict(opposed, np.array([0.75, 0.25])) == 0.5
    assert conflict(np.zeros((1, 2, 2)), np.array([0.5, 0.5])) == 0.0


def test_per_objective_advantages_are_those_of_each_reward_alone():
    rewards = some_rewards().astype(np.float64)
    advantages = per_objective(rewards, RLOO.algorithm, "weigh_first")
    np.testing.assert_array_equal(advantages[..., 1], rloo(rewards[..., 1]))
