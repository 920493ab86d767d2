"""What is recorded of a run: trees of dictionaries, of run folders, agents, environments and the command line."""

from __future__ import annotations

import hashlib
import io
import json
import runpy
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from paretune.agents import Agent, RunFolder
from paretune.envs import Prompt, Response

Record = dict[str, Any]
"""By part of a run ("step 1", "history", "parameters", ...) and field; JSON-able, and JSON keeps floats exactly."""


def agent_record(agent: Agent, folder: Path) -> Record:
    """Return the record of a run folder, and of the agent that has just written it."""
    greedy, sampled = agent.assess("test", 4), agent.assess("test", 4, sampled=True)
    return {
        **run_record(folder),
        "weighting": agent.weighting.state_dict(),
        "test": {"responses": list(greedy.responses), "rewards": greedy.rewards.tolist()},
        "test, sampled": {"responses": list(sampled.responses), "rewards": sampled.rewards.tolist()},
    }


def run_record(folder: Path) -> Record:
    """Return what a run folder holds: metrics without times, archive, history, settings, digests of tensors."""
    run = RunFolder(folder)
    lines = run.metrics()
    for line in lines:
        del line["times"]
    config, last = run.config(), run.checkpoints()[-1]
    shape = (config["prompts_per_step"], config["group_size"], len(lines[0]["weights"]))
    files = [
        path for path in sorted(run.history_path.iterdir()) if path.stem != "gram_noise"
    ]  # metrics tell the errors
    return {
        **{f"step {line.pop('step')}": line for line in lines},
        "archive": json.loads(run.archive_path.read_text()),
        "history": {path.name: history(path, shape) for path in files},
        "checkpoints": [path.name for path in run.checkpoints()],
        "parameters": {path.name: digest(load_file(path)) for path in sorted(last.glob("*.safetensors"))},
        "config": config,
    }


def history(path: Path, shape: tuple[int, int, int]) -> Record:
    """Return the rewards (P, G, K), or the Gram matrices (K, K), of a file of a run's history by step."""
    number, of_each = {"f32": "<f4", "f64": "<f8"}[path.suffix[1:]], shape if path.stem == "rewards" else shape[-1:] * 2
    records = np.frombuffer(path.read_bytes(), np.dtype([("step", "<i8"), ("value", number, of_each)]))
    return {f"step {record['step']}": record["value"].tolist() for record in records}


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of tensors: their names, number formats, shapes and bytes, in the order of their names."""
    sha = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def score(env: Any, prompts: Sequence[Prompt], texts: Sequence[str]) -> list[list[float]]:
    """Return the rewards of responses with as many tokens as characters."""
    return env.score(prompts, [Response(text, len(text)) for text in texts]).tolist()


def walked(env: Any) -> Record:
    """Return observations and rewards of an episode of drawn actions."""
    observation, _ = env.reset(seed=3)
    rng, seen = np.random.default_rng(0), [np.asarray(observation).tolist()]
    rewards, over = [], False
    while not over:
        observation, reward, terminated, truncated, _ = env.step(int(rng.integers(env.action_space.n)))
        seen.append(np.asarray(observation).tolist())
        rewards.append(reward.tolist())
        over = terminated or truncated
    return {"observations": seen, "rewards": rewards}


def command_line(words: Sequence[str]) -> Record:
    """Run `paretune WORDS` in this process; return the lines that it prints and its exit code."""
    out, argv = io.StringIO(), sys.argv
    sys.argv, code = ["paretune", *words], None
    try:
        with redirect_stdout(out):
            runpy.run_module("paretune.cli", run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = argv
    return {"lines": out.getvalue().splitlines(), "code": code}
