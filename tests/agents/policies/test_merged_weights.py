"""The weights that a sampler gets: named as in the base model, adapters merged, the policy untouched."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model

from paretune.agents import LanguageModelPolicy, load_policy
from paretune.agents.policies.merged_weights import merged_weights
from tests.agents.letters import letter_tokenizer, random_policy

pytestmark = pytest.mark.numeric


def adapted(**options) -> LanguageModelPolicy:
    """A policy with adapters of which both halves are random."""
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False, **options)
    return LanguageModelPolicy(get_peft_model(random_policy().model, config), letter_tokenizer())


def test_without_adapters_they_are_the_models_own_under_all_names():
    policy = load_policy("tiny-math", device="cpu")
    weights = dict(merged_weights(policy))
    assert weights.keys() == policy.model.state_dict().keys()
    assert torch.equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"])  # tied


@pytest.mark.parametrize("options", [{"lora_alpha": 6}, {"use_rslora": True}, {"use_dora": True}])
def test_a_plain_model_with_them_computes_what_the_adapted_one_does(options):
    policy = adapted(**options)
    before = {name: value.clone() for name, value in policy.model.state_dict().items()}
    plain = random_policy(seed=1)
    plain.model.load_state_dict(dict(merged_weights(policy)))
    tokens = torch.arange(3, 9)[None]
    torch.testing.assert_close(plain.model(tokens).logits, policy.model(tokens).logits, atol=1e-5, rtol=1e-5)
    after = policy.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_a_merged_weight_is_by_hand():
    policy = adapted(lora_alpha=6)
    layer = policy.model.base_model.model.model.layers[0].self_attn.q_proj
    by_hand = layer.base_layer.weight + 6 / 2 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    weights = dict(merged_weights(policy))
    torch.testing.assert_close(weights["model.layers.0.self_attn.q_proj.weight"], by_hand)
    assert weights.keys() == random_policy().model.state_dict().keys()
