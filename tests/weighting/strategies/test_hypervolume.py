import json
import math

import numpy as np
import pytest

from paretune.weighting import HypervolumeWeighting
from paretune.weighting.strategies.hypervolume import meta_reward

TYPICAL = 0.5 + 1.5 * math.tanh(1)


@pytest.mark.parametrize(
    ("gain", "scale", "expected"),
    [(0.0, 1.0, 0.5), (1.0, 1.0, 1.642391), (0.5, 1.0, 1.193176), (0.01, 0.01, 1.642391), (30.0, 1.0, 2.0)],
)
def test_the_curve_of_the_meta_reward(gain, scale, expected):
    assert meta_reward(gain, scale) == pytest.approx(expected, abs=1e-6)


def test_the_untrained_policy_starts_the_archive_and_nothing_else():
    weighting = HypervolumeWeighting([0.5, 0.25, 0.25])
    nothing = {"meta_reward": 1.0, "gain": 0.0, "measured_gain": 0.0}
    assert weighting.diagnostics() == nothing
    weighting.on_validation([0.5, 0.5, 0.5])
    assert weighting.weights.tolist() == [0.5, 0.25, 0.25]
    assert weighting.diagnostics() == nothing
    assert weighting.archive.hypervolume() == 0.125


def test_a_step_uses_the_validation_before_it():
    weighting = HypervolumeWeighting(2, gain_scale=0.125)
    weighting.on_validation([0.5, 0.5])
    used = []
    for performance in ([0.75, 0.5], [0.75, 0.5], [0.5, 0.5]):
        used.append(weighting.scale)  # the training step reads the weights; its validation comes after it
        weighting.on_rewards(np.zeros((2, 4, 2)))
        weighting.on_validation(performance)
    assert used == pytest.approx([1.0, TYPICAL, 0.5])
    assert weighting.scale == 0.5


def test_the_gain_is_that_of_a_hand_computed_box():
    weighting = HypervolumeWeighting(2, gain_scale=1.0)
    weighting.on_validation([0.5, 0.25])
    weighting.on_validation([0.25, 0.5])
    assert weighting.diagnostics()["gain"] == 0.0625
    assert weighting.scale == pytest.approx(0.5 + 1.5 * math.tanh(0.0625))
    np.testing.assert_allclose(weighting.direction, [0.5, 0.5])


def test_the_adaptive_scale_is_the_mean_of_the_positive_gains():
    weighting = HypervolumeWeighting(1)
    scales = []
    for performance in ([0.5], [0.6], [0.6], [0.9], [1.0]):
        weighting.on_validation(performance)
        scales.append(weighting.scale)
    # Gains 0.1, 0, 0.3, 0.1; running means of the positive ones 0.1, 0.1, 0.2, 0.5/3.
    assert scales == pytest.approx([1.0, TYPICAL, 0.5, 0.5 + 1.5 * math.tanh(1.5), 0.5 + 1.5 * math.tanh(0.6)])


def test_the_adaptive_scale_does_not_depend_on_the_units():
    small, large = HypervolumeWeighting(2), HypervolumeWeighting(2)
    for performance in np.random.default_rng(0).random((20, 2)):
        small.on_validation(performance / 1000)
        large.on_validation(performance * 1000)
        assert small.scale == pytest.approx(large.scale)


def test_on_raw_units_the_papers_scale_is_a_switch():
    weighting = HypervolumeWeighting(2, exact_paper=True)
    scales = []
    for performance in ([0.5, 500.0], [0.6, 520.0], [0.55, 510.0], [0.7, 600.0]):
        weighting.on_validation(performance)
        scales.append(weighting.scale)
    assert scales == pytest.approx([1.0, 2.0, 0.5, 2.0])


def test_exact_paper_has_scale_one_and_the_published_order():
    weighting = HypervolumeWeighting(2, exact_paper=True)
    assert weighting.scale_rewards
    assert not HypervolumeWeighting(2).scale_rewards
    weighting.on_validation([0.5, 0.5])
    weighting.on_validation([1.0, 1.0])
    assert weighting.scale == pytest.approx(meta_reward(0.75, 1.0))


def test_a_gain_is_what_is_left_of_it_a_standard_error_lower():
    weighting = HypervolumeWeighting(2, gain_errors=2.0, gain_scale=1.0)
    assert weighting.reads_errors
    weighting.on_validation([0.5, 0.5], [0.125, 0.125])
    weighting.on_validation([1.0, 0.75], [0.125, 0.125])
    # 2 * 0.125 less is [0.75, 0.5], whose box is 0.375 and that of [0.5, 0.5] is 0.25; as measured it is 0.75.
    assert weighting.diagnostics() == {"meta_reward": meta_reward(0.125, 1.0), "gain": 0.125, "measured_gain": 0.5}
    weighting.on_validation([1.0, 0.875], [0.125, 0.125])  # by half a standard error
    assert weighting.diagnostics() == {"meta_reward": 0.5, "gain": 0.0, "measured_gain": 0.125}
    assert weighting.archive.front.tolist() == [[1.0, 0.75]]


def test_small_gains_add_up_to_one_that_counts():
    weighting = HypervolumeWeighting(1, gain_errors=1.0)
    scales = []
    for performance in (0.5, 0.53, 0.56, 0.59):
        weighting.on_validation([performance], [0.05])
        scales.append(weighting.scale)
    assert scales == pytest.approx([1.0, 0.5, TYPICAL, 0.5])


@pytest.mark.parametrize("options", [{"exact_paper": True}, {"gain_errors": 0.0}])
def test_gains_as_measured_take_no_notice_of_standard_errors(options):
    told, untold = HypervolumeWeighting(2, **options), HypervolumeWeighting(2, **options)
    assert not told.reads_errors
    for performance in np.random.default_rng(2).random((20, 2)):
        told.on_validation(performance, [0.1, 0.1])
        untold.on_validation(performance)
        assert told.weights.tolist() == untold.weights.tolist()
    assert told.archive.state_dict() == untold.archive.state_dict()


def test_without_standard_errors_gains_are_as_measured():
    ours, measured = HypervolumeWeighting(2), HypervolumeWeighting(2, gain_errors=0.0)
    for performance in np.random.default_rng(3).random((20, 2)):
        ours.on_validation(performance)
        measured.on_validation(performance)
        assert ours.state_dict() == measured.state_dict()


def test_a_state_from_before_there_were_standard_errors_is_loaded():
    weighting = HypervolumeWeighting(2)
    for performance in ([0.5, 0.5], [0.75, 0.5]):
        weighting.on_validation(performance)
    state = weighting.state_dict()
    del state["measured_gain"]
    again = HypervolumeWeighting(2)
    again.load_state_dict(state)
    assert again.state_dict() == weighting.state_dict()


def test_only_validation_is_needed():
    weighting = HypervolumeWeighting(2)
    assert weighting.needs_validation
    assert not weighting.needs_gram


def test_performance_below_the_reference_gains_nothing():
    weighting = HypervolumeWeighting(2, reference=[0.5, 0.5])
    weighting.on_validation([0.75, 0.75])
    weighting.on_validation([1.0, 0.25])
    assert weighting.scale == 0.5
    assert weighting.options()["reference"] == [0.5, 0.5]


def test_gains_of_any_size_give_a_finite_meta_reward():
    weighting = HypervolumeWeighting(1)
    for performance in (0.0, 5e-324, 1e-300, 1.0, 1e300, 1.7e308):
        weighting.on_validation([performance])
        assert 0.5 <= weighting.scale <= 2
    tiny_scale = HypervolumeWeighting(1, gain_scale=5e-324)
    tiny_scale.on_validation([0.0])
    tiny_scale.on_validation([1.0])
    assert tiny_scale.scale == 2


def test_a_run_continues_where_it_was_saved():
    performances = np.random.default_rng(1).random((30, 3))
    whole = HypervolumeWeighting([3, 2, 1])
    half = HypervolumeWeighting([3, 2, 1])
    errors = np.random.default_rng(2).random((30, 3)) / 10
    for performance, error in zip(performances[:15], errors[:15], strict=True):
        whole.on_validation(performance, error)
        half.on_validation(performance, error)
    resumed = HypervolumeWeighting(**half.options())
    resumed.load_state_dict(json.loads(json.dumps(half.state_dict())))
    assert resumed.weights.tolist() == whole.weights.tolist()
    for performance, error in zip(performances[15:], errors[15:], strict=True):
        whole.on_validation(performance, error)
        resumed.on_validation(performance, error)
        assert resumed.weights.tolist() == whole.weights.tolist()
        assert resumed.diagnostics() == whole.diagnostics()


@pytest.mark.parametrize("performance", [[0.5], [0.5, math.nan], 0.5])
def test_a_bad_performance_is_named(performance):
    with pytest.raises(ValueError, match="performance: must"):
        HypervolumeWeighting(2).on_validation(performance)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gain_scale": 0.0}, "gain_scale: must be None or a number above 0, got 0.0"),
        ({"gain_scale": math.nan}, "gain_scale: must be None or a number above 0, got nan"),
        ({"gain_scale": 0.1, "exact_paper": True}, "gain_scale: must be None or 1 with exact_paper=True, got 0.1"),
        ({"gain_errors": -1.0}, "gain_errors: must be None or a number of at least 0, got -1.0"),
        ({"gain_errors": 1.0, "exact_paper": True}, "gain_errors: must be None or 0 with exact_paper=True, got 1.0"),
        ({"reference": [0.0]}, r"reference: must be of length 2, as the preference, got \[0.0\]"),
        ({"reference": [0.0, math.inf]}, "reference: must be finite"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        HypervolumeWeighting(2, **options)
