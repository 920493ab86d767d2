import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.weighting import resolve_preference
from paretune.weighting.inputs import finite_array

preferences = st.lists(st.floats(0, allow_infinity=False, allow_subnormal=True), min_size=1, max_size=6).filter(any)


def test_a_preference_is_normalised():
    assert resolve_preference([2, 1, 1]) == (0.5, 0.25, 0.25)
    assert resolve_preference(np.array([0.0, 3.0])) == (0.0, 1.0)


@pytest.mark.parametrize("number", [4, np.int64(4)])
def test_a_number_means_equal_weights(number):
    assert resolve_preference(number) == (0.25, 0.25, 0.25, 0.25)


@given(preferences)
def test_normalising_keeps_ratios_and_twice_is_once(preference):
    resolved = resolve_preference(preference)
    assert math.fsum(resolved) == pytest.approx(1, abs=1e-12)
    largest = np.argmax(preference)
    np.testing.assert_allclose(resolved, np.array(preference) / preference[largest] * resolved[largest], atol=1e-12)
    assert resolve_preference(resolved) == resolved


@pytest.mark.parametrize(
    ("preference", "message"),
    [
        ([], r"preference: must be non-negative numbers with a positive sum, got \[\]"),
        (0.5, r"preference: must have shape \(any\), got \(\)"),
        ([[0.5, 0.5]], r"preference: must have shape \(any\), got \(1, 2\)"),
        ([0.5, -0.1], r"preference: must be non-negative .* got \[0.5, -0.1\]"),
        ([0.0, 0.0], r"preference: must be .* a positive sum, got \[0.0, 0.0\]"),
        ([0.5, math.nan], r"preference: must be finite, got nan at position \(1,\)"),
        ([math.inf, 1.0], r"preference: must be finite, got inf at position \(0,\)"),
        (["a", "b"], r"preference: must be an array of numbers, got \['a', 'b'\]"),
        (0, r"preference: must be a number of objectives K >= 1, or K weights, got 0"),
        (-2, r"preference: must be a number of objectives K >= 1, or K weights, got -2"),
    ],
)
def test_a_bad_preference_is_named(preference, message):
    with pytest.raises(ValueError, match=message):
        resolve_preference(preference)


def test_an_array_of_the_wrong_shape_is_named():
    with pytest.raises(ValueError, match=r"rewards: must have shape \(any, any, 3\), got \(4, 3\)"):
        finite_array("rewards", np.zeros((4, 3)), (None, None, 3))


def test_the_checked_array_is_a_copy():
    given = np.zeros(2)
    finite_array("performance", given, (2,))[0] = 1
    assert given[0] == 0
