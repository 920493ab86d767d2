"""Parts of a batch: how they are dealt out, and what their gradients' products are, against exact true gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from paretune.weighting import GradientAnalyzer, Split
from paretune.weighting.advantages import rloo

CONTEXTS, ACTIONS, K = 3, 4, 2
PROMPTS, SIZE = 8, 4
REWARDS_CAK = np.random.default_rng(0).random((CONTEXTS, ACTIONS, K))


def softmax_policy(dtype: torch.dtype = torch.float64) -> nn.Linear:
    """A row of logits for each context, which is shown as a unit vector."""
    policy = nn.Linear(CONTEXTS, ACTIONS, bias=False, dtype=dtype)
    with torch.no_grad():
        policy.weight.copy_(torch.as_tensor(np.random.default_rng(1).normal(size=(ACTIONS, CONTEXTS))))
    return policy


def true_gram(policy: nn.Linear) -> np.ndarray:
    """Return the Gram matrix of the exact gradients of the mean rewards over contexts."""
    probabilities_CA = policy(torch.eye(CONTEXTS, dtype=policy.weight.dtype)).softmax(-1)
    values_K = (probabilities_CA[..., None] * torch.as_tensor(REWARDS_CAK)).sum(1).mean(0)
    gradients = [torch.autograd.grad(value, policy.weight, retain_graph=True)[0].flatten() for value in values_K]
    return (torch.stack(gradients) @ torch.stack(gradients).T).numpy()


def test_groups_stay_together_and_parts_are_balanced():
    rng = np.random.default_rng(0)
    for groups, number in ((16, 8), (5, 2), (7, 3), (3, 8)):
        split = Split.of_groups(groups, 4, number, rng)
        assert split.number == min(groups, number)
        of_groups = split.of.reshape(groups, 4)
        assert (of_groups == of_groups[:, :1]).all()
        sizes = np.bincount(of_groups[:, 0], minlength=split.number)
        assert sizes.max() - sizes.min() <= 1
        np.testing.assert_allclose(split.shares, sizes / groups)
    assert (Split.of_groups(6, 1, 2, np.random.default_rng(1)).of != Split.of_groups(6, 1, 2, rng).of).any()


@pytest.mark.parametrize(("groups", "parts"), [(1, 2), (4, 1)])
def test_one_part_is_none(groups, parts):
    with pytest.raises(ValueError, match="must be at least 2"):
        Split.of_groups(groups, 4, parts, np.random.default_rng(0))


def test_every_score_has_a_part():
    policy = softmax_policy()
    analyzer = GradientAnalyzer(policy)
    with analyzer.watch():
        scores = policy(torch.eye(CONTEXTS, dtype=torch.float64))[:, 0]
    with pytest.raises(ValueError, match=r"split: must be a part for each of 3 scores, got \(2,\)"):
        analyzer.gram(scores, np.ones((3, 1)), Split(np.array([0, 1]), 2))


@pytest.mark.parametrize("mode", ["exact", "backward"])
def test_rows_are_the_parts_gradients(mode):
    """One pass or two, and a part that the second one lacks: as explicit gradients have it."""
    policy, rng = softmax_policy(), np.random.default_rng(0)
    inputs, advantages = torch.as_tensor(rng.normal(size=(6, CONTEXTS))), rng.normal(size=(6, K))
    split = Split(np.array([0, 2, 1, 2, 1, 1]), 3)
    gradients = []
    for part in range(3):
        own = torch.as_tensor(split.of == part)
        for k in range(K):
            score = (policy(inputs)[:, 0] * torch.as_tensor(advantages[:, k]) * own).sum() / 6
            gradients.append(torch.autograd.grad(score, policy.weight)[0].flatten())
    expected = (torch.stack(gradients) @ torch.stack(gradients).T).numpy()
    analyzer = GradientAnalyzer(policy, mode=mode)
    for stops in ([6], [2, 6]):
        for start, stop in zip([0, *stops], stops, strict=False):
            with analyzer.watch():
                scores = policy(inputs[start:stop])[:, 0]
            part = slice(start, stop)
            if stop < 6:
                analyzer.add(scores, advantages[part], split.select(part))
        found = analyzer.gram(scores, advantages[part], split.select(part))
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_the_estimate_is_right_on_average_and_knows_its_errors():
    """Against the exact gradients of a softmax policy, by whole batches that are drawn from it."""
    policy, rng, n = softmax_policy(), np.random.default_rng(2), 500
    analyzer, truth = GradientAnalyzer(policy, mode="exact"), true_gram(policy)
    chances_CA = policy(torch.eye(CONTEXTS, dtype=torch.float64)).softmax(-1).detach().numpy()
    found, whole = [], []
    for _ in range(n):
        contexts = rng.integers(CONTEXTS, size=PROMPTS).repeat(SIZE)
        actions = (rng.random((PROMPTS * SIZE, 1)) > chances_CA[contexts].cumsum(1)[:, :-1]).sum(1)
        advantages = rloo(REWARDS_CAK[contexts, actions].reshape(PROMPTS, SIZE, K)).reshape(-1, K)
        with analyzer.watch():
            log_probs = policy(torch.eye(CONTEXTS, dtype=torch.float64)[contexts]).log_softmax(-1)
            scores = log_probs.gather(1, torch.as_tensor(actions)[:, None])[:, 0]
        estimate = analyzer.estimate(scores, advantages, Split.of_groups(PROMPTS, SIZE, 8, rng))
        found.append(estimate)
        whole.append(estimate.squares)
    matrices = np.array([one.matrix for one in found])
    errors = matrices.std(axis=0, ddof=1) / np.sqrt(n)
    assert (np.abs(matrices.mean(axis=0) - truth) < 4 * errors).all()
    assert ((np.mean(whole, axis=0) - truth.diagonal()) / errors.diagonal() > 10).all()  # the batch with itself is off
    influences = matrices.sum(axis=2)
    stated = np.mean([np.einsum("jkjl->j", one.noise[0]) for one in found], axis=0)
    # a variance from n values is right to sqrt((kurtosis - 1) / n), about 0.1 for the skewed ones here
    np.testing.assert_allclose(stated, influences.var(axis=0, ddof=1), rtol=0.3)
