"""The language-model policy: log-probabilities, prompts, saving."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paretune.agents import LanguageModelPolicy, Tokens, TransformersSampler, load_policy
from paretune.agents.runs.checkpoint import read_checkpoint, write_checkpoint
from paretune.envs import Prompt
from tests.agents import rounding
from tests.agents.letters import ALPHABET, letter_tokenizer, random_policy

pytestmark = pytest.mark.numeric

PROMPTS = [Prompt.from_question(text) for text in ("a", "bcd", "dd dd", "abcdabcd")]


def some_tokens(policy: LanguageModelPolicy) -> Tokens:
    return TransformersSampler(policy=policy, max_new_tokens=6).sample(PROMPTS, np.random.default_rng(0)).tokens


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_of_a_plain_softmax_without_padding(temperature):
    policy = random_policy(dtype=torch.float64)
    tokens = some_tokens(policy)
    log_probs = policy.log_probs(tokens, temperature)
    assert log_probs.dtype == torch.float64
    for row in range(len(PROMPTS)):
        prompt = tokens.prompt[row][tokens.prompt_mask[row]]
        response = tokens.response[row][tokens.mask[row]]
        logits = policy.model(torch.cat([prompt, response])[None]).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits / temperature, -1).gather(1, response[:, None])[:, 0]
        torch.testing.assert_close(log_probs[row, : len(response)], expected, atol=1e-9, rtol=0)
        assert (log_probs[row, len(response) :] == 0).all()


def test_log_probs_do_not_depend_on_the_company_of_a_response(policy):
    tokens = some_tokens(policy)
    together = policy.log_probs(tokens)
    for row in range(len(PROMPTS)):
        alone = policy.log_probs(tokens.select(np.array([row])))
        torch.testing.assert_close(alone[0], together[row, : alone.shape[1]], atol=1e-5, rtol=0)


def test_bfloat16_goes_through_autocast_and_keeps_float32_weights():
    policy = random_policy()
    half = LanguageModelPolicy(random_policy().model, letter_tokenizer(), precision=torch.bfloat16)
    tokens = some_tokens(policy)
    rounded, exact = half.log_probs(tokens), policy.log_probs(tokens)
    assert rounded.dtype == torch.float32
    assert half.model.dtype == torch.float32
    # of logits up to 4: the roundings of 19 matrix products, three in each, see rounding.of_products
    assert 0 < (rounded - exact).abs().max() < 4 * rounding.of_products(2) / 3**0.5


def test_a_chat_template_is_used_where_there_is_one(policy):
    prompt = Prompt.from_question("ab", system_prompt="cd")
    plain = policy.encode([prompt])[0]
    assert [ALPHABET[token] for token in plain] == ["c", "d", "\n", "\n", "a", "b"]
    turns = "{% for m in messages %}{{ m.role[0] }} {{ m.content }}\n{% endfor %}"
    policy.tokenizer.chat_template = turns + "{% if add_generation_prompt %}a {% endif %}"
    chat = "".join(ALPHABET[token] for token in policy.encode([prompt])[0])
    assert chat == "<unk> cd\n<unk> ab\na "


def test_decoding_leaves_special_tokens_out(policy):
    assert policy.decode([3, 10, 9, 4, 1]) == "a\n b"


def test_a_saved_policy_loads_again(policy, tmp_path):
    policy.save(tmp_path)
    loaded = load_policy(tmp_path, device="cpu")
    for name, value in policy.model.state_dict().items():
        torch.testing.assert_close(loaded.model.state_dict()[name], value, atol=0, rtol=0)
    assert loaded.end_tokens == policy.end_tokens
    assert not list(tmp_path.glob("*.bin")) and (tmp_path / "model.safetensors").exists()


def test_a_model_saves_though_its_published_sampling_options_break_the_rules(policy, tmp_path):
    policy.model.generation_config.temperature = 0.6
    policy.model.generation_config.top_p = 0.9
    LanguageModelPolicy(policy.model, policy.tokenizer).save(tmp_path)
    assert load_policy(tmp_path, device="cpu").end_tokens == policy.end_tokens


def test_several_chat_templates_are_saved(policy, tmp_path):
    policy.tokenizer.chat_template = {"default": "a", "tool_use": "b"}
    optimizer = torch.optim.AdamW(policy.model.parameters())
    write_checkpoint(tmp_path / "c", policy, optimizer, {"step": 1})
    assert read_checkpoint(tmp_path / "c").state == {"step": 1}


def test_the_reference_stays_while_the_policy_moves(policy):
    reference = policy.reference()
    with torch.no_grad():
        policy.model.lm_head.weight.add_(1.0)
    assert not torch.equal(reference.model.lm_head.weight, policy.model.lm_head.weight)
    assert not any(parameter.requires_grad for parameter in reference.model.parameters())


def test_a_model_without_an_end_token_is_refused(policy):
    tokenizer = letter_tokenizer()
    tokenizer.eos_token = None
    policy.model.generation_config.eos_token_id = None
    with pytest.raises(ValueError, match="end token"):
        LanguageModelPolicy(policy.model, tokenizer)
