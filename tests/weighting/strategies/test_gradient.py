import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretune.weighting import GradientWeighting
from paretune.weighting.gram_estimate import GramEstimate, estimate_of_parts
from paretune.weighting.strategies.gradient import LEAST, influences, raise_to_floor

finite = st.floats(allow_nan=False, allow_infinity=False)
any_grams = st.integers(1, 5).flatmap(lambda k: arrays(np.float64, (k, k), elements=finite))


def random_gram(k=3, seed=0):
    gradients = np.random.default_rng(seed).normal(size=(k, 10))
    return gradients @ gradients.T


def test_influences_are_row_sums():
    gradients = np.array([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])
    expected = [gradient @ gradients.sum(axis=0) for gradient in gradients]
    assert influences(gradients @ gradients.T).tolist() == expected == [-2.0, 4.0, 6.0]


@pytest.mark.parametrize("mu", [1e-5, 1e-4])
def test_the_papers_update(mu):
    weighting = GradientWeighting(3, mu=mu)
    gram = np.diag([0.0, 1.0, 2.0]) * 10
    weighting.on_gradients(gram, lr=1e-6)
    factors = np.exp(1e-6 * np.array([0.0, 10.0, 20.0]) / mu)
    np.testing.assert_allclose(weighting.weights, factors / factors.sum(), rtol=1e-14)
    assert weighting.diagnostics() == {"influences": [0.0, 10.0, 20.0]}


def test_eta_stands_in_for_the_learning_rate():
    own, trainers = GradientWeighting(3, mu=1e-4, eta=1e-5), GradientWeighting(3, mu=1e-4)
    own.on_gradients(random_gram(), lr=123.0)
    trainers.on_gradients(random_gram(), lr=1e-5)
    assert own.weights.tolist() == trainers.weights.tolist()


def test_the_scale_free_update():
    weighting = GradientWeighting([0.5, 0.5], rate=0.5)
    weighting.on_gradients([[3.0, 1.0], [1.0, 1.0]], lr=1e-6)  # influences 4 and 2, mean squared norm 2
    expected = np.exp([1.0, 0.5])
    np.testing.assert_allclose(weighting.weights, expected / expected.sum(), rtol=1e-14)


@given(st.floats(1e-150, 1e150))
def test_scaling_all_gradients_changes_nothing(scale):
    plain, scaled = GradientWeighting(3), GradientWeighting(3)
    plain.on_gradients(random_gram(), lr=1e-6)
    scaled.on_gradients(scale * random_gram(), lr=1e-6)
    np.testing.assert_allclose(scaled.weights, plain.weights, rtol=1e-10)


@pytest.mark.parametrize("mu", [None, 1e-5])
def test_zero_gradients_move_nothing(mu):
    weighting = GradientWeighting([0.5, 0.3, 0.2], mu=mu)
    weighting.on_gradients(np.zeros((3, 3)), lr=1e-6)
    np.testing.assert_allclose(weighting.weights, [0.5, 0.3, 0.2], rtol=1e-15)


def test_a_learning_rate_of_zero_moves_nothing():
    weighting = GradientWeighting([0.5, 0.3, 0.2], mu=1e-5)
    weighting.on_gradients(random_gram(), lr=0.0)
    np.testing.assert_allclose(weighting.weights, [0.5, 0.3, 0.2], rtol=1e-15)


@given(any_grams, st.sampled_from([None, 1e-5, 5e-324]), st.floats(0, 0.19), st.sampled_from([0.0, 0.5, 1.0]))
def test_weights_stay_on_the_simplex_whatever_comes(gram, mu, floor, prior):
    weighting = GradientWeighting(len(gram), mu=mu, floor=floor, prior=prior)
    for sign in (1, -1, -1):
        weighting.on_gradients(sign * gram, lr=1e-6)
        assert np.isfinite(weighting.weights).all()
        assert (weighting.weights >= max(floor, LEAST / len(gram))).all()
        assert weighting.scale == pytest.approx(1, abs=1e-12)


@given(
    arrays(np.float64, st.integers(1, 6), elements=st.just(0.0) | st.floats(1e-6, 1)).filter(np.any),
    st.floats(0, 0.999),
)
def test_the_projection_is_the_nearest_point_above_the_floor(weights, share):
    floor = share / len(weights)
    projected = raise_to_floor(weights, floor)
    assert (projected >= floor).all()
    assert projected.sum() == pytest.approx(1, abs=1e-12)
    # Optimality: the raised weights would be too low under the factor that all others share.
    free = projected > floor * (1 + 1e-9)
    factors = projected[free] / weights[free]
    np.testing.assert_allclose(factors, factors[0], rtol=1e-9)
    assert (weights[~free] * factors[0] <= floor * (1 + 1e-6)).all()


def test_weights_above_the_floor_are_not_moved_by_it():
    weighting = GradientWeighting([0.5, 0.3, 0.2], floor=0.2)
    np.testing.assert_allclose(weighting.weights, [0.5, 0.3, 0.2], rtol=1e-15)
    # An initial weight below the floor starts at it: the others share what is left in their ratio.
    np.testing.assert_allclose(GradientWeighting([0.6, 0.3, 0.1], floor=0.19).weights, [0.54, 0.27, 0.19])


def test_constant_influences_end_at_the_floor():
    weighting = GradientWeighting(3, rate=0.1, floor=0.05)
    for _ in range(200):
        weighting.on_gradients(np.diag([3.0, 2.0, 1.0]), lr=1e-6)
    np.testing.assert_allclose(weighting.weights, [0.9, 0.05, 0.05])


def test_without_a_floor_weights_recover_from_the_corner():
    weighting = GradientWeighting(2, mu=1.0, eta=1.0)
    weighting.on_gradients(np.diag([1e9, 0.0]), lr=1e-6)
    np.testing.assert_allclose(weighting.weights, [1 - LEAST / 2, LEAST / 2])
    for _ in range(11):  # exp(11) > 2 / LEAST
        weighting.on_gradients(np.diag([0.0, 1.0]), lr=1e-6)
    assert weighting.weights[1] > 0.5


def test_a_preference_of_zero_starts_at_the_least_weight():
    np.testing.assert_allclose(GradientWeighting([1, 0]).weights, [1 - LEAST / 2, LEAST / 2])


def test_the_prior_holds_constant_influences_at_a_fixed_point():
    weighting = GradientWeighting([0.5, 0.3, 0.2], mu=1.0, eta=1.0, prior=0.2)
    influence = np.array([0.3, 0.1, 0.0])
    for _ in range(300):
        weighting.on_gradients(np.diag(influence), lr=1e-6)
    expected = np.array([0.5, 0.3, 0.2]) * np.exp(influence * 0.8 / 0.2)
    np.testing.assert_allclose(weighting.weights, expected / expected.sum(), rtol=1e-12)


def test_the_prior_brings_weights_back_when_the_gradients_vanish():
    weighting = GradientWeighting([0.5, 0.3, 0.2], prior=0.1)
    weighting.on_gradients(random_gram(), lr=1e-6)
    for _ in range(400):
        weighting.on_gradients(np.zeros((3, 3)), lr=1e-6)
    np.testing.assert_allclose(weighting.weights, [0.5, 0.3, 0.2], rtol=1e-12)


def test_a_full_prior_never_moves():
    weighting = GradientWeighting([0.5, 0.3, 0.2], prior=1.0)
    weighting.on_gradients(random_gram() * 1e200, lr=1e-6)
    np.testing.assert_allclose(weighting.weights, [0.5, 0.3, 0.2], rtol=1e-14)


def test_every_analyses_the_first_step_and_then_every_nth():
    weighting = GradientWeighting(2, every=3)
    assert weighting.needs_gram  # before the first step
    asked = []
    for _ in range(8):
        weighting.on_rewards(np.zeros((2, 4, 2)))
        asked.append(weighting.needs_gram)
    assert asked == [True, False, False, True, False, False, True, False]
    assert not weighting.needs_validation


def test_a_run_continues_where_it_was_saved():
    options = {"rate": 0.3, "floor": 0.01, "prior": 0.05, "every": 2}
    whole, half = GradientWeighting(3, **options), GradientWeighting(3, **options)

    def step(weighting, seed):
        weighting.on_rewards(np.zeros((2, 4, 3)))
        if weighting.needs_gram:
            weighting.on_gradients(random_gram(seed=seed), lr=1e-6)

    for seed in range(5):
        step(whole, seed)
        step(half, seed)
    resumed = GradientWeighting(**json.loads(json.dumps(half.options())))
    resumed.load_state_dict(json.loads(json.dumps(half.state_dict())))
    for seed in range(5, 12):
        step(whole, seed)
        step(resumed, seed)
        assert resumed.weights.tolist() == whole.weights.tolist()
        assert resumed.diagnostics() == whole.diagnostics()


def test_an_untrained_state_can_be_saved():
    weighting = GradientWeighting(3)
    state = json.loads(json.dumps(weighting.state_dict()))
    weighting.load_state_dict(state)
    assert weighting.state_dict() == state
    assert weighting.diagnostics() == {}


@pytest.mark.parametrize(
    ("gram", "lr", "message"),
    [
        (np.zeros((3, 3)), 1e-6, r"gram: must have shape \(2, 2\), got \(3, 3\)"),
        (np.full((2, 2), math.nan), 1e-6, r"gram: must be finite, got nan at position \(0, 0\)"),
        (np.eye(2), math.nan, "lr: must be finite and non-negative, got nan"),
        (np.eye(2), -1e-6, "lr: must be finite and non-negative, got -1e-06"),
    ],
)
def test_bad_observations_are_named(gram, lr, message):
    weighting = GradientWeighting(2)
    with pytest.raises(ValueError, match=message):
        weighting.on_gradients(gram, lr)


def test_bad_rewards_are_named():
    with pytest.raises(ValueError, match=r"rewards: must have shape \(any, any, 2\), got \(4, 2\)"):
        GradientWeighting(2).on_rewards(np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mu": 0.0}, "mu: must be None or a number above 0, got 0.0"),
        ({"mu": math.inf}, "mu: must be None or a number above 0, got inf"),
        ({"eta": 1e-6}, "eta: must be None unless mu is given"),
        ({"eta": -1.0, "mu": 1.0}, "eta: must be None or a number above 0, got -1.0"),
        ({"rate": 0.0}, "rate: must be a number above 0, got 0.0"),
        ({"floor": 0.5}, r"floor: must be in \[0, 1/K\) with K = 2, got 0.5"),
        ({"floor": -0.1}, r"floor: must be in \[0, 1/K\)"),
        ({"prior": 1.1}, r"prior: must be in \[0, 1\], got 1.1"),
        ({"prior": math.nan}, r"prior: must be in \[0, 1\], got nan"),
        ({"every": 0}, "every: must be a whole number of at least 1, got 0"),
        ({"every": 1.5}, "every: must be a whole number of at least 1, got 1.5"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        GradientWeighting(2, **options)


def noisy(rng: np.random.Generator, truth_KP: np.ndarray) -> tuple[GramEstimate, np.ndarray]:
    """Return the estimate from 8 parts of a batch, and the batch with itself; objective 0 has three times the noise."""
    gradients = truth_KP + 3 * np.array([3.0, 1.0, 1.0])[:, None] * rng.normal(size=(8, 3, 20))
    flat = gradients.reshape(24, -1) / 8
    mean = gradients.mean(axis=0)
    return estimate_of_parts(flat @ flat.T, np.full(8, 1 / 8)), mean @ mean.T


def test_noise_alone_leaves_the_weights_where_they_are():
    """A batch with itself drives the noisiest objective to the corner; products without shrinkage wander."""
    ends: dict[str, list[float]] = {"split": [], "not shrunk": [], "batch": []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        split, open_, batch = GradientWeighting(3), GradientWeighting(3, shrink=False), GradientWeighting(3)
        for _ in range(400):
            estimate, gram_KK = noisy(rng, np.zeros((3, 20)))
            split.on_gram_estimate(estimate, lr=1.0)
            open_.on_gram_estimate(estimate, lr=1.0)
            batch.on_gradients(gram_KK, lr=1.0)
        for name, weighting in (("split", split), ("not shrunk", open_), ("batch", batch)):
            ends[name].append(float(np.abs(np.log(3 * weighting.weights)).max()))
    # a random walk of 400 steps of about rate * 0.3 would be at 0.02 * 0.3 * 20 = 0.12
    assert max(ends["split"]) < 0.12
    assert np.mean(ends["split"]) < 0.5 * np.mean(ends["not shrunk"])
    assert min(ends["batch"]) > 3


def test_a_true_signal_moves_the_weights():
    truth_KP, weighting, rng = np.zeros((3, 20)), GradientWeighting(3), np.random.default_rng(0)
    truth_KP[1:, 0] = 6.0  # objectives 1 and 2 pull the same way
    for _ in range(400):
        weighting.on_gram_estimate(noisy(rng, truth_KP)[0], lr=1.0)
    assert weighting.weights[0] < 0.2 and abs(weighting.weights[1] - weighting.weights[2]) < 0.2
    found = weighting.diagnostics()
    assert found["influence_signal"] > 0.5
    assert np.abs(np.array(found["influences"]) - [0, 72, 72]).max() < 3 * max(found["influence_errors"])


def test_the_update_from_an_estimate_by_hand():
    weighting = GradientWeighting(2, rate=0.5)
    noise = np.zeros((2, 2, 2, 2, 2))
    noise[0, 0, 0, 0, 0] = 1.0
    weighting.on_gram_estimate(GramEstimate(np.diag([3.0, 1.0]), np.array([6.0, 2.0]), noise), lr=1.0)
    expected = np.exp([0.75 * 0.5 * 3 / 4, 0.75 * 0.5 / 4])  # a quarter of what tells 3 from 1 is noise
    np.testing.assert_allclose(weighting.weights, expected / expected.sum(), rtol=1e-12)
    assert weighting.diagnostics() == {
        "influences": [3.0, 1.0],
        "influence_errors": [1.0, 0.0],
        "influence_signal": 0.75,
    }


def test_an_average_is_part_of_the_state():
    rng, one, other = np.random.default_rng(0), GradientWeighting(3), GradientWeighting(3)
    for _ in range(3):
        one.on_gram_estimate(noisy(rng, np.ones((3, 20)))[0], lr=1.0)
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    estimate, _ = noisy(rng, np.ones((3, 20)))
    for weighting in (one, other):
        weighting.on_gram_estimate(estimate, lr=1.0)
    assert one.weights.tolist() == other.weights.tolist() and one.diagnostics() == other.diagnostics()
    old = {name: value for name, value in one.state_dict().items() if name in ("weights", "influences", "steps")}
    GradientWeighting(3).load_state_dict(old)  # of a version without averages
