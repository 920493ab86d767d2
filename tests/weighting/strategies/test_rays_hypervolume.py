import numpy as np
import pytest

from paretune.weighting import HypervolumeGradientWeighting, RaysHypervolumeWeighting, RaySweepWeighting

REWARDS = [[[0.5, 0.25], [0.25, 0.25]]]


def observed(weighting, steps=25):
    for step in range(steps):
        weighting.on_rewards(REWARDS)
        if step % 5 == 0:
            weighting.on_validation([0.4 + step / 100, 0.3])
    return weighting


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_weights_are_the_mean_of_both_directions(share):
    mixed = observed(RaysHypervolumeWeighting([0.7, 0.3], share=share, every=4, reference=[-0.5, 0.0]))
    rays = observed(RaySweepWeighting([0.7, 0.3], every=4, reference=[-0.5, 0.0]))
    climb = observed(HypervolumeGradientWeighting([0.7, 0.3], reference=[-0.5, 0.0]))
    np.testing.assert_array_equal(mixed.weights, (1 - share) * rays.weights + share * climb.weights)
    assert mixed.diagnostics()["ray"] == rays.ray.tolist()


def test_both_can_read_validations_and_one_reads_their_standard_errors():
    mixed = RaysHypervolumeWeighting(2, source="validation", lead_errors=1.0)
    rays, climb = RaySweepWeighting(2, source="validation"), HypervolumeGradientWeighting(2, lead_errors=1.0)
    assert mixed.reads_errors and not RaysHypervolumeWeighting(2, lead_errors=0.0).reads_errors
    for performance in ([1.0, 0.25], [0.5, 0.5]):
        for weighting in (mixed, rays, climb):
            weighting.on_rewards(REWARDS)
            weighting.on_validation(performance, [0.25, 0.125])
    np.testing.assert_array_equal(mixed.weights, 0.5 * rays.weights + 0.5 * climb.weights)


def test_it_starts_at_the_preference():
    assert RaysHypervolumeWeighting([3, 1]).weights.tolist() == [0.75, 0.25]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 1.5}, "share: must be from 0 to 1, got 1.5"),
        ({"every": 0}, "every: must be a whole number of at least 1"),
        ({"mu": 0}, "mu: must be a number above 0"),
        ({"reference": [0.0]}, "reference: must have shape"),
    ],
)
def test_options_that_break_a_rule_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        RaysHypervolumeWeighting(2, **options)
