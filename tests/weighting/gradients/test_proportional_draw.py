"""Terms drawn with chances by their sizes, and sums estimated from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.weighting.gradients.proportional_draw import chances, draw


@pytest.mark.parametrize(
    ("sizes", "number", "expected"),
    [
        ([1, 1, 2], 2, [0.5, 0.5, 1]),
        ([10, 2, 1, 1], 2, [1, 0.5, 0.25, 0.25]),
        ([10, 9, 1, 1], 3, [1, 1, 0.5, 0.5]),
        ([3, 0, 1], 5, [1, 0, 1]),
        ([0, 0, 0, 0], 2, [0.5, 0.5, 0.5, 0.5]),
        ([0, 0], 5, [1, 1]),
    ],
)
def test_chances_are_proportional_to_sizes_as_far_as_they_can_be(sizes, number, expected):
    np.testing.assert_allclose(chances(np.array(sizes, dtype=float), number), expected)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=30), st.integers(1, 40), st.integers(0, 100))
def test_as_many_are_drawn_as_wanted(sizes, number, seed):
    found = chances(np.array(sizes), number)
    assert ((found >= 0) & (found <= 1)).all()
    candidates = np.count_nonzero(sizes) or len(sizes)
    assert found.sum() == pytest.approx(min(number, candidates))
    rows = draw(found, np.random.default_rng(seed))
    assert len(rows) == min(number, candidates) and (np.diff(rows) > 0).all()
    assert set(np.flatnonzero(found == 1)) <= set(rows) <= set(np.flatnonzero(found))


def test_each_is_drawn_with_its_chance_and_sums_are_estimated_without_bias():
    rng = np.random.default_rng(0)
    terms = rng.normal(size=12) * np.arange(12)
    found = chances(np.abs(terms) + 1, 4)
    estimates, hits, n = [], np.zeros(12), 20_000
    for _ in range(n):
        rows = draw(found, rng)
        hits[rows] += 1
        estimates.append((terms[rows] / found[rows]).sum())
    np.testing.assert_allclose(hits / n, found, atol=5 * 0.5 / n**0.5)
    assert np.mean(estimates) == pytest.approx(terms.sum(), abs=5 * np.std(estimates) / n**0.5)
    evenly = [3 * terms[rng.permutation(12)[:4]].sum() for _ in range(n)]
    assert np.std(estimates) < 0.7 * np.std(evenly)
