"""The vLLM samplers without an engine: what they ask it for, what they make of its answers, and what they refuse."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from paretune.agents import GRPO
from paretune.agents.processes.distributed import Processes
from paretune.agents.sampling.vllm_engine import VllmEngine
from paretune.agents.sampling.vllm_sampler import Drawn, VllmSampler
from paretune.envs import Prompt
from tests.agents.letters import LettersEnv, random_policy

PROMPTS = [Prompt.from_question(text) for text in ("a", "a", "a", "bcd", "bcd", "a")]


class Recorder:
    """Answers response i with i + 1 times the token 3, each with the log-probability -i."""

    def __init__(self) -> None:
        self.requests, self.manner = [], None

    def answer(self, policy, requests, manner):
        self.requests, self.manner = list(requests), manner
        number = sum(request.number for request in requests)
        return [Drawn([3] * (i + 1), [float(-i)] * (i + 1)) for i in range(number)]


def sampler(**options) -> VllmSampler:
    return VllmSampler(**{"policy": random_policy(), "engine": Recorder(), "max_new_tokens": 10, **options})


def groups(made: VllmSampler) -> list[tuple[int, int]]:
    """Number of responses and place of the first seed of each request."""
    first = made.engine.requests[0].seed
    return [(request.number, request.seed - first) for request in made.engine.requests]


def test_neighbours_with_the_same_prompt_are_a_group_and_seeds_go_on():
    made = sampler(temperature=0.5, stop=("b",))
    rollout = made.sample(PROMPTS, np.random.default_rng(0))
    assert groups(made) == [(3, 0), (2, 3), (1, 5)]
    assert [request.prompt for request in made.engine.requests] == made.policy.encode(
        [PROMPTS[0], PROMPTS[3], PROMPTS[5]]
    )
    manner = made.engine.manner
    assert (manner.longest, manner.temperature, manner.stop, manner.end_tokens) == (10, 0.5, ("b",), (1,))
    assert rollout.prompts == PROMPTS and rollout.responses == ["a" * (i + 1) for i in range(6)]
    assert [response.tokens for response in rollout.responses] == [1, 2, 3, 4, 5, 6]


def test_greedy_asks_for_single_responses_at_temperature_0():
    made = sampler(top_p=0.5)
    made.sample(PROMPTS, np.random.default_rng(0), greedy=True)
    assert [number for number, _ in groups(made)] == [1] * 6
    assert (made.engine.manner.temperature, made.engine.manner.top_p) == (0.0, 1.0)


def test_tokens_are_padded_as_the_trainer_wants_them():
    tokens = sampler().sample(PROMPTS, np.random.default_rng(0)).tokens
    assert tokens.lengths.tolist() == [1, 2, 3, 4, 5, 6] and tokens.prompt_lengths.tolist() == [1, 1, 1, 3, 3, 1]
    assert tokens.prompt_mask[0].tolist() == [False, False, True]
    assert tokens.response[1].tolist() == [3, 3, 0, 0, 0, 0]
    assert tokens.log_probs[2].tolist() == [-2.0, -2.0, -2.0, 0.0, 0.0, 0.0]
    assert tokens.log_probs.dtype == torch.float32 and tokens.response.dtype == torch.int64


def test_each_batch_takes_one_number_of_the_generator():
    """A process that skips the batches of others goes on where one process would have been."""
    made = sampler(batch=3)
    made.sample(PROMPTS, np.random.default_rng(0))
    second = made.engine.requests[1].seed
    rng = np.random.default_rng(0)
    rng.integers(2**63)
    made.sample(PROMPTS[3:], rng)
    assert made.engine.requests[0].seed == second


def test_log_probs_that_vllm_cannot_tell_are_refused():
    with pytest.raises(
        ValueError, match=r"top_p: must be 1 with temperature != 1.*got top_p=0\.9 and temperature=0\.5"
    ):
        sampler(top_p=0.9, temperature=0.5)


def test_a_prompt_longer_than_the_context_is_named():
    with pytest.raises(ValueError, match="context of 16 tokens"):
        sampler(policy=random_policy(context=16)).check_context([Prompt.from_question("abcdabcd")])


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r'sampler: "vllm" needs the extra "vllm": pip install "paretune\[vllm\]"'):
        VllmEngine(0.3, 8, 1.0, Processes())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "vlm"}, "sampler.*'vlm'.*vllm"),
        ({"sampler_memory": 0.0}, "sampler_memory: must be a number above 0 and at most 1, got 0"),
        ({"sampler": "vllm-server"}, "sampler_folder: must be a folder that the vLLM server sees as well"),
        (
            {"sampler": "vllm-server", "sampler_folder": ".", "sampler_url": "http://127.0.0.1:9"},
            "sampler_url: must be the address of a vLLM server.*got 'http://127.0.0.1:9'.*does not answer",
        ),
        (
            {"sampler": "vllm-server", "sampler_folder": ".", "sampler_url": "nowhere"},
            "sampler_url: must be the address of a vLLM server.*got 'nowhere'",
        ),
    ],
)
def test_mistakes_are_named_before_the_training(options, message):
    with pytest.raises(ValueError, match=message):
        GRPO(LettersEnv(), random_policy(), **options)


def test_stepped_environments_refuse_it():
    with pytest.raises(ValueError, match="sampler: must be 'transformers' for a network policy, got 'vllm'"):
        GRPO("paretune/TokenConcave-v0", sampler="vllm")
