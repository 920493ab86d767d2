"""Rows that several responses share: copies for each objective, and the coefficients of any combination."""

from __future__ import annotations

import numpy as np
import torch

from paretune.weighting.gradients.shared_rows import SharedRows

WHICH = np.array([0, 1, 1, 0, 1])
ADVANTAGES = torch.tensor([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0], [-1.0, 0.5], [4.0, 4.0]], dtype=torch.float64)


def test_scores_of_copies_count_for_their_objective_alone():
    shared = SharedRows(WHICH, ADVANTAGES)
    assert shared.copies.tolist() == [5, 6, 7, 8]
    assert shared.spread(torch.tensor([[1], [2]])).tolist() == [[1], [2], [1], [2]]
    assert shared.extended(ADVANTAGES)[5:].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_each_copy_gets_what_a_backward_pass_from_its_objective_would_bring():
    shared, rows = SharedRows(WHICH, ADVANTAGES), torch.tensor([4, 0, 2])
    values_UC = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    copies = shared.spread(values_UC).requires_grad_()
    collected = shared.collect(copies, rows)
    assert collected.tolist() == [[3, 4], [1, 2], [3, 4]]
    (collected * torch.tensor([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])).sum().backward()
    assert copies.grad.tolist() == [[20, 2], [40, 4], [0, 0], [40 + 90, 4 + 9]]


def test_coefficients_of_weighted_sums_that_are_centred_and_scaled_in_each_group():
    shared = SharedRows(WHICH, ADVANTAGES)
    scale_B = torch.tensor([2.0, 0.5])[torch.as_tensor(WHICH)]
    wanted = (ADVANTAGES @ torch.tensor([0.25, 0.75], dtype=torch.float64)) * scale_B
    coefficients = shared.coefficients(wanted)
    assert torch.equal(coefficients[:5], wanted)
    np.testing.assert_allclose(coefficients[5:], [0.5, 0.125, 1.5, 0.375], atol=1e-12)


def test_advantages_that_are_no_combination_have_no_coefficients():
    assert SharedRows(WHICH, ADVANTAGES).coefficients(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])) is None


def test_objectives_that_are_the_same_in_a_group_share_its_coefficients():
    same = torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    coefficients = SharedRows(np.array([0, 0]), same).coefficients(torch.tensor([1.0, -1.0]))
    np.testing.assert_allclose(coefficients[2:], [0.5, 0.5], atol=1e-6)
    nothing = SharedRows(np.array([0, 0]), 0 * same).coefficients(torch.zeros(2))
    assert nothing.tolist() == [0, 0, 0, 0]
