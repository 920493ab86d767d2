"""Training in bfloat16: gradients and Gram matrices are those of float32, but for rounding.

What is rounded where differs between processors, and so do the errors.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from paretune.agents import AgentSettings, LanguageModelPolicy, Tokens, TransformersSampler, load_policy
from paretune.agents.updates.catalog import make_comparison
from paretune.agents.updates.passes import Passes
from paretune.agents.updates.updater import Updater
from paretune.envs import Prompt
from tests.agents import rounding
from tests.agents.letters import random_policy

pytestmark = pytest.mark.numeric

PROMPTS = {
    "random": [Prompt.from_question(text) for text in ("a", "bcd", "dd dd", "abcdabcd")] * 3,
    "tiny-math": [Prompt.from_question(f"{a} + {b}?") for a in (1, 23, 456) for b in (7, 89)],
}
WAYS = [("exact", True), ("exact", False), ("backward", False)]


def policy_of(name: str, precision: str) -> LanguageModelPolicy:
    if name == "random":
        return random_policy(precision=getattr(torch, precision))
    return load_policy(name, "cpu", precision)


@functools.cache
def tokens_of(name: str) -> Tokens:
    sampler = TransformersSampler(policy=policy_of(name, "float32"), max_new_tokens=24)
    return sampler.sample(PROMPTS[name], np.random.default_rng(0)).tokens


def gradient_and_gram(name: str, precision: str, mode: str, reuse: bool = False):
    """Return the gradient of the first objective's loss and the Gram matrix of all."""
    settings = AgentSettings(lr=1.0, max_grad_norm=0.0, gradient_mode=mode)
    made = Updater(Passes(policy_of(name, precision), settings, "response", 24), 0.2)
    made.optimizer = torch.optim.SGD(made.trained, lr=1.0)
    before = torch.cat([parameter.detach().flatten() for parameter in made.trained])
    rows = np.arange(len(PROMPTS[name]))
    advantages_BK = np.random.default_rng(0).normal(size=(len(rows), 3))
    comparison = make_comparison(made.passes)
    gram_KK, analysed = comparison.compare(tokens_of(name), advantages_BK[:, None], rows, reuse=reuse)
    assert (analysed is not None) == reuse
    made.update(tokens_of(name), advantages_BK[:, :1], 1.0, 1.0, np.random.default_rng(0), analysed)
    after = torch.cat([parameter.detach().flatten() for parameter in made.trained])
    return before - after, gram_KK


def assert_equal_but_for_rounding(found, expected, layers: int) -> None:
    (gradient, gram_KK), (expected_P, expected_KK) = found, expected
    assert gradient.isfinite().all() and gradient.dtype == torch.float32
    assert float((gradient - expected_P).norm() / expected_P.norm()) < rounding.of_products(layers)
    rounding.assert_near(gram_KK, expected_KK, rounding.of_products(layers))


@pytest.mark.parametrize(("mode", "reuse"), WAYS)
def test_gradients_in_bfloat16_are_those_in_float32(mode, reuse):
    """Of a random model: where a trained one is nearly sure, the relative error of what is left has no such bound."""
    expected = gradient_and_gram("random", "float32", "backward")
    found = gradient_and_gram("random", "bfloat16", mode, reuse)
    assert_equal_but_for_rounding(found, expected, layers=2)
    # all of it in float32 would be nearer by far
    assert float((found[0] - expected[0]).norm() / expected[0].norm()) > rounding.BFLOAT16


@pytest.mark.parametrize(("mode", "reuse"), WAYS[:-1])
def test_gradients_from_factors_are_those_of_backward_passes(mode, reuse):
    """Of a trained model with a tied head: both are in bfloat16, with the same probabilities."""
    expected, found = (gradient_and_gram("tiny-math", "bfloat16", *way) for way in (WAYS[-1], (mode, reuse)))
    layers = load_policy("tiny-math", "cpu").model.config.num_hidden_layers
    assert_equal_but_for_rounding(found, expected, layers)
