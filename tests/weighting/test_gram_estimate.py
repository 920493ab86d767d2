"""Gram matrices from products of the gradients of different parts of a batch, and their errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.weighting.gram_estimate import (
    GramAverage,
    GramEstimate,
    estimate_of_parts,
    from_lists,
    nearest_semidefinite,
    to_lists,
)

K, PARAMETERS = 3, 6
TRUTH_KP = np.array([[1.0, 0.5, 0, 0, 0, 0], [0, -0.5, 0.5, 0, 0, 0], [0.2, 0, 0, 0.3, 0, 0]])


def estimate_of(gradients_SKP: np.ndarray, shares: np.ndarray | None = None) -> GramEstimate:
    """Return the estimate from the parts' mean gradients."""
    s = len(gradients_SKP)
    shares = np.full(s, 1 / s) if shares is None else shares
    flat = (gradients_SKP * shares[:, None, None]).reshape(s * gradients_SKP.shape[1], -1)
    return estimate_of_parts(flat @ flat.T, shares)


def drawn(rng: np.random.Generator, parts: int, noise: float, truth_KP: np.ndarray = TRUTH_KP) -> GramEstimate:
    """Return the estimate from a batch of 8 groups, whose noise is the same however many parts they are in."""
    scales_K11 = noise * np.array([1.0, 0.5, 0.2])[:, None]
    gradients = truth_KP + np.sqrt(parts / 8) * scales_K11 * rng.normal(size=(parts, *truth_KP.shape))
    return estimate_of(gradients)


def test_two_halves_by_hand():
    halves = np.array([[[1.0, 0.0], [0.0, 2.0]], [[3.0, 1.0], [1.0, 1.0]]])  # (halves, objectives, parameters)
    found = estimate_of(halves, np.array([0.25, 0.75]))
    # <g_1 of A, g_1 of B> = 3; <g_2 A, g_2 B> = 2; the mean of <g_1 A, g_2 B> = 1 and <g_2 A, g_1 B> = 2
    np.testing.assert_allclose(found.matrix, [[3.0, 1.5], [1.5, 2.0]])
    np.testing.assert_allclose(found.squares, [2.5**2 + 0.75**2, 0.75**2 + 1.25**2])
    assert found.noise is None and found.influences().errors is None and found.influences().signal == 1


def test_several_parts_are_all_pairs_of_different_ones():
    gradients = np.random.default_rng(0).normal(size=(5, K, PARAMETERS))
    pairs = [gradients[a] @ gradients[b].T for a in range(5) for b in range(5) if a != b]
    np.testing.assert_allclose(estimate_of(gradients).matrix, np.mean(pairs, axis=0), rtol=1e-12)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_the_estimate_has_no_bias_but_a_batch_with_itself_has(parts):
    rng, n = np.random.default_rng(parts), 4000
    found = [drawn(rng, parts, noise=1.5) for _ in range(n)]
    matrices = np.array([one.matrix for one in found])
    errors = matrices.std(axis=0, ddof=1) / np.sqrt(n)
    truth = TRUTH_KP @ TRUTH_KP.T
    assert (np.abs(matrices.mean(axis=0) - truth) < 4.5 * errors).all()  # 9 entries: once in 15 000
    squares = np.mean([one.squares for one in found], axis=0)
    noise = PARAMETERS / 8 * (1.5 * np.array([1.0, 0.5, 0.2])) ** 2
    np.testing.assert_allclose(squares, truth.diagonal() + noise, rtol=0.05)


@pytest.mark.parametrize("direction", [None, np.array([0.2, 1.0, 0.5])])
@pytest.mark.parametrize(("parts", "noise"), [(4, 1.5), (8, 0.3), (8, 1.5), (8, 6.0)])
def test_the_errors_are_those_of_the_estimates(parts, noise, direction):
    """The mean variance is the true one: both within the errors of what is simulated."""
    rng, n = np.random.default_rng(7), 6000
    found = [drawn(rng, parts, noise) for _ in range(n)]
    h_K = np.ones(K) if direction is None else direction
    values = np.array([one.influences(direction).values for one in found])
    stated = np.array([np.einsum("jkjl,k,l->j", one.noise[0], h_K, h_K) for one in found])
    actual, kurtosis = values.var(axis=0, ddof=1), ((values - values.mean(0)) ** 4).mean(0)
    error = np.sqrt(stated.var(axis=0) / n + (kurtosis - actual**2) / n)
    assert (np.abs(stated.mean(axis=0) - actual) < 4 * error).all()
    assert (error < 0.2 * actual).all()  # so that the line above tells


def test_averages_are_as_certain_as_they_say():
    inside, n = 0, 400
    for seed in range(n):
        rng, average = np.random.default_rng(seed), GramAverage(0.9)
        for _ in range(40):
            found = average.add(drawn(rng, 8, noise=3.0)).influences()
        truth = (TRUTH_KP @ TRUTH_KP.T).sum(axis=1)
        inside += np.abs(found.values - truth) < 2 * found.errors
    # 95 % of 400, and three standard errors (1.1 %), and as much again: stated errors are estimates themselves
    assert (inside / n > 0.91).all() and (inside / n < 0.99).all()


def test_the_moving_average_weighs_the_first_estimate_fully():
    average, rng = GramAverage(0.5), np.random.default_rng(0)
    one, two = drawn(rng, 8, 1.0), drawn(rng, 8, 1.0)
    np.testing.assert_allclose(average.add(one).noise, one.noise)
    found = average.add(two)
    np.testing.assert_allclose(found.matrix, (one.matrix + 2 * two.matrix) / 3)
    np.testing.assert_allclose(found.noise, (one.noise + 2 * two.noise) / 3 * 5 / 9)


def test_an_estimate_that_is_held_counts_once():
    average, held, rng = GramAverage(0.9), GramAverage(0.9), np.random.default_rng(0)
    for _ in range(3):
        estimate = drawn(rng, 8, 1.0)
        expected = average.add(estimate)
        for _ in range(4):
            found = held.add(estimate)
        np.testing.assert_array_equal(found.matrix, expected.matrix)
        np.testing.assert_array_equal(found.noise, expected.noise)


def test_an_average_goes_on_from_its_state():
    average, other, rng = GramAverage(0.9), GramAverage(0.9), np.random.default_rng(0)
    other.load_state(json.loads(json.dumps(average.state())))
    for parts in (8, 8, 2):
        estimate = drawn(rng, parts, 1.0)
        found = other.add(estimate)
        np.testing.assert_array_equal(average.add(estimate).noise, found.noise)
        other.load_state(json.loads(json.dumps(average.state())))
    again = from_lists(json.loads(json.dumps(to_lists(found))))
    np.testing.assert_array_equal(again.squares, found.squares)


def test_the_signal_is_the_share_that_is_not_noise():
    estimate = GramEstimate(np.diag([3.0, 1.0]), np.ones(2), np.zeros((2, 2, 2, 2, 2)))
    assert estimate.influences().signal == 1
    noise = np.zeros((2, 2, 2, 2, 2))
    noise[0, 0, 0, 0, 0] = 1.0  # I_1 has variance 1, so each of d = (1, -1) has 1/4
    assert GramEstimate(np.diag([3.0, 1.0]), np.ones(2), noise).influences().signal == pytest.approx(1 - 0.5 / 2)
    assert GramEstimate(np.diag([1.5, 1.0]), np.ones(2), noise).influences().signal == 0
    assert GramEstimate(np.zeros((2, 2)), np.zeros(2), noise).influences().signal == 0


def test_a_direction_is_that_of_the_columns():
    estimate, h_K = drawn(np.random.default_rng(0), 8, 1.0), np.array([0.2, 1.0, 0.5])
    one, other = estimate.influences(h_K), estimate.towards(h_K).influences()
    np.testing.assert_allclose(one.values, other.values)
    np.testing.assert_allclose(one.errors, other.errors)
    assert one.signal == pytest.approx(other.signal)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_nearest_semidefinite_matrix(seed, k):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(k, k))
    matrix += matrix.T
    nearest = nearest_semidefinite(matrix)
    size = 1e-13 * k * np.abs(matrix).max()
    assert np.linalg.eigvalsh(nearest).min() >= -size
    np.testing.assert_array_equal(nearest, nearest.T)
    np.testing.assert_allclose(nearest_semidefinite(nearest), nearest, atol=size)  # it is a projection
    for _ in range(10):  # no other one is nearer
        root = rng.normal(size=(k, k)) * rng.random()
        other = nearest + root @ root.T * 0.1
        assert np.linalg.norm(other - matrix) >= np.linalg.norm(nearest - matrix) - size
    order = rng.permutation(k)
    np.testing.assert_allclose(
        nearest_semidefinite(matrix[np.ix_(order, order)]), nearest[np.ix_(order, order)], atol=1e-9
    )


def test_a_semidefinite_matrix_is_left_alone():
    matrix = np.array([[2.0, 1.0], [1.0, 2.0]])
    assert nearest_semidefinite(matrix) is matrix
