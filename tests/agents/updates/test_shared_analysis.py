"""Gradients compared on prompts that are read once for their group: those of whole sequences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from paretune.agents import AgentSettings, Tokens
from paretune.agents.sequences.shared_prompts import GroupedTokens
from paretune.agents.updates.catalog import make_comparison
from paretune.agents.updates.passes import Passes
from paretune.agents.updates.updater import Updater
from paretune.weighting.gradients.split import Split
from tests.agents import rounding
from tests.agents.letters import random_policy
from tests.agents.sequences.test_scoring import policy_of
from tests.agents.sequences.test_shared_prompts import groups

pytestmark = pytest.mark.numeric

GROUPS, SIZE, K = 3, 6, 2
ROWS = np.arange(GROUPS * SIZE)
ADVANTAGES_BTK = np.random.default_rng(1).normal(size=(len(ROWS), 1, K))
WEIGHTED = ADVANTAGES_BTK[:, 0] @ np.array([[0.3], [0.7]])


def long_prompts() -> Tokens:
    """Groups of responses to prompts of twice their length."""
    tokens = groups(GROUPS, SIZE)
    twice = replace(tokens, prompt=tokens.prompt.repeat(1, 2), prompt_mask=tokens.prompt_mask.repeat(1, 2))
    kept = torch.arange(16).flip(0) < tokens.prompt_mask.sum(1, keepdim=True) + 8
    return replace(twice, prompt_mask=kept, prompt=twice.prompt.clamp(min=1) * kept)


def updater(family: str, share: bool, **settings) -> Updater:
    policy = policy_of(family)
    policy.share_prompts = share
    made = Updater(Passes(policy, AgentSettings(lr=1.0, max_grad_norm=0.0, **settings), "token", 8), 0.0)
    made.optimizer = torch.optim.SGD(made.trained, lr=1.0)  # shows the gradient itself
    return made


def analysed(made: Updater, tokens: Tokens, rows: np.ndarray = ROWS):
    return make_comparison(made.passes).compare(tokens, ADVANTAGES_BTK, rows, reuse=True)


@pytest.mark.parametrize("budget", [8192, 150], ids=["one batch", "several"])
@pytest.mark.parametrize("rows", [ROWS, np.array([0, 1, 2, 3, 4, 5, 7, 8, 9, 10])], ids=["all", "some"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_the_matrix_is_that_of_whole_sequences(family, rows, budget):
    tokens, matrices = long_prompts(), []
    for mode, share in (("exact", True), ("exact", False), ("backward", False)):
        made = updater(family, share, gradient_mode=mode, tokens_per_batch=budget)
        comparison = make_comparison(made.passes)
        parts, _ = comparison._parts(tokens, ADVANTAGES_BTK, rows)
        assert {type(part) for _, part, _ in parts} == {GroupedTokens if share else Tokens}
        assert (len(parts) > 1) == (budget == 150)
        matrices.append(comparison.compare(tokens, ADVANTAGES_BTK, rows)[0])
    shared, whole, separate = matrices
    rounding.assert_near(shared, separate, rounding.of_norms(3))
    rounding.assert_near(whole, separate, rounding.of_norms(3))


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_a_wide_sketch_sees_shared_prompts_as_an_exact_analysis_does(family):
    matrices = []
    for mode in ("exact", "sketch"):
        made = updater(family, True, gradient_mode=mode, gradient_width=1000)
        matrices.append(make_comparison(made.passes).compare(long_prompts(), ADVANTAGES_BTK, ROWS)[0])
    rounding.assert_near(matrices[1], matrices[0], rounding.of_norms(3))


@pytest.mark.parametrize("advantages", [WEIGHTED, np.sin(ROWS)[:, None]], ids=["weighted sums", "others"])
@pytest.mark.parametrize("rows", [ROWS, ROWS[:SIZE]], ids=["all", "one group"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_update_is_that_of_passes_of_its_own(family, rows, advantages):
    gradients, passes = [], []
    for reuse in (False, True):
        made, tokens = updater(family, True), long_prompts()
        before = torch.cat([parameter.detach().flatten() for parameter in made.trained])
        left = analysed(made, tokens, rows)[1]
        assert left is not None and isinstance(left.passes[0][1], GroupedTokens)
        log_probs, seen = made.policy.log_probs, []
        made.policy.log_probs = lambda part, *args, f=log_probs, s=seen: s.append(len(part.mask)) or f(part, *args)
        made.update(tokens, advantages, 1.0, 1.0, np.random.default_rng(0), left if reuse else None)
        gradients.append(before - torch.cat([parameter.detach().flatten() for parameter in made.trained]))
        passes.append(sum(seen))
    own, from_kept = gradients
    rounding.assert_near(from_kept, own, rounding.of_norms(3))
    combined = advantages is WEIGHTED  # what is no combination of the objectives' advantages is computed anew
    assert passes == [len(ROWS), len(ROWS) - (len(rows) if combined else 0)]


def test_in_bfloat16_the_matrix_is_near_to_float32_as_that_of_whole_sequences_is():
    for share in (True, False):
        matrices = []
        for precision in (torch.float32, torch.bfloat16):
            policy = random_policy(precision=precision)
            policy.share_prompts = share
            made = Updater(Passes(policy, AgentSettings(lr=1.0, gradient_mode="exact"), "token", 8), 0.0)
            gram, left = analysed(made, long_prompts())
            assert isinstance(left.passes[0][1], GroupedTokens) == share
            matrices.append(gram)
        expected, found = matrices
        assert (found != expected).any()
        rounding.assert_near(found, expected, rounding.of_products(2))


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_parts_are_told_apart_in_shared_prompts(family):
    """Also where groups in different parts have the same prompt; and the update is that of whole sequences."""
    tokens, results = long_prompts(), []
    same = torch.arange(len(ROWS)) % SIZE + SIZE  # the second group's prompt is there three times
    tokens = replace(tokens, prompt=tokens.prompt[same], prompt_mask=tokens.prompt_mask[same])
    split = Split.of_groups(GROUPS, SIZE, 3, np.random.default_rng(0))
    for share in (True, False):
        made = updater(family, share)
        products, kept = make_comparison(made.passes).compare(tokens, ADVANTAGES_BTK, ROWS, True, split)
        assert isinstance(kept.passes[0][1], GroupedTokens) == share
        made.update(tokens, WEIGHTED, 1.0, 1.0, np.random.default_rng(0), kept)
        results.append((products, torch.cat([parameter.detach().flatten() for parameter in made.trained])))
    (products, weights), (expected, expected_weights) = results
    assert products.shape == (3 * K, 3 * K)
    rounding.assert_near(products, expected, rounding.of_norms(2))
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-5)
