"""Scoring in chunks and recomputed layers: the same numbers and gradients, in less memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from paretune.agents import LanguageModelPolicy, Tokens
from tests.agents.letters import ALPHABET, letter_tokenizer

pytestmark = pytest.mark.numeric

SMALL = {"vocab_size": len(ALPHABET), "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
SIZES |= {"num_key_value_heads": 1, "head_dim": 8, "initializer_range": 0.5}


def model_of(family: str):
    torch.manual_seed(0)
    if family == "gpt2":
        return GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=3, n_head=2, n_positions=64, **SMALL))
    build, configure = {
        "llama": (LlamaForCausalLM, LlamaConfig),
        "qwen2": (Qwen2ForCausalLM, Qwen2Config),
        "gemma2": (Gemma2ForCausalLM, Gemma2Config),
        "cohere": (CohereForCausalLM, CohereConfig),
    }[family]
    sizes = {name: size for name, size in SIZES.items() if name != "head_dim" or family == "gemma2"}
    model = build(configure(**sizes, **SMALL, tie_word_embeddings=family == "llama"))
    if family == "llama":
        return get_peft_model(model, LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    return model


def policy_of(family: str) -> LanguageModelPolicy:
    return LanguageModelPolicy(model_of(family).double(), letter_tokenizer(), family)


def some_tokens(rows: int = 9) -> Tokens:
    rng = torch.Generator().manual_seed(3)
    prompt_lengths, lengths = (torch.randint(1, 8, (rows, 1), generator=rng) for _ in range(2))
    mask = torch.arange(8) < lengths
    prompt_mask = torch.arange(8).flip(0) < prompt_lengths
    tokens = [torch.randint(1, len(ALPHABET), (rows, 8), generator=rng) for _ in range(2)]
    return Tokens(tokens[0] * prompt_mask, prompt_mask, tokens[1] * mask, mask, torch.zeros(rows, 8))


def results(policy: LanguageModelPolicy, temperature: float = 0.7) -> list[torch.Tensor]:
    """Log-probabilities, entropies, and the gradient of a mixture of both."""
    log_probs, entropies = policy.log_probs_and_entropies(some_tokens(), temperature)
    weights = torch.linspace(-1, 1, log_probs.numel(), dtype=torch.float64).view_as(log_probs)
    trained = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
    gradient = torch.autograd.grad((log_probs * weights + entropies * weights.flip(0)).sum(), trained)
    return [log_probs.detach(), entropies.detach(), torch.cat([part.flatten() for part in gradient])]


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_chunks_change_neither_numbers_nor_gradients(family):
    policy = policy_of(family)
    whole = results(policy)
    policy.logits_at_once = 4 * len(ALPHABET)
    for chunked, expected in zip(results(policy), whole, strict=True):
        torch.testing.assert_close(chunked, expected, atol=1e-9, rtol=1e-9)
    alone = policy.log_probs(some_tokens(), 0.7)
    torch.testing.assert_close(alone, whole[0], atol=1e-9, rtol=0)


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "gemma2"])
@pytest.mark.filterwarnings("ignore:policy.*not those of its output layer")
def test_recomputed_layers_give_the_same_gradients_bit_for_bit(family):
    policy = policy_of(family)
    whole = results(policy)
    policy.gradient_checkpointing = True
    assert all(torch.equal(again, expected) for again, expected in zip(results(policy), whole, strict=True))


@pytest.mark.parametrize("family", ["gemma2", "cohere"])
def test_scaled_or_capped_logits_are_seen_and_kept(family):
    with pytest.warns(UserWarning, match=f"logits of '{family}' are not those of its output layer alone"):
        policy = policy_of(family)
    tokens = some_tokens()
    policy.logits_at_once = 1
    log_probs = policy.log_probs(tokens)
    for row in range(len(tokens.mask)):
        prompt, response = tokens.prompt[row][tokens.prompt_mask[row]], tokens.response[row][tokens.mask[row]]
        logits = policy.model(torch.cat([prompt, response])[None]).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits, -1).gather(1, response[:, None])[:, 0]
        torch.testing.assert_close(log_probs[row, : len(response)], expected, atol=1e-9, rtol=0)


def test_the_head_is_called_as_a_module_on_chunks():
    policy = policy_of("qwen2")
    policy.logits_at_once = 5 * len(ALPHABET)
    seen, gradients = [], []

    def watch(module, args, output):
        seen.append(len(output))
        output.register_hook(lambda gradient: gradients.append(len(gradient)))

    policy.model.lm_head.register_forward_hook(watch)
    log_probs = policy.log_probs(some_tokens())
    n = int(some_tokens().mask.sum())
    assert seen == [5] * (n // 5) + [n % 5] * (n % 5 > 0)
    log_probs.sum().backward()
    assert sum(gradients) == n and max(seen) == 5


def test_few_logits_are_not_computed_twice():
    policy = policy_of("qwen2")
    calls = []
    policy.model.lm_head.register_forward_hook(lambda *_: calls.append(1))
    policy.log_probs(some_tokens()).sum().backward()
    assert len(calls) == 1


@pytest.mark.parametrize("responses", [8, 32])
def test_memory_is_bounded_by_the_budget_and_not_by_the_batch(responses):
    policy = policy_of("qwen2")
    policy.logits_at_once = 6 * len(ALPHABET)
    tokens, sizes = some_tokens(responses), {"logits": [], "hidden": []}
    policy.model.lm_head.register_forward_hook(lambda m, a, out: sizes["logits"].append(out.numel()))
    policy.model.model.layers[0].register_forward_hook(lambda m, a, out: sizes["hidden"].append(math.prod(out.shape)))
    for rows in tokens.micro_batches(np.arange(responses), 60):
        policy.log_probs(tokens.select(rows)).sum().backward()
    assert max(sizes["logits"]) == 6 * len(ALPHABET)
    assert max(sizes["hidden"]) <= 60 * 16


def test_recomputed_layers_keep_their_inputs_alone():
    def kept(checkpointing: bool) -> int:
        policy, sizes = policy_of("qwen2"), []
        policy.gradient_checkpointing = checkpointing
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            policy.log_probs(some_tokens())
        return sum(sizes)

    assert kept(True) < kept(False) / 3
