import numpy as np
import pytest

from paretune.weighting import RandomWeighting

REWARDS = np.zeros((2, 4, 3))


def walk(weighting, steps):
    drawn = []
    for _ in range(steps):
        weighting.on_rewards(REWARDS)
        drawn.append(weighting.weights.tolist())
    return drawn


def test_the_seed_decides():
    first = walk(RandomWeighting(3, seed=1), 5)
    assert walk(RandomWeighting(3, seed=1), 5) == first
    assert walk(RandomWeighting(3, seed=2), 5) != first


def test_weights_are_drawn_every_few_steps():
    drawn = walk(RandomWeighting(3, every=3), 7)
    assert drawn[0] == drawn[1] == drawn[2] != drawn[3]
    assert drawn[3] == drawn[5] != drawn[6]


def test_the_mean_is_the_preference_and_concentration_the_spread():
    wide, narrow = (np.array(walk(RandomWeighting([2, 1, 1], concentration=c), 2000)) for c in (1.0, 100.0))
    for drawn, concentration in ((wide, 3), (narrow, 300)):
        np.testing.assert_allclose(drawn.mean(axis=0), [0.5, 0.25, 0.25], atol=0.02)
        assert drawn[:, 0].var() == pytest.approx(0.25 / (concentration + 1), rel=0.1)  # of a beta distribution


def test_equal_preferences_reach_the_whole_simplex():
    drawn = np.array(walk(RandomWeighting(3), 1000))
    assert drawn.min() < 0.01 and drawn.max() > 0.95


def test_no_preference_is_no_weight():
    assert np.array(walk(RandomWeighting([1, 0, 1]), 20))[:, 1].max() == 0


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_run_continues_where_it_was_saved(at):
    whole = walk(RandomWeighting(3, every=2), 8)
    half, rest = RandomWeighting(3, every=2), RandomWeighting(3, every=2)
    walk(half, at)
    rest.load_state_dict(half.state_dict())
    assert rest.weights.tolist() == whole[at - 1]
    assert walk(rest, 8 - at) == whole[at:]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concentration": 0.0}, r"concentration: must be in \[0.001, 1e6\], got 0.0"),
        ({"every": 0}, "every: must be a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed: must be a whole number of at least 0, got -1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        RandomWeighting(3, **options)
