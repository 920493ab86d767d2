"""The vLLM engine in a process: real, on the embedded model."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from paretune.agents import load_policy
from paretune.agents.processes.distributed import Processes

CASES = Path(__file__).parents[1] / "vllm_cases.py"
ROOT = Path(__file__).resolve().parents[3]

needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")


@needs_vllm
@pytest.mark.slow
def test_the_engine_passes_its_cases_in_a_process_of_its_own():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-8000:]


@needs_vllm
@pytest.mark.slow
def test_each_of_two_processes_has_an_engine_of_its_own(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    command += ["-m", "tests.agents.vllm_cases", str(tmp_path)]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr[-8000:]
    for sharding in ("none", "fsdp"):
        first, second = ((tmp_path / f"{sharding}-{rank}").read_text() for rank in range(2))
        assert first == second and first.startswith("2 2 ")


@needs_vllm
@pytest.mark.gpu
def test_on_a_gpu_the_engine_sleeps_between_samplings():
    from paretune.agents.sampling.vllm_engine import VllmEngine
    from paretune.agents.sampling.vllm_sampler import VllmSampler
    from paretune.envs import make_env

    policy = load_policy("tiny-math", device="cuda")
    engine = VllmEngine(0.3, 32, 1.0, Processes())
    sampler = VllmSampler(policy=policy, engine=engine, max_new_tokens=24)
    prompts = make_env("paretune/Arithmetic-v0").sample_prompts(8, np.random.default_rng(0))
    free = []
    for _ in range(2):
        rollout = sampler.sample(prompts, np.random.default_rng(0))
        free.append(torch.cuda.mem_get_info()[0])
        expected = policy.log_probs(rollout.tokens, 1.0)
        torch.testing.assert_close(rollout.tokens.log_probs, expected.detach(), atol=0.1, rtol=0)  # bfloat16
        with torch.no_grad():
            for parameter in policy.model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
    total = torch.cuda.mem_get_info()[1]
    assert min(free) > total * 0.8 and abs(free[0] - free[1]) < total * 0.02
