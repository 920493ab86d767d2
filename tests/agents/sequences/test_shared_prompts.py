"""Prompts that are read once for all responses to them: the same numbers and gradients, from fewer tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from paretune.agents import GRPO, LanguageModelPolicy, Tokens, TransformersSampler, load_policy
from paretune.agents.sequences.shared_prompts import GroupedTokens, different_prompts, grouped
from paretune.envs import make_env
from tests.agents import rounding
from tests.agents.letters import ALPHABET, letter_tokenizer, random_policy
from tests.agents.sequences.test_scoring import SMALL, policy_of

pytestmark = pytest.mark.numeric


def groups(groups: int = 3, size: int = 3) -> Tokens:
    """Responses in groups, with prompts of 3 to 8 tokens and responses of 1 to 6."""
    rng = torch.Generator().manual_seed(3)
    prompt_lengths = torch.randint(3, 9, (groups, 1), generator=rng).repeat_interleave(size, 0)
    lengths = torch.randint(1, 7, (groups * size, 1), generator=rng)
    prompt = torch.randint(1, len(ALPHABET), (groups, 8), generator=rng).repeat_interleave(size, 0)
    response = torch.randint(1, len(ALPHABET), (groups * size, 6), generator=rng)
    prompt_mask, mask = torch.arange(8).flip(0) < prompt_lengths, torch.arange(6) < lengths
    return Tokens(prompt * prompt_mask, prompt_mask, response * mask, mask, torch.zeros(groups * size, 6))


def as_grouped(tokens: Tokens) -> GroupedTokens:
    _, _, which = different_prompts(tokens.prompt, tokens.prompt_mask)
    return GroupedTokens(
        tokens.prompt, tokens.prompt_mask, tokens.response, tokens.mask, tokens.log_probs, which.numpy()
    )


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_log_probabilities_entropies_and_gradients_are_those_of_whole_sequences(family: str) -> None:
    policy, tokens = policy_of(family), groups()
    trained = [parameter for parameter in policy.model.parameters() if parameter.requires_grad]
    factors = torch.linspace(-1, 1, tokens.mask.numel(), dtype=torch.float64).view(tokens.mask.shape)
    results = []
    for each in (tokens, as_grouped(tokens)):
        log_probs, entropies = policy.log_probs_and_entropies(each, 0.7)
        results.append((log_probs, entropies, torch.autograd.grad((log_probs * factors).sum(), trained)))
    (log_probs, entropies, gradients), (shared_log_probs, shared_entropies, shared_gradients) = results
    assert (log_probs != 0).sum() == tokens.mask.sum()
    gradient, shared_gradient = (torch.cat([p.flatten() for p in each]) for each in (gradients, shared_gradients))
    assert gradient.abs().sum() > 1
    rounding.assert_near(shared_log_probs.detach(), log_probs.detach(), rounding.of_norms(3))
    rounding.assert_near(shared_entropies.detach(), entropies.detach(), rounding.of_norms(3))
    rounding.assert_near(shared_gradient, gradient, rounding.of_norms(3))


def test_in_bfloat16_they_are_near_to_float32_as_those_of_whole_sequences_are() -> None:
    tokens = groups()
    exact, low = (random_policy(precision=precision).log_probs for precision in (torch.float32, torch.bfloat16))
    for each in (tokens, as_grouped(tokens)):
        with torch.no_grad():
            error = float((low(each) - exact(tokens)).norm() / exact(tokens).norm())
        assert 0 < error < rounding.of_products(2) / 3**0.5  # without the way back, two thirds


def test_rows_in_any_order_and_responses_of_one_token() -> None:
    policy, tokens = policy_of("gpt2"), groups()
    for rows in (np.array([8, 0, 4, 1, 7]), np.array([3])):
        some = tokens.select(rows)
        torch.testing.assert_close(policy.log_probs(as_grouped(some)), policy.log_probs(some))
    one = Tokens(tokens.prompt, tokens.prompt_mask, tokens.response[:, :1], tokens.mask[:, :1], tokens.log_probs[:, :1])
    torch.testing.assert_close(policy.log_probs(as_grouped(one)), policy.log_probs(one))


def test_different_prompts_are_told_apart_by_their_tokens_and_their_length() -> None:
    mask = torch.tensor([[0, 1, 1], [1, 1, 1], [0, 1, 1]], dtype=torch.bool)
    prompt, prompt_mask, which = different_prompts(torch.tensor([[9, 1, 2], [0, 1, 2], [5, 1, 2]]), mask)
    assert len(prompt) == 2
    assert which[0] == which[2] != which[1]
    assert (prompt_mask[which] == mask).all() and (prompt[which, 1:] == torch.tensor([1, 2])).all()


def test_tokens_are_grouped_where_that_saves_some() -> None:
    assert type(grouped(groups(3, 3), 1000)) is GroupedTokens
    assert type(grouped(groups(3, 3), 10)) is Tokens  # no batch holds two responses
    assert type(grouped(groups(9, 1), 1000)) is Tokens


def test_batches_hold_each_row_once_within_their_budget_and_their_padding_is_counted() -> None:
    tokens = as_grouped(groups(4, 4))
    batches = tokens.micro_batches(np.arange(16), 60)
    assert sorted(np.concatenate(batches).tolist()) == list(range(16))
    parts = [tokens.select(batch) for batch in batches]
    assert len(parts) > 1 and all(part.mask.numel() + part.prompt.numel() <= 60 for part in parts)
    one = as_grouped(groups(1, 2))
    prompt, responses = int(one.prompt_lengths[0]), one.lengths
    assert one.select(np.arange(2)).padding == (
        int(responses.max() * 2 - responses.sum()),
        prompt + 2 * responses.max(),
    )


def test_a_budget_of_what_a_batch_counts_as_is_just_enough_for_it() -> None:
    for tokens in (groups(), as_grouped(groups()), replace(as_grouped(groups()), copies=4)):
        every = np.arange(len(tokens.mask))
        assert len(tokens.micro_batches(every, tokens.batch_tokens)) == 1
        assert len(tokens.micro_batches(every, tokens.batch_tokens - 1)) > 1


def test_models_with_another_memory_do_without() -> None:
    assert policy_of("gpt2").reads_prompts_apart and policy_of("llama").reads_prompts_apart
    assert not policy_of("gemma2").reads_prompts_apart  # windows, and capped logits
    mamba = MambaForCausalLM(MambaConfig(hidden_size=16, num_hidden_layers=2, state_size=4, **SMALL))
    assert not LanguageModelPolicy(mamba, letter_tokenizer(), "mamba").reads_prompts_apart


@pytest.mark.parametrize("dropped", ["position_ids", "attention_mask"])
def test_a_model_that_does_not_heed_places_or_padding_does_without(dropped: str) -> None:
    policy = policy_of("gpt2")
    body, forward = policy.model.transformer, policy.model.transformer.forward
    body.forward = lambda **arguments: forward(**(arguments | {dropped: None}))
    assert not policy.reads_prompts_apart


def test_the_sampler_draws_the_same_tokens() -> None:
    env, policy = make_env("paretune/Arithmetic-v0"), load_policy("tiny-math", "cpu")
    prompts = [env.prompts("train", 1)[0], *(prompt for prompt in env.prompts("validation", 3) for _ in range(3))]
    sampler = TransformersSampler(policy=policy, max_new_tokens=12)
    shared = sampler.sample(prompts, np.random.default_rng(0))
    policy.share_prompts = False
    whole = sampler.sample(prompts, np.random.default_rng(0))
    assert shared.responses == whole.responses
    torch.testing.assert_close(shared.tokens.log_probs, whole.tokens.log_probs, rtol=1e-4, atol=1e-3)


def test_training_gives_the_same_metrics_from_fewer_tokens() -> None:
    lines = []
    for share in (True, False):
        agent = GRPO(
            "paretune/Arithmetic-v0",
            "tiny-math",
            prompts_per_step=2,
            group_size=4,
            max_new_tokens=12,
            kl=0.1,
            epochs=2,
            share_prompts=share,
        )
        sizes: list[int] = []
        read = agent.policy.model.model.embed_tokens.register_forward_hook(
            lambda module, inputs, output, sizes=sizes: sizes.append(inputs[0].numel())
        )
        lines.append(agent._train_step(1e-4) | {"read": sum(sizes)})
        read.remove()
    shared, whole = lines
    assert shared["read"] < 0.8 * whole["read"]
    for name in ("loss", "kl", "grad_norm", "log_prob_gap"):
        assert shared[name] == pytest.approx(whole[name], rel=1e-3, abs=1e-5), name


def mixed(groups: int = 24, size: int = 8) -> GroupedTokens:
    """Groups with prompts of about 10 and about 100 tokens, and responses of 1 to 200."""
    rng = torch.Generator().manual_seed(1)
    short = torch.rand(groups, 1, generator=rng) < 0.5
    lengths = torch.where(short, *(torch.randint(low, low + 6, (groups, 1), generator=rng) for low in (8, 98)))
    prompt_mask = torch.arange(110).flip(0) < lengths.repeat_interleave(size, 0)
    mask = torch.arange(200) < torch.randint(1, 201, (groups * size, 1), generator=rng)
    prompt = torch.randint(1, 9, (groups, 110), generator=rng).repeat_interleave(size, 0) * prompt_mask
    return as_grouped(Tokens(prompt, prompt_mask, mask.long(), mask, torch.zeros(mask.shape)))


@pytest.mark.parametrize("budget", [8192, 32_768])
def test_prompts_are_read_once_and_padding_is_less_than_a_tenth(budget: int) -> None:
    tokens = mixed()
    parts = [tokens.select(rows) for rows in tokens.micro_batches(np.arange(len(tokens.mask)), budget)]
    assert sum(len(part.prompts()[0]) for part in parts) == 24
    padding, size = np.sum([part.padding for part in parts], axis=0)
    assert padding < 0.1 * size
    assert size - padding == tokens.prompt_lengths[::8].sum() + tokens.lengths.sum()
    for part in parts:
        longest = [part.lengths[part.prompts()[1] == prompt].max() for prompt in range(len(part.prompts()[0]))]
        assert part.prompt.shape[1] * len(part.mask) + 8 * sum(longest) <= budget


def test_a_group_that_is_too_large_is_split() -> None:
    tokens = mixed(1)
    parts = [tokens.select(rows) for rows in tokens.micro_batches(np.arange(8), 500)]
    assert len(parts) > 1 and sum(len(part.mask) for part in parts) == 8
    for part in parts:
        rows, prompt = part.prompt.shape
        assert rows == 1 or rows * prompt + part.lengths.sum() <= 500
