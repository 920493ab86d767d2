"""Preferences of a sweep: evenly spread, and halfway across gaps."""

from __future__ import annotations

import numpy as np
import pytest

from paretune.agents.sweeps.preferences import even_preferences, next_preference


@pytest.mark.parametrize(("objectives", "number"), [(1, 3), (2, 1), (2, 2), (2, 9), (3, 2), (3, 10), (5, 12)])
def test_even_preferences_are_preferences(objectives, number):
    preferences = even_preferences(objectives, number)
    assert preferences.shape == (number, objectives)
    assert (preferences >= 0).all() and np.allclose(preferences.sum(axis=1), 1)
    np.testing.assert_array_equal(preferences, even_preferences(objectives, number))


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_even_preferences_hold_the_corners_and_keep_apart(objectives):
    preferences = even_preferences(objectives, 10)
    for corner in np.eye(objectives):
        assert np.abs(preferences - corner).sum(axis=1).min() < 1e-3
    distances = np.linalg.norm(preferences[:, None] - preferences, axis=2) + 9 * np.eye(10)
    assert distances.min() > 0.1


def test_a_single_preference_is_balanced():
    assert even_preferences(4, 1).tolist() == [[0.25] * 4]


def test_numbers_that_are_too_small_are_refused():
    with pytest.raises(ValueError, match="preferences: must be at least 1"):
        even_preferences(2, 0)


def test_the_widest_gap_is_halved():
    preferences = [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    assert next_preference(preferences, [[0, 1], [0.1, 0.9], [1, 0]]).tolist() == [0.75, 0.25]
    assert next_preference(preferences, [[0, 1], [0.8, 0.2], [1, 0]]).tolist() == [0.25, 0.75]
    # in units of each objective's range: the second one's gap is the wider
    assert next_preference(preferences, [[0, 100], [60, 99], [100, 0]]).tolist() == [0.75, 0.25]


def test_only_neighbours_have_a_gap_between_them():
    preferences = np.array([[0.0, 1.0], [0.2, 0.8], [1.0, 0.0]])
    # the ends are farthest apart, but there is a preference between them
    assert next_preference(preferences, [[0, 1], [0.5, 0.5], [1, 0]]).tolist() in ([0.1, 0.9], [0.6, 0.4])


def test_without_a_gap_there_is_no_preference():
    assert next_preference([[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]) is None
    assert next_preference([[0.5, 0.5]], [[0.5, 0.5]]) is None


def test_repeated_refinement_spreads_in_three_objectives():
    preferences = even_preferences(3, 3)
    for _ in range(20):
        preferences = np.vstack([preferences, next_preference(preferences, preferences)])
    assert len(np.unique(preferences.round(9), axis=0)) == 23
    # the next halves of a triangle's halves: both edges and the inside are reached
    assert [0.25, 0.25, 0.5] in preferences.tolist() and [0.0, 0.375, 0.625] in preferences.tolist()
