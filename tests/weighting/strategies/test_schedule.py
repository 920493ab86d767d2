import numpy as np
import pytest

from paretune.weighting import ScheduleWeighting


def walk(weighting, steps):
    drawn = []
    for _ in range(steps):
        weighting.on_rewards(np.zeros((1, 2, 2)))
        drawn.append(weighting.weights.tolist())
    return drawn


def test_weights_go_in_straight_lines_from_the_preference_through_the_points():
    weighting = ScheduleWeighting([1, 0], points=[[4, 0, 1], [6, 2, 2]])
    assert weighting.weights.tolist() == [1.0, 0.0]
    assert walk(weighting, 8) == [[0.75, 0.25], [0.5, 0.5], [0.25, 0.75], [0, 1], [0.25, 0.75], *[[0.5, 0.5]] * 3]


def test_a_point_at_step_zero_replaces_the_preference():
    weighting = ScheduleWeighting([1, 0], points=[[0, 0, 1], [2, 1, 0]])
    assert weighting.weights.tolist() == [0.0, 1.0]
    assert walk(weighting, 3) == [[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]]


def test_points_one_step_apart_make_a_jump():
    weighting = ScheduleWeighting([1, 0], points=[[2, 1, 0], [3, 0, 1]])
    assert walk(weighting, 4) == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_objectives_are_learnt_in_the_order_of_the_schedule(train):
    weighting = ScheduleWeighting([1, 0], points=[[200, 1, 0], [201, 0, 1]])
    history = train(weighting, [[1.0, 0.0], [0.0, 1.0]], 600)
    assert history[200][0] > 0.95 and history[-1][1] > 0.95


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (None, r"points: must be a list of at least one point \[step, weights...\], got None"),
        ([], "points: must be a list of at least one point"),
        ([[1, 0.5]], r"points\[0\]: must have shape \(3\), got \(2,\)"),
        ([[1, 1, 0], [2, 0, 0]], r"points\[1\]: must be a step and non-negative weights with a positive sum"),
        ([[1, 2, -1]], r"points\[0\]: must be a step and non-negative weights"),
        ([[5, 1, 0], [5, 0, 1]], "points: must be points with ascending steps of at least 0"),
        ([[-1, 1, 0]], "points: must be points with ascending steps of at least 0"),
        ([[1, "a", 0]], r"points\[0\]: must be an array of numbers"),
    ],
)
def test_bad_points_are_named(points, message):
    with pytest.raises(ValueError, match=message):
        ScheduleWeighting(2, points=points)
