import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from paretune.weighting import ParetoArchive

numbers = st.one_of(st.floats(-0.5, 1.5), st.sampled_from([0.0, 0.25, 0.5, 0.5 + 1e-12, 0.5 - 1e-10, 1.0]))
point_lists = st.integers(1, 4).flatmap(
    lambda k: st.lists(st.tuples(*[numbers] * k), min_size=1, max_size=12).map(np.array)
)


def filled(points, reference=None):
    archive = ParetoArchive(len(points[0]) if reference is None else reference)
    for step, point in enumerate(points):
        archive.add(point, tag=step)
    return archive


def volume_by_inclusion_exclusion(points):
    """The union of the boxes [0, point], by brute force."""
    sides = np.maximum(points, 0)
    return sum(
        (-1) ** (size + 1) * np.prod(np.min(subset, axis=0))
        for size in range(1, len(sides) + 1)
        for subset in itertools.combinations(sides, size)
    )


def test_boxes_in_two_dimensions():
    archive = ParetoArchive(2)
    assert archive.hypervolume() == 0
    assert archive.gain([0.5, 0.25]) == 0.125
    assert archive.add([0.5, 0.25])
    # Two boxes of 1/8 that share a square of 1/16.
    assert archive.gain([0.25, 0.5]) == 0.0625
    assert archive.add([0.25, 0.5])
    assert archive.hypervolume() == 0.1875
    # A point above both: only its own box is left.
    assert archive.gain([0.5, 0.5]) == 0.0625
    assert archive.add([0.5, 0.5])
    assert archive.hypervolume() == 0.25
    assert len(archive) == 1


def test_boxes_in_three_dimensions():
    archive = filled([[1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0.5, 1]])
    # A cube of 1/8 in common, and three slabs of 1/8 on its faces.
    assert archive.hypervolume() == pytest.approx(0.5, abs=1e-15)


def test_a_margin_is_taken_off_before_the_gain_is_measured():
    archive = filled([[0.5, 0.5]])
    # Of [1, 0.75], the box of [0.75, 0.5] is left: 0.375 - 0.25.
    assert archive.gain([1.0, 0.75], margin=[0.25, 0.25]) == 0.125
    assert archive.gain([1.0, 0.75]) == archive.gain([1.0, 0.75], margin=[0.0, 0.0]) == 0.5
    assert archive.gain([0.75, 0.75], margin=[0.25, 0.25]) == 0  # just the member
    assert archive.gain([1.0, 0.25], margin=[0.25, 0.25]) == 0  # nothing of the second objective is left


def test_what_clears_the_margin_enters_as_it_was_measured():
    archive = ParetoArchive(2)
    assert archive.add([0.5, 0.5], tag=0, margin=[0.25, 0.25])  # the first always does
    assert not archive.add([0.75, 0.5], tag=1, margin=[0.25, 0.25])
    assert not archive.add([0.6, 0.6], tag=2, margin=[0.25, 0.25])
    assert archive.add([1.0, 0.5], tag=3, margin=[0.25, 0.25])
    assert archive.front.tolist() == [[1.0, 0.5]] and archive.tags == [3]
    assert archive.hypervolume() == 0.5


@pytest.mark.parametrize(
    ("margin", "rule"), [([0.1], "have shape"), ([0.1, -0.1], "be non-negative"), ([0.1, math.nan], "be finite")]
)
def test_a_bad_margin_is_named(margin, rule):
    archive = filled([[0.5, 0.5]])
    with pytest.raises(ValueError, match=f"margin: must {rule}"):
        archive.gain([1.0, 1.0], margin)
    with pytest.raises(ValueError, match=f"margin: must {rule}"):
        archive.add([1.0, 1.0], margin=margin)


def test_a_gain_in_three_dimensions():
    archive = filled([[1, 0.5, 0.5]])
    # Of the box of 0.5 * 1 * 0.5, the half with y < 0.5 is covered.
    assert archive.gain([0.5, 1, 0.5]) == pytest.approx(0.125, abs=1e-15)


def test_one_objective():
    archive = filled([[0.25], [0.5], [0.125]])
    assert archive.front.tolist() == [[0.5]]
    assert archive.hypervolume() == 0.5


def test_the_reference_moves_the_boxes():
    archive = ParetoArchive([-1.0, 0.5])
    assert archive.gain([0.0, 1.0]) == 0.5


def test_components_below_the_reference_gain_nothing():
    archive = filled([[0.5, 0.5]])
    assert archive.gain([0.9, -0.1]) == 0
    assert archive.add([0.9, -0.1])  # not dominated: a member without volume
    assert archive.hypervolume() == 0.25
    assert archive.gain([-1, -1]) == 0
    assert not archive.add([-1, -1])


def test_points_equal_up_to_rounding_are_not_new():
    archive = filled([[0.1 + 0.2, 0.5]])
    assert archive.gain([0.3, 0.5 + 1e-12]) == 0
    assert not archive.add([0.3, 0.5 + 1e-12])
    assert archive.add([0.3, 0.5 + 1e-6])


def test_tags_follow_the_sorted_front():
    archive = filled([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8], [0.6, 0.6]])
    assert archive.front.tolist() == [[0.2, 0.8], [0.6, 0.6], [0.9, 0.1]]
    assert archive.tags == [2, 3, 1]


def test_front_and_tags_are_copies():
    archive = filled([[0.5, 0.5]])
    archive.front[0] = 9
    archive.tags.append(9)
    assert archive.front.tolist() == [[0.5, 0.5]]
    assert archive.tags == [0]


@given(point_lists)
@example(np.array([[0.5, 0.5 - 1e-10], [0.5 - 1e-10, 0.5], [0.5, 0.5]]))
def test_members_are_distinct_and_not_dominated(points):
    front = filled(points).front
    for one, other in itertools.permutations(front, 2):
        assert not (one >= other).all()
        assert not np.allclose(one, other, rtol=0, atol=1e-10)


@given(point_lists)
def test_the_hypervolume_never_falls_and_grows_by_the_gain(points):
    archive = ParetoArchive(points.shape[1])
    for point in points:
        before, gain, size = archive.hypervolume(), archive.gain(point), len(archive)
        entered = archive.add(point)
        assert archive.hypervolume() >= before
        assert archive.hypervolume() - before == pytest.approx(gain, abs=1e-14)
        assert gain >= 0
        assert entered or (gain == 0 and len(archive) == size)


@given(point_lists, st.randoms())
def test_the_hypervolume_depends_on_the_points_alone(points, random):
    shuffled = random.sample(list(points), len(points))
    assert filled(shuffled).hypervolume() == pytest.approx(filled(points).hypervolume(), abs=1e-8)


@given(point_lists)
def test_the_hypervolume_is_that_of_all_points(points):
    assert filled(points).hypervolume() == pytest.approx(volume_by_inclusion_exclusion(points[:12]), abs=1e-8)


@given(point_lists, st.randoms())
def test_permuting_objectives_permutes_the_front(points, random):
    order = random.sample(range(points.shape[1]), points.shape[1])
    permuted, plain = filled(points[:, order]), filled(points)
    assert sorted(permuted.front.tolist()) == sorted(plain.front[:, order].tolist())
    assert permuted.hypervolume() == pytest.approx(plain.hypervolume(), abs=1e-12)


@given(point_lists)
def test_a_saved_archive_is_the_same_after_json(points):
    archive = filled(points)
    state = archive.state_dict()
    copy = ParetoArchive(np.ones(points.shape[1]))
    copy.load_state_dict(json.loads(json.dumps(state)))
    assert copy.state_dict() == state
    probe = points.mean(axis=0)
    assert copy.gain(probe) == archive.gain(probe)


def test_an_empty_archive_can_be_saved():
    copy = ParetoArchive(3)
    copy.load_state_dict(json.loads(json.dumps(ParetoArchive(3).state_dict())))
    assert copy.front.shape == (0, 3)
    assert copy.add([0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("performance", "message"),
    [
        ([0.5], r"performance: must have shape \(2\), got \(1,\)"),
        ([0.5, math.nan], r"performance: must be finite, got nan at position \(1,\)"),
        ([1e200, 1e200], r"performance: must be small enough for a finite hypervolume"),
    ],
)
def test_a_bad_performance_is_named_and_changes_nothing(performance, message):
    archive = filled([[0.5, 0.5]])
    state = archive.state_dict()
    for method in (archive.add, archive.gain):
        with pytest.raises(ValueError, match=message):
            method(performance)
    assert archive.state_dict() == state


@pytest.mark.parametrize("reference", [0, [], [[0.0, 0.0]], [math.inf, 0.0], "zero"])
def test_a_bad_reference_is_named(reference):
    with pytest.raises(ValueError, match="reference: must"):
        ParetoArchive(reference)
