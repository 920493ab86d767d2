"""The transformers sampler: what it draws, where it stops, and the log-probabilities it reports."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paretune.agents import TransformersSampler
from paretune.envs import Prompt
from tests.agents.letters import random_policy

pytestmark = pytest.mark.numeric

PROMPTS = [Prompt.from_question(text) for text in ("a", "bcd", "dd dd", "abcdabcd")] * 8


def sampler(**options) -> TransformersSampler:
    return TransformersSampler(**{"policy": random_policy(), "max_new_tokens": 10, **options})


def draw(made: TransformersSampler, seed: int = 0, **options):
    return made.sample(PROMPTS, np.random.default_rng(seed), **options)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.6}, {"batch": 5}, {"stop": ("ab", "c")}])
def test_reported_log_probs_are_the_policys(options):
    made = sampler(**options)
    rollout = draw(made)
    expected = made.policy.log_probs(rollout.tokens, made.temperature)
    torch.testing.assert_close(rollout.tokens.log_probs, expected, atol=1e-4, rtol=0)


def test_responses_end_at_the_end_token_or_at_the_limit():
    rollout = draw(sampler())
    lengths = rollout.tokens.lengths
    assert lengths.min() >= 1 and lengths.max() <= 10 and len(set(lengths)) > 2
    for row, length in zip(rollout.tokens.response.tolist(), lengths, strict=True):
        assert 1 not in row[: length - 1]
        assert row[length - 1] == 1 or length == 10
    assert [response.tokens for response in rollout.responses] == list(lengths)
    assert rollout.prompts == PROMPTS


def test_stop_strings_end_a_response_and_stay_in_it():
    rollout = draw(sampler(stop=("b",)))
    stopped = [text for text in rollout.responses if "b" in text]
    assert stopped and all(text.index("b") == len(text) - 1 for text in stopped)
    assert all(response.tokens >= len(response) for response in stopped)  # unknown tokens leave no letter


def test_seeds_reproduce_and_differ():
    made = sampler()
    first, again, other = draw(made, 0), draw(made, 0), draw(made, 1)
    assert first.responses == again.responses != other.responses
    assert torch.equal(first.tokens.log_probs, again.tokens.log_probs)


def test_sampling_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.get_rng_state()
    draw(sampler())
    assert torch.equal(before, torch.get_rng_state())


def test_greedy_takes_the_likeliest_tokens_however_prompts_are_batched():
    made = sampler()
    together = draw(made, greedy=True)
    for i, prompt in enumerate(PROMPTS[:4]):
        alone = made.sample([prompt], np.random.default_rng(9), greedy=True)
        assert alone.responses[0] == together.responses[i]
    row = together.tokens.select(np.array([1]))
    ids = torch.cat([row.prompt[0][row.prompt_mask[0]], row.response[0]])
    likeliest = made.policy.model(ids[None]).logits[0].argmax(-1)
    assert likeliest[row.prompt.shape[1] - 1 : -1].tolist() == row.response[0].tolist()


def test_low_temperature_and_small_nucleus_approach_greedy():
    greedy = draw(sampler(), greedy=True).responses
    assert draw(sampler(temperature=1e-3)).responses == greedy
    assert draw(sampler(top_p=1e-6)).responses == greedy


def test_sampled_frequencies_are_the_models():
    made = sampler(max_new_tokens=1)
    prompts = [PROMPTS[1]] * 4000
    rollout = made.sample(prompts, np.random.default_rng(0))
    frequencies = np.bincount(rollout.tokens.response[:, 0].numpy(), minlength=11) / len(prompts)
    logits = made.policy.model(torch.tensor(made.policy.encode(prompts[:1]))).logits[0, -1]
    # more than four standard errors, which are at most 0.5 / sqrt(4000)
    np.testing.assert_allclose(frequencies, logits.softmax(-1).detach().numpy(), atol=0.035)


def test_the_models_own_sampling_defaults_do_not_change_the_distribution():
    policy = random_policy()
    policy.model.generation_config.repetition_penalty = 5.0
    policy.model.generation_config.top_k = 1
    from paretune.agents import LanguageModelPolicy

    again = LanguageModelPolicy(policy.model, policy.tokenizer)
    assert draw(sampler(policy=again)).responses == draw(sampler()).responses


def test_a_prompt_longer_than_the_context_is_named():
    made = sampler(policy=random_policy(context=16), max_new_tokens=10)
    with pytest.raises(ValueError, match=r"context of 16 tokens.*8 tokens: 'abcdabcd'.*lower max_new_tokens"):
        made.check_context(PROMPTS)
