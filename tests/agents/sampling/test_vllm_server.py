"""vLLM's own server, a process of its own: new weights arrive, and it answers as the transformers sampler does."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from paretune.agents import GRPO, RunFolder, TransformersSampler, load_policy
from paretune.agents.policies.loading import EMBEDDED
from paretune.agents.sampling.vllm_sampler import VllmSampler
from paretune.agents.sampling.vllm_server import VllmServer
from paretune.envs import make_env
from tests.agents.vllm_cases import assert_log_probs_are_the_policys, assert_same_greedy, change, draw

PATIENCE = 400.0


@contextlib.contextmanager
def server(log) -> Iterator[str]:
    """A server of the embedded model, while the block runs; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(EMBEDDED["tiny-math"])]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"]
    command += ["--kv-cache-memory-bytes", str(2**26), "--max-num-seqs", "32", "--generation-config", "vllm"]
    environment = os.environ | {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1", "TORCH_COMPILE_DISABLE": "1"}
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(process, address + "/health")
        yield address
    finally:
        process.terminate()
        process.wait(60)


def wait_for(process: subprocess.Popen, address: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    raise AssertionError("the server did not start")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_a_real_server_takes_new_weights_and_answers(tmp_path):
    policy = load_policy("tiny-math", device="cpu")
    shared = tmp_path / "shared"
    with (tmp_path / "log").open("w") as log, server(log) as address:
        for stop in ((), ("1",)):
            ours = VllmSampler(
                policy=policy, engine=VllmServer(address, str(shared), 1.0, 1.0), max_new_tokens=24, stop=stop
            )
            assert_same_greedy(ours, TransformersSampler(policy=policy, max_new_tokens=24, stop=stop))
            first, again = draw(ours), draw(ours)
            assert first.responses == again.responses != draw(ours, 1).responses
            assert_log_probs_are_the_policys(first, policy)
            change(policy)
        with pytest.raises(ValueError, match=r"start it with --logprobs-mode processed_logprobs for temperature=0\.5"):
            VllmServer(address, str(shared), 0.5, 1.0)

        options = {"sampler": "vllm-server", "sampler_url": address, "sampler_folder": str(shared)}
        options |= {"prompts_per_step": 2, "group_size": 4, "eval_prompts": 2, "max_new_tokens": 24}
        agent = GRPO(make_env("paretune/Arithmetic-v0"), "tiny-math", out=tmp_path / "run", pictures=False, **options)
        agent.train(2)
        gaps = [
            line["log_prob_gap_max"] for line in RunFolder(tmp_path / "run").metrics() if "log_prob_gap_max" in line
        ]
        assert len(gaps) == 2 and max(gaps) < 1e-3
    with pytest.raises(RuntimeError, match="does not answer"):
        agent.train(1)
