"""Rows that several responses share: copies for each objective, and the coefficients of any combination."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from paretune.weighting import GradientAnalyzer
from paretune.weighting.gradients.shared_rows import SharedRows

pytestmark = pytest.mark.numeric

WHICH = torch.tensor([0, 1, 1, 0, 1])
ADVANTAGES = torch.tensor([[1.0, 0.0], [2.0, -1.0], [0.0, 3.0], [-1.0, 0.5], [4.0, 4.0]], dtype=torch.float64)
SHARED = SharedRows(WHICH, 2, ADVANTAGES, passes=(torch.tensor([4, 0, 2]), torch.tensor([1, 3])))


def test_scores_of_copies_count_for_their_objective_alone():
    assert [scores.tolist() for scores in SHARED.calls] == [[5, 6, 7, 8], [4, 0, 2], [1, 3]]
    assert SHARED.spread(torch.tensor([[1], [2]])).tolist() == [[1], [2], [1], [2]]
    assert SHARED.extended(ADVANTAGES)[5:].tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]


def test_each_copy_gets_what_a_backward_pass_from_its_objective_would_bring():
    values_UC = torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    copies = SHARED.spread(values_UC).requires_grad_()
    collected = SHARED.collect(copies, SHARED.passes[0])
    assert collected.tolist() == [[3, 4], [1, 2], [3, 4]]
    (collected * torch.tensor([[10.0, 1.0], [20.0, 2.0], [30.0, 3.0]])).sum().backward()
    assert copies.grad.tolist() == [[20, 2], [40, 4], [0, 0], [40 + 90, 4 + 9]]


class Twice(nn.Module):
    """Rows that go through one layer twice, from different inputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3, dtype=torch.float64)

    def forward(self, x):
        return self.layer(self.layer(x).tanh())


def test_a_matrix_from_shared_rows_is_that_of_rows_of_their_own():
    torch.manual_seed(0)
    model = nn.ModuleDict({"body": Twice(), "head": nn.Linear(3, 1, bias=False, dtype=torch.float64)})
    body, head, (shared_U1C, own_B1C) = model["body"], model["head"], torch.randn(7, 1, 3).double().split([2, 5])

    analyzer = GradientAnalyzer(model, mode="exact")
    with analyzer.watch(torch.arange(5), shared=SHARED):
        copies = body(SHARED.spread(shared_U1C))
        products = [SHARED.collect(copies, rows) * body(own_B1C[rows]) for rows in SHARED.passes]
        scores = head(torch.cat(products)[torch.cat(SHARED.passes).argsort(), 0]).squeeze(1)
    gram_KK = analyzer.gram(scores, ADVANTAGES)

    scores = head(body(shared_U1C[WHICH]) * body(own_B1C)).flatten()
    by_parameter = [
        torch.autograd.grad(scores @ a_B / 5, model.parameters(), retain_graph=True) for a_B in ADVANTAGES.T
    ]
    gradients = torch.stack([torch.cat([gradient.flatten() for gradient in each]) for each in by_parameter])
    np.testing.assert_allclose(gram_KK, gradients @ gradients.T, rtol=1e-12)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_coefficients_of_weighted_sums_that_are_centred_and_scaled_in_each_group():
    scale_B = torch.tensor([2.0, 0.5])[WHICH]
    wanted = (ADVANTAGES @ torch.tensor([0.25, 0.75], dtype=torch.float64)) * scale_B
    coefficients = SHARED.coefficients(wanted)
    assert torch.equal(coefficients[:5], wanted)
    np.testing.assert_allclose(coefficients[5:], [0.5, 0.125, 1.5, 0.375], atol=1e-12)


def test_advantages_that_are_no_combination_have_no_coefficients():
    assert SHARED.coefficients(torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])) is None


def test_objectives_that_are_the_same_in_a_group_share_its_coefficients():
    same = SharedRows(torch.tensor([0, 0]), 1, torch.tensor([[1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64), ())
    np.testing.assert_allclose(same.coefficients(torch.tensor([1.0, -1.0]))[2:], [0.5, 0.5], atol=1e-6)
    nothing = replace(same, advantages=0 * same.advantages).coefficients(torch.zeros(2))
    assert nothing.tolist() == [0, 0, 0, 0]
