"""What `test_vllm_engine.py` runs in a process of its own: the real engine, on the embedded model.

An engine leaves a process group and more behind, and takes seconds to start; the tests here share it.
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from paretune.agents import GRPO, Agent, LanguageModelPolicy, TransformersSampler, load_policy
from paretune.agents.policies.adapters import add_lora
from paretune.agents.policies.shards import whole
from paretune.agents.processes.distributed import Processes
from paretune.agents.sampling.vllm_engine import VllmEngine
from paretune.agents.sampling.vllm_sampler import Manner, Request, VllmSampler
from paretune.envs import make_env
from tests.agents.letters import random_policy

BATCH = 16
PROMPTS = [p for p in make_env("paretune/Arithmetic-v0").sample_prompts(6, np.random.default_rng(0)) for _ in range(3)]
SETTINGS = {"prompts_per_step": 4, "group_size": 4, "eval_prompts": 4, "eval_every": 2, "checkpoint_every": 2}
SETTINGS |= {"max_new_tokens": 24, "sample_batch": BATCH, "pictures": False, "lr": 1e-3}


@pytest.fixture
def policy() -> LanguageModelPolicy:
    return load_policy("tiny-math", device="cpu")


def samplers(policy, **options) -> tuple[VllmSampler, TransformersSampler]:
    options = {"policy": policy, "max_new_tokens": 24, **options}
    engine = VllmEngine(0.3, BATCH, options.get("temperature", 1.0), Processes())
    return VllmSampler(engine=engine, **options), TransformersSampler(**options)


def draw(sampler, seed: int = 0, **options):
    return sampler.sample(PROMPTS, np.random.default_rng(seed), **options)


def assert_same_greedy(ours: VllmSampler, theirs: TransformersSampler) -> None:
    mine, reference = draw(ours, greedy=True), draw(theirs, greedy=True)
    assert mine.responses == reference.responses
    assert [r.tokens for r in mine.responses] == [r.tokens for r in reference.responses]
    for name in ("prompt", "prompt_mask", "response", "mask"):
        assert torch.equal(getattr(mine.tokens, name), getattr(reference.tokens, name)), name
    torch.testing.assert_close(mine.tokens.log_probs, reference.tokens.log_probs, atol=1e-3, rtol=0)


def assert_log_probs_are_the_policys(rollout, policy, temperature: float = 1.0) -> None:
    expected = policy.log_probs(rollout.tokens, temperature)
    torch.testing.assert_close(rollout.tokens.log_probs, expected.detach(), atol=1e-3, rtol=0)


def change(policy) -> None:
    """What an update does to the weights, and more."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in policy.model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.03 * torch.randn_like(parameter))


def test_tokens_and_log_probs_are_those_of_transformers_before_and_after_an_update(policy):
    ours, theirs = samplers(policy)
    assert_same_greedy(ours, theirs)
    before = draw(ours)
    assert_log_probs_are_the_policys(before, policy)
    change(policy)
    assert_same_greedy(ours, theirs)
    after = draw(ours)
    assert_log_probs_are_the_policys(after, policy)
    assert after.responses != before.responses
    assert len(set(after.tokens.lengths)) > 2 and after.tokens.lengths.max() <= 24


def test_adapters_arrive(policy):
    adapted = add_lora(policy.model, rank=4, alpha=8.0, targets=(), seed=0)
    policy = LanguageModelPolicy(adapted, policy.tokenizer, "adapted")
    ours, theirs = samplers(policy, top_p=0.8)
    plain = draw(ours, greedy=True).responses
    change(policy)
    before = {name: value.clone() for name, value in adapted.state_dict().items()}
    assert_same_greedy(ours, theirs)
    assert_log_probs_are_the_policys(draw(ours), policy)  # before top-p
    assert draw(ours, greedy=True).responses != plain
    assert all(torch.equal(value, before[name]) for name, value in adapted.state_dict().items())


def test_stop_strings_end_a_response_and_stay_in_it(policy):
    ours, theirs = samplers(policy, stop=("1", "s 2"))
    assert_same_greedy(ours, theirs)
    rollout = draw(ours)
    stopped = [text for text in rollout.responses if "1" in text]
    assert stopped and all(text.index("1") == len(text) - 1 for text in stopped)
    assert_log_probs_are_the_policys(rollout, policy)


def test_seeds_reproduce_and_differ_and_a_group_is_its_members(policy):
    ours, _ = samplers(policy)
    first, again, other = draw(ours, 0), draw(ours, 0), draw(ours, 1)
    assert first.responses == again.responses != other.responses
    assert torch.equal(first.tokens.log_probs, again.tokens.log_probs)
    prompt = policy.encode(PROMPTS[:1])[0]
    manner = Manner(longest=12, temperature=1.0, top_p=1.0, stop=(), end_tokens=tuple(policy.end_tokens))
    group = ours.engine.answer(policy, [Request(prompt=prompt, number=5, seed=7)], manner)
    members = [Request(prompt=prompt, number=1, seed=7 + i) for i in range(5)]
    assert [one.tokens for one in group] == [one.tokens for one in ours.engine.answer(policy, members, manner)]
    assert len({tuple(one.tokens) for one in group}) > 1


def test_sampled_frequencies_are_the_models(policy):
    change(policy)
    ours, _ = samplers(policy, max_new_tokens=1)
    rollout = ours.sample([PROMPTS[0]] * 2000, np.random.default_rng(0))
    probabilities = policy.model(torch.tensor(policy.encode(PROMPTS[:1]))).logits[0, -1].softmax(-1).detach().numpy()
    frequencies = np.bincount(rollout.tokens.response[:, 0].numpy(), minlength=len(probabilities)) / 2000
    np.testing.assert_allclose(frequencies, probabilities, atol=0.05)


def test_the_process_stays_as_it_was(policy):
    ours, _ = samplers(policy)
    environment, set_num_threads, threads = dict(os.environ), torch.set_num_threads, torch.get_num_threads()
    cores = os.sched_getaffinity(0)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    draw(ours)
    assert (dict(os.environ), torch.set_num_threads, torch.get_num_threads()) == (environment, set_num_threads, threads)
    assert os.sched_getaffinity(0) == cores
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_agents_train_and_resume_with_it(tmp_path):
    """The second and third agent share the engine of the first."""
    whole = GRPO("paretune/Arithmetic-v0", "tiny-math", sampler="vllm", out=tmp_path / "whole", **SETTINGS)
    whole.train(4)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()]
    gaps = [line["log_prob_gap_max"] for line in lines if "log_prob_gap_max" in line]
    assert len(gaps) == 4 and max(gaps) < 1e-3

    half = GRPO("paretune/Arithmetic-v0", "tiny-math", sampler="vllm", out=tmp_path / "half", **SETTINGS)
    half.train(2)
    resumed = Agent.load(tmp_path / "half")
    assert resumed.settings.sampler == "vllm"
    resumed.train(2)
    for name, value in whole.policy.model.state_dict().items():
        torch.testing.assert_close(resumed.policy.model.state_dict()[name], value)


def test_a_response_may_fill_the_context(policy):
    prompts = PROMPTS[:1]
    room = policy.context_length - len(policy.encode(prompts)[0])
    ours, theirs = samplers(policy, max_new_tokens=room)
    seed = np.random.default_rng(0)
    assert ours.sample(prompts, seed, greedy=True).responses == theirs.sample(prompts, seed, greedy=True).responses
    more = Manner(longest=room + 1, temperature=1.0, top_p=1.0, stop=(), end_tokens=())
    with pytest.raises(
        ValueError, match=f"of {policy.context_length + 1} tokens, got room for {policy.context_length}"
    ):
        ours.engine.answer(policy, [Request(prompt=policy.encode(prompts)[0], number=1, seed=0)], more)


def test_another_temperature_needs_another_engine_which_takes_its_place(policy):
    ours, theirs = samplers(policy, temperature=0.6)
    assert_log_probs_are_the_policys(draw(ours), policy, temperature=0.6)
    assert_same_greedy(ours, theirs)


def test_many_long_prompts_are_answered_with_seeded_draws(policy):
    policy.model.config.max_position_embeddings = 4096
    ours, _ = samplers(policy, max_new_tokens=4)
    manner = Manner(longest=4, temperature=1.0, top_p=1.0, stop=(), end_tokens=())
    requests = [Request(prompt=[5 + i] * 3000, number=1, seed=i) for i in range(4)]  # more than a pass of vLLM takes
    assert [len(drawn.tokens) for drawn in ours.engine.answer(policy, requests, manner)] == [4] * 4


def test_a_model_that_vllm_cannot_run_is_named():
    ours, _ = samplers(random_policy(context=256))  # its heads are 8 wide
    with pytest.raises(ValueError, match="sampler: must be able to run the policy, got 'random', of which vLLM says"):
        draw(ours)


if __name__ == "__main__":  # one of two processes that train together; both agents share its engine
    for sharding in ("none", "fsdp"):
        agent = GRPO("paretune/Arithmetic-v0", "tiny-math", sampler="vllm", sharding=sharding, **SETTINGS)
        gaps = [agent._train_step(1e-3)["log_prob_gap_max"] for _ in range(2)]
        assert max(gaps) < 1e-3, gaps
        total = sum(float(whole(p).abs().sum()) for p in agent.policy.model.parameters())
        told = f"{agent.processes.size} {agent.step} {total!r}"
        Path(sys.argv[1], f"{sharding}-{agent.processes.rank}").write_text(told)
