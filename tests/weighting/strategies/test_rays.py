import numpy as np
import pytest

from paretune.weighting import FixedWeighting, ParetoArchive, RaySweepWeighting
from paretune.weighting.strategies.rays import ray_at, weights_towards

NOTHING = np.zeros((1, 2, 2))
CONCAVE = [[1.0, 0.0], [0.0, 1.0], [0.35, 0.35]]


def walk(weighting, steps, rewards=NOTHING):
    rays = []
    for _ in range(steps):
        weighting.on_rewards(rewards)
        rays.append(weighting.ray.tolist())
    return rays


def smooth_least(heights, ray, mu):
    return -mu * np.log(np.exp(-heights / ray / mu).sum())


def test_weights_are_the_gradient_of_how_far_the_box_reaches_along_the_ray():
    ray, heights, mu = np.array([0.5, 0.3, 0.2]), np.array([0.3, 0.2, 0.1]), 0.1
    slopes = []
    for step in np.eye(3) * 1e-6:
        slopes.append((smooth_least(heights + step, ray, mu) - smooth_least(heights - step, ray, mu)) / 2e-6)
    np.testing.assert_allclose(weights_towards(ray, heights, mu), np.array(slopes) / np.sum(slopes), rtol=1e-6)


def test_below_the_ray_one_objective_counts_and_on_it_all():
    ray = np.array([0.75, 0.25])
    np.testing.assert_allclose(weights_towards(ray, np.array([0.3, 0.3]), 0.01), [1, 0], atol=1e-12)
    np.testing.assert_allclose(weights_towards(ray, np.array([0.3, 0.1]), 0.01), [0.25, 0.75], rtol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_rays_are_on_the_simplex_and_centred(k):
    rays = np.array([ray_at(n, k, 0.5) for n in range(2000)])
    assert (rays >= 0).all()
    np.testing.assert_allclose(rays.sum(axis=1), 1)
    np.testing.assert_allclose(rays.mean(axis=0), 1 / k, atol=0.005)


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_no_direction_stays_far_from_all_rays(offset):
    firsts = np.sort([ray_at(n, 2, offset)[0] for n in range(50)])
    assert np.diff(firsts, prepend=0.0, append=1.0).max() < 0.05
    rays = np.array([ray_at(n, 3, offset) for n in range(200)])
    points = np.random.default_rng(0).dirichlet(np.ones(3), 500)
    distances = np.abs(points[:, None] - rays[None]).max(axis=2).min(axis=1)
    assert distances.max() < 0.15


def test_a_ray_holds_for_some_steps_and_the_first_is_the_preference():
    rays = walk(RaySweepWeighting([3, 1], every=3), 7)
    assert rays[0] == rays[1] == rays[2] == [0.75, 0.25]
    assert rays[2] != rays[3] == rays[4] == rays[5] != rays[6]


def test_the_preference_stretches_the_rays():
    even, stretched = RaySweepWeighting(2, every=1), RaySweepWeighting([3, 1], every=1)
    for plain, ray in zip(walk(even, 20), walk(stretched, 20), strict=True):
        np.testing.assert_allclose(ray, np.array(plain) * [3, 1] / (np.array(plain) @ [3, 1]))


def test_no_preference_is_no_weight():
    weighting = RaySweepWeighting([1, 0, 1], every=1)
    for _ in range(20):
        weighting.on_rewards([[[0.5, 0.0, 0.4], [0.3, 0.1, 0.2]]])
        assert weighting.weights[1] == weighting.ray[1] == 0
    only = RaySweepWeighting([0, 1], every=1)
    walk(only, 3, [[[0.5, 0.5]]])
    assert only.weights.tolist() == [0.0, 1.0]


def test_units_do_not_change_what_is_aimed_at():
    """An objective in units ten times as large has a gradient ten times as long, and a tenth of the weight."""
    plain, scaled = RaySweepWeighting(2, every=1), RaySweepWeighting(2, every=1, reference=[0.0, -10.0])
    for first, second in [(0.2, 0.4), (0.5, 0.3), (0.4, 0.35)]:
        plain.on_rewards([[[first, second]]])
        scaled.on_rewards([[[first, 10 * second - 10]]])
        counted = scaled.weights * [1, 10]
        np.testing.assert_allclose(counted / counted.sum(), plain.weights)


def test_an_objective_below_the_reference_comes_first():
    weighting = RaySweepWeighting(2, mu=0.01, reference=[0.5, 0.5])
    weighting.on_rewards([[[0.6, 0.3]]])
    np.testing.assert_allclose(weighting.weights, [0, 1], atol=1e-12)


def test_the_performance_is_a_moving_average_of_rewards_or_the_last_validation():
    weighting = RaySweepWeighting(2, decay=0.5, source="rewards")
    weighting.on_rewards([[[1.0, 0.5]]])
    weighting.on_validation([0.0, 9.0])
    weighting.on_rewards([[[0.0, 0.5]]])
    np.testing.assert_allclose(weighting.weights, weights_by_hand([0.5, 0.5], best=[1.0, 0.5]))
    weighting = RaySweepWeighting(2, source="validation")
    weighting.on_validation([1.0, 0.5])
    weighting.on_validation([0.5, 0.5])
    weighting.on_rewards([[[9.0, 9.0]]])
    np.testing.assert_allclose(weighting.weights, weights_by_hand([0.5, 0.5], best=[1.0, 0.5]))


def weights_by_hand(performance, best, ray=0.5, mu=0.1):
    along = np.array(performance) / np.array(best) / ray
    raw = np.exp(-along / mu) / np.array(best)
    return raw / raw.sum()


def test_one_run_covers_a_concave_front_that_fixed_weights_do_not(train):
    """Half of the best area is above the middle point: 2 * 0.5 * 0.5 = 0.5 with mixtures on the line."""

    def covered(weighting):
        archive = ParetoArchive(2)
        for performance in train(weighting, CONCAVE, 600, lr=2.0):
            archive.add(performance)
        return archive.hypervolume()

    swept = covered(RaySweepWeighting(2, every=20))
    fixed = [covered(FixedWeighting([w, 1 - w])) for w in (0.2, 0.4, 0.5, 0.6, 0.8)]
    assert swept > 1.2 * max(fixed)


def test_a_run_continues_where_it_was_saved():
    rewards = [[[0.4, 0.8], [0.2, 0.6]]]
    whole, half, rest = (RaySweepWeighting(2, every=2) for _ in range(3))
    expected = walk(whole, 8, rewards)
    walk(half, 3, rewards)
    rest.load_state_dict(half.state_dict())
    assert rest.weights.tolist() == half.weights.tolist()
    assert walk(rest, 5, rewards) == expected[3:]
    assert rest.weights.tolist() == whole.weights.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "every: must be a whole number of at least 1, got 0"),
        ({"mu": 0.0}, "mu: must be a number above 0, got 0.0"),
        ({"offset": 1.0}, r"offset: must be in \[0, 1\), got 1.0"),
        ({"decay": 1.0}, r"decay: must be in \[0, 1\), got 1.0"),
        ({"source": "dreams"}, "unknown source 'dreams': did you mean 'rewards'"),
        ({"reference": [0.0]}, r"reference: must have shape \(2\), got \(1,\)"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        RaySweepWeighting(2, **options)
