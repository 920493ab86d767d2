"""Training in bfloat16: gradients and Gram matrices are those of float32, but for rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paretune.agents import AgentSettings, LanguageModelPolicy, TransformersSampler, load_policy
from paretune.agents.updates.catalog import make_comparison
from paretune.agents.updates.passes import Passes
from paretune.agents.updates.updater import Updater
from paretune.envs import Prompt

PROMPTS = [Prompt.from_question(f"{a} + {b}?") for a in (1, 23, 456) for b in (7, 89)]
ADVANTAGES_BK = np.random.default_rng(0).normal(size=(len(PROMPTS), 3))


def tiny_math(precision: str) -> LanguageModelPolicy:
    return load_policy("tiny-math", "cpu", precision)


@pytest.fixture(scope="module")
def tokens():
    sampler = TransformersSampler(policy=tiny_math("float32"), max_new_tokens=24)
    return sampler.sample(PROMPTS, np.random.default_rng(0)).tokens


def gradient_and_gram(tokens, precision: str, mode: str, reuse: bool = False):
    """Return the gradient of the first objective's loss and the Gram matrix of all."""
    settings = AgentSettings(lr=1.0, max_grad_norm=0.0, gradient_mode=mode)
    made = Updater(Passes(tiny_math(precision), settings, "response", 24), 0.2)
    made.optimizer = torch.optim.SGD(made.trained, lr=1.0)
    before = torch.cat([parameter.detach().flatten() for parameter in made.trained])
    gram_KK, analysed = make_comparison(made.passes).compare(
        tokens, ADVANTAGES_BK[:, None], np.arange(len(PROMPTS)), reuse=reuse
    )
    made.update(tokens, ADVANTAGES_BK[:, :1], 1.0, 1.0, np.random.default_rng(0), analysed)
    after = torch.cat([parameter.detach().flatten() for parameter in made.trained])
    return before - after, gram_KK


@pytest.mark.parametrize(("mode", "reuse"), [("exact", True), ("exact", False), ("backward", False)])
def test_gradients_in_bfloat16_point_where_those_in_float32_do(tokens, mode, reuse):
    expected, expected_KK = gradient_and_gram(tokens, "float32", "exact")
    gradient, gram_KK = gradient_and_gram(tokens, "bfloat16", mode, reuse)
    assert gradient.isfinite().all() and gradient.dtype == torch.float32
    assert torch.cosine_similarity(gradient, expected, dim=0) > 0.99
    assert float(gradient.norm()) == pytest.approx(float(expected.norm()), rel=0.1)
    assert (gradient != expected).any()
    np.testing.assert_allclose(gram_KK, expected_KK, atol=0.1 * np.abs(expected_KK).max())
