"""Which sequences' gradients are compared."""

from __future__ import annotations

import numpy as np
import pytest

from paretune.weighting.gradients.compared_responses import LEAST_DOUBT, drawn, places, traits

MASK = np.array([[True, True], [True, False]])
ADVANTAGES_B1K = np.array([[[1.2, -1.6]], [[0.0, 3.0]]])
"""Of norms 2 and 3."""


def test_traits_by_hand():
    log_probs = np.log(np.array([[0.75, 0.5], [0.25, 1.0]], dtype=np.float32))
    expected = [[2 * 0.75, 2 * 2, 0.75, 2], [3 * 0.75, 3, 0.75, 1]]
    np.testing.assert_allclose(traits(ADVANTAGES_B1K, log_probs, MASK), expected, rtol=1e-6)
    of_decisions = traits(np.array([[[2.0, 0.0], [0.0, -4.0]], [[3.0, 0.0], [9.0, 9.0]]]), log_probs, MASK)
    np.testing.assert_allclose(of_decisions[0], [2 * 0.25 + 4 * 0.5, 6, 0.75, 2], rtol=1e-6)


def test_without_log_probabilities_lengths_and_advantages_count():
    np.testing.assert_allclose(traits(ADVANTAGES_B1K, None, MASK), [[4, 4, 2, 2], [3, 3, 1, 1]])


def test_factors_are_the_inverse_chances():
    traits_B4 = np.array([[4.0, 4, 2, 2], [1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 5, 5]])
    rows, factors_B = drawn(traits_B4, 2, np.random.default_rng(0))
    assert 0 in rows and len(rows) == 2 and 3 not in rows
    np.testing.assert_allclose(factors_B, [1, 2, 2, 1])


@pytest.mark.parametrize("number", [4, 100])
def test_where_all_are_taken_they_stand_for_themselves(number):
    rows, factors_B = drawn(np.ones((4, 4)), number, np.random.default_rng(0))
    assert rows.tolist() == [0, 1, 2, 3] and factors_B.tolist() == [1] * 4


def test_likely_decisions_are_drawn_a_little():
    sure, doubtful = [0.0, 10, 0, 10], [10.0, 10, 10, 10]  # equal advantages, all of the doubt in one
    _, factors_B = drawn(np.array([sure, doubtful, doubtful]), 1, np.random.default_rng(0))
    small, large = LEAST_DOUBT * 2 / 3, 1 + LEAST_DOUBT * 2 / 3
    np.testing.assert_allclose(1 / factors_B, np.array([small, large, large]) / (small + 2 * large))


def test_each_process_finds_its_own_sequences_in_its_share():
    rows = np.array([0, 3, 4, 7])
    assert [places(rows, share).tolist() for share in (slice(0, 4), slice(4, 6), slice(6, 8))] == [[0, 3], [0], [1]]
