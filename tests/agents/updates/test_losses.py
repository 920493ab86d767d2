"""The loss: hand-computed values and gradients."""

from __future__ import annotations

import math

import pytest
import torch

from paretune.agents.updates.losses import importance_weights, loss_terms, token_weights

pytestmark = pytest.mark.numeric

MASK = torch.tensor([[True, True, True, True], [True, False, False, False]])


def test_at_ratio_one_the_gradient_is_that_of_the_log_probability():
    log_probs = torch.tensor([[-1.0, -2.0], [-0.5, -3.0]], requires_grad=True)
    advantages = torch.tensor([[2.0], [-1.0]])
    for clip in (0.0, 0.2):
        terms = loss_terms(log_probs, log_probs.detach(), advantages, clip)
        (gradient,) = torch.autograd.grad(terms.policy.sum(), log_probs)
        torch.testing.assert_close(gradient, torch.tensor([[-2.0, -2.0], [1.0, 1.0]]))


def test_the_clip_cuts_off_gains_only():
    ratios = torch.tensor([[0.5, 1.5], [0.5, 1.5]])
    log_probs = ratios.log().requires_grad_()
    terms = loss_terms(log_probs, torch.zeros(2, 2), torch.tensor([[1.0], [-1.0]]), clip=0.2)
    torch.testing.assert_close(terms.policy.detach(), torch.tensor([[-0.5, -1.2], [0.8, 1.5]]))
    assert terms.clipped.tolist() == [[False, True], [True, False]]


def test_each_token_may_have_an_advantage_of_its_own():
    log_probs = torch.zeros(1, 3, requires_grad=True)
    terms = loss_terms(log_probs, log_probs.detach(), torch.tensor([[1.0, 0.0, -2.0]]), 0.2)
    (gradient,) = torch.autograd.grad(terms.policy.sum(), log_probs)
    assert gradient.tolist() == [[-1.0, 0.0, 2.0]]


def test_kl_is_the_k3_estimator():
    log_probs, reference = torch.tensor([[-1.0]]), torch.tensor([[-1.5]])
    terms = loss_terms(log_probs, log_probs, torch.zeros(1, 1), 0.0, reference)
    assert terms.kl is not None
    assert terms.kl.item() == pytest.approx(math.exp(-0.5) + 0.5 - 1)
    same = loss_terms(log_probs, log_probs, torch.zeros(1, 1), 0.0, log_probs).kl
    assert same is not None and same.item() == 0.0


def test_importance_weights_are_ratios_up_to_the_cap_and_carry_no_gradient():
    trainer = torch.tensor([[0.1, 0.4, 0.9]]).log().requires_grad_()
    weights = importance_weights(trainer, torch.tensor([[0.2, 0.4, 0.1]]).log(), cap=2.0)
    torch.testing.assert_close(weights, torch.tensor([[0.5, 1.0, 2.0]]))
    assert not weights.requires_grad


@pytest.mark.parametrize(
    ("mean", "expected"),
    [
        ("token", [[0.2] * 4, [0.2, 0, 0, 0]]),
        ("response", [[0.125] * 4, [0.5, 0, 0, 0]]),
        ("constant", [[0.05] * 4, [0.05, 0, 0, 0]]),
    ],
)
def test_token_weights(mean, expected):
    weights = token_weights(MASK, mean, responses=2, tokens=5, max_tokens=10)
    torch.testing.assert_close(weights, torch.tensor(expected))
