import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretune.weighting import FixedWeighting, HypervolumeGradientWeighting
from paretune.weighting.archive import hypervolume
from paretune.weighting.gram_estimate import GramEstimate
from paretune.weighting.strategies.hypervolume_gradient import ascent_direction, hypervolume_gradient

eighths = st.integers(0, 8).map(lambda n: n / 8)


def shapes(draw):
    k = draw.draw(st.integers(1, 4))
    members = draw.draw(arrays(np.float64, (draw.draw(st.integers(0, 5)), k), elements=eighths))
    return members, draw.draw(arrays(np.float64, k, elements=eighths))


@given(data=st.data())
def test_the_gradient_is_the_difference_quotient_up_to_the_next_kink(data):
    members, point = shapes(data)
    reference, step = np.full(len(point), data.draw(st.sampled_from([-0.1, 0.0, 0.25]))), 1 / 32
    gradient = hypervolume_gradient(members, point, reference)
    volume = hypervolume(np.vstack([members, point]), reference)
    for k in range(len(point)):  # kinks are at eighths only: the hypervolume is linear on the way
        raised = hypervolume(np.vstack([members, point + step * np.eye(len(point))[k]]), reference)
        assert gradient[k] == pytest.approx((raised - volume) / step, abs=1e-9)


def test_hand_computed_gradient_in_three_dimensions():
    members = np.array([[1.0, 0.25, 0.5], [0.25, 1.0, 1.0]])
    # Faces of the cube of side 0.5; only the first member reaches beyond x_1, only the second beyond x_2 and x_3.
    np.testing.assert_allclose(
        hypervolume_gradient(members, np.full(3, 0.5), np.zeros(3)), [0.25 - 0.25 * 0.5, 0.25 - 0.125, 0.25 - 0.125]
    )


def test_alone_the_weights_are_inverse_to_the_performance():
    weighting = HypervolumeGradientWeighting(3, reference=[-1.0, 0.0, 0.0])
    weighting.on_validation([0.0, 0.5, 0.25])  # sides 1, 0.5, 0.25
    np.testing.assert_allclose(weighting.weights, np.array([1, 2, 4]) / 7)


@given(data=st.data())
def test_the_direction_is_the_gradient_wherever_that_is_not_zero(data):
    members, point = shapes(data)
    reference = np.full(len(point), -0.125)
    gradient = hypervolume_gradient(members, point, reference)
    dominated = ((members >= point).all(axis=1) & (members > point).any(axis=1)).any()
    direction = ascent_direction(members, point, reference, np.full(len(point), 1 / len(point)))
    assert (direction >= 0).all() and direction.sum() == pytest.approx(1)
    if not dominated:
        assert gradient.sum() > 0
        np.testing.assert_allclose(direction, gradient / gradient.sum(), atol=1e-9)


def test_members_that_dominate_are_left_out():
    members, point = np.array([[0.75, 0.75], [1.0, 0.25]]), np.array([0.5, 0.5])
    assert hypervolume_gradient(members, point, np.zeros(2)).tolist() == [0.0, 0.0]
    # Without the first member, face 1 is open above 0.25: lengths 0.25 and 0.5.
    np.testing.assert_allclose(ascent_direction(members, point, np.zeros(2), np.full(2, 0.5)), [1 / 3, 2 / 3])


@pytest.mark.parametrize("low", [-0.5, 0.0])
def test_below_the_reference_only_what_is_missing_counts(low):
    weighting = HypervolumeGradientWeighting([3, 1, 4])
    weighting.on_validation([low, low, 0.9])
    assert weighting.weights.tolist() == [0.75, 0.25, 0.0]
    weighting.on_validation([low, 0.1, 0.9])
    assert weighting.weights.tolist() == [1.0, 0.0, 0.0]


def test_the_policy_of_before_does_not_stand_in_its_own_way():
    weighting = HypervolumeGradientWeighting(2)
    for _ in range(2):
        weighting.on_validation([0.75, 0.25])
        np.testing.assert_allclose(weighting.weights, [0.25, 0.75])
    assert len(weighting.archive) == 1


@pytest.mark.parametrize(
    # The member [1, 1/4] covers half of the face of the first objective. Set back by 1 and 2 times [1/4, 1/8] it covers
    # a quarter and nothing.
    ("lead_errors", "weights"),
    [(0.0, [1 / 3, 2 / 3]), (1.0, [3 / 7, 4 / 7]), (2.0, [1 / 2, 1 / 2])],
)
def test_members_cover_what_they_do_some_standard_errors_back(lead_errors, weights):
    weighting = HypervolumeGradientWeighting(2, lead_errors=lead_errors)
    assert weighting.reads_errors == (lead_errors > 0)
    weighting.on_validation([1.0, 0.25], [0.25, 0.125])
    weighting.on_validation([0.5, 0.5], [0.25, 0.125])
    np.testing.assert_allclose(weighting.weights, weights, rtol=1e-15)
    assert weighting.archive.front.tolist() == [[0.5, 0.5], [1.0, 0.25]]  # as measured


def test_without_standard_errors_members_are_as_measured():
    told, untold = HypervolumeGradientWeighting(2), HypervolumeGradientWeighting(2, lead_errors=0.0)
    for performance in np.random.default_rng(0).random((20, 2)):
        told.on_validation(performance)
        untold.on_validation(performance, [0.1, 0.1])
        assert told.state_dict() == untold.state_dict()


@pytest.mark.parametrize(
    ("error", "message"),
    [([0.1], "must have shape"), ([0.1, -0.1], "must be non-neg"), ([0.1, math.inf], "finite")],
)
def test_a_bad_standard_error_is_named(error, message):
    with pytest.raises(ValueError, match=f"standard_error: .*{message}"):
        HypervolumeGradientWeighting(2).on_validation([0.5, 0.5], error)


def test_the_floor_holds():
    weighting = HypervolumeGradientWeighting(2, floor=0.3)
    weighting.on_validation([0.9, 0.1])
    np.testing.assert_allclose(weighting.weights, [0.3, 0.7])


def test_the_gram_form_by_hand():
    weighting = HypervolumeGradientWeighting(2, form="gram", rate=0.625)
    weighting.on_validation([0.75, 0.25])
    assert weighting.weights.tolist() == [0.5, 0.5]
    weighting.on_gradients([[2.0, -1.0], [-1.0, 1.0]], lr=1.0)
    # h = (1/4, 3/4), I = M h = (-1/4, 1/2), mean of h_j M_jj = 0.625.
    assert math.log(weighting.weights[1] / weighting.weights[0]) == pytest.approx(0.75)
    assert weighting.diagnostics()["influences"] == pytest.approx([-0.25, 0.5])
    assert weighting.diagnostics()["hypervolume_direction"] == pytest.approx([0.25, 0.75])


def test_influences_are_the_growth_of_the_hypervolume_by_each_gradient():
    rng = np.random.default_rng(0)
    members, point, gradients = rng.random((4, 3)), rng.random(3) + 0.5, rng.normal(size=(3, 7))
    h, step = hypervolume_gradient(members, point, np.zeros(3)), 1e-6
    volume = hypervolume(np.vstack([members, point]), np.zeros(3))
    for k in range(3):  # one step along g_k changes the performance by step * G g_k
        moved = point + step * gradients @ gradients[k]
        growth = hypervolume(np.vstack([members, moved]), np.zeros(3)) - volume
        assert growth / step == pytest.approx((gradients @ gradients.T @ h)[k], rel=1e-3)


def test_gradients_matter_to_the_gram_form_only():
    plain = HypervolumeGradientWeighting(2)
    plain.on_gradients([[1.0, 0.0], [0.0, 0.0]], lr=1.0)
    assert plain.weights.tolist() == [0.5, 0.5] and not plain.needs_gram
    gram = HypervolumeGradientWeighting(2, form="gram", every=2)
    needed = []
    for _ in range(4):
        gram.on_rewards(np.zeros((1, 1, 2)))
        needed.append(gram.needs_gram)
    assert needed == [True, False, True, False] and gram.needs_validation


@pytest.mark.parametrize("options", [{}, {"form": "gram", "rate": 0.1}])
def test_the_hypervolume_grows_more_than_with_fixed_weights(train, options):
    actions, start = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.6], [0.1, 0.1]], [2.0, 0.0, 0.0, 0.0]
    volumes = []
    for weighting in (HypervolumeGradientWeighting(2, **options), FixedWeighting([0.7, 0.3])):
        volumes.append(hypervolume(train(weighting, actions, 150, start=start), np.zeros(2)))
    assert volumes[0] > volumes[1] + 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"form": "other"}, r"unknown form 'other'\. Known: 'validation', 'gram'"),
        ({"reference": [0.0]}, r"reference: must have shape \(2\)"),
        ({"floor": 0.5}, r"floor: must be in \[0, 1/K\) with K = 2, got 0.5"),
        ({"rate": 0.0}, "rate: must be a number above 0"),
        ({"prior": 2.0}, r"prior: must be in \[0, 1\]"),
        ({"every": 0}, "every: must be a whole number"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        HypervolumeGradientWeighting(2, **options)


def test_an_estimate_is_averaged_before_the_direction_weighs_it():
    noise = np.zeros((2, 2, 2, 2, 2))
    first, second = (GramEstimate(np.diag(d), np.array([4.0, 4.0]), noise) for d in ([2.0, 4.0], [6.0, 4.0]))
    weighting = HypervolumeGradientWeighting(2, form="gram", gram_average=0.5, shrink=False, rate=0.5)
    weighting.on_gram_estimate(first, lr=1.0)
    weighting.on_validation([0.75, 0.25])  # h is (1, 3) / 4
    weighting.on_gram_estimate(second, lr=1.0)
    mean = (np.array([2.0, 4.0]) + 2 * np.array([6.0, 4.0])) / 3
    assert weighting.diagnostics()["influences"] == pytest.approx((mean * [0.25, 0.75]).tolist())
    assert weighting.diagnostics()["influence_errors"] == [0.0, 0.0]
    other = HypervolumeGradientWeighting(2, form="gram", gram_average=0.5, shrink=False, rate=0.5)
    other.load_state_dict(json.loads(json.dumps(weighting.state_dict())))
    for one in (weighting, other):
        one.on_gram_estimate(first, lr=1.0)
    assert one.weights.tolist() == weighting.weights.tolist()
