"""One process of a run that several share; tests/agents/processes/test_distributed.py launches it with torchrun.

Usage: shared_run.py FOLDER RUN STEPS [SHARDING [DIES_AT]]; of several runs (RUN,RUN), each has a folder in FOLDER.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch
from torch.distributed.tensor import DTensor

from paretune.agents import GRPO, Agent, RunFolder
from paretune.agents.files import write_json
from paretune.agents.policies.shards import whole
from paretune.agents.processes.distributed import Processes
from paretune.agents.processes.launcher import ZERO_STAGES, chosen_sharding
from paretune.envs import ArithmeticEnv
from tests.agents.letters import LearningEnv, LettersEnv, random_policy

CHUNKED = {"tokens_per_batch": 60, "logits_at_once": 40, "gradient_checkpointing": True, "eval_prompts": 5}
CHUNKED |= {"entropy": 0.01, "record_gram": True}
EMBEDDED = {"group_size": 2, "max_new_tokens": 12, "eval_prompts": 3, "gradient_responses": 1000}
EMBEDDED |= {"sample_batch": 4, "lr": 3e-5}
REUSE = {"kl": 0.0, "epochs": 1, "minibatches": 1, "gradient_responses": 2}
RUNS = {
    "hypervolume": (LettersEnv, random_policy, "hypervolume", {}),
    "gradient": (LettersEnv, random_policy, "gradient", {}),
    # updates from the passes that compared gradients: of so few responses that a process may have none of them
    "reuse": (LettersEnv, random_policy, "gradient", REUSE),
    "learning": (LearningEnv, random_policy, "hypervolume", {}),
    "chunked": (LettersEnv, random_policy, "fixed", CHUNKED | {"gradient_mode": "backward"}),
    "sketch": (LettersEnv, random_policy, "gradient", CHUNKED | {"gradient_mode": "sketch", "gradient_width": 4}),
    "embedded": (ArithmeticEnv, lambda: "tiny-math", "gradient", EMBEDDED),
    "adapted": (ArithmeticEnv, lambda: "tiny-math", "fixed", EMBEDDED | {"lora_rank": 2}),
    "bfloat16": (LettersEnv, lambda: random_policy(precision=torch.bfloat16), "fixed", {"share_prompts": False}),
}
SETTINGS = {"prompts_per_step": 4, "group_size": 4, "lr": 1e-3, "eval_every": 3, "checkpoint_every": 2, "kl": 0.01}
SETTINGS |= {"schedule": "cosine", "epochs": 2, "minibatches": 2, "sample_batch": 8, "gradient_responses": 9}
SETTINGS |= {"pictures": False, "keep": "all"}


def agent_of(folder: Path, run: str, sharding: str) -> Agent:
    """Return the agent of the run in the folder, or a new one."""
    make_env, make_policy, weighting, settings = RUNS[run]
    if RunFolder(folder).config_path.exists():
        return Agent.load(folder, env=make_env())
    return GRPO(make_env(), make_policy(), weighting, out=folder, **(SETTINGS | settings | {"sharding": sharding}))


def die_at(agent: Agent, step: int) -> None:
    """Have this process killed in the middle of a step."""
    update = agent.updater.update

    def fatal(*args, **kwargs):
        if agent.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(*args, **kwargs)

    agent.updater.update = fatal


def sum_over_gloo() -> None:
    """Keep DeepSpeed from compiling its own way to sum on a CPU, which takes a minute."""
    import deepspeed.ops

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def held(agent: Agent) -> dict[str, int]:
    """Return how many numbers this process holds: of the model, and of the optimizer."""
    moments = [value for state in agent.updater.optimizer.state.values() for value in state.values()]
    tensors = {"model": list(agent.policy.model.parameters()), "optimizer": moments}
    return {
        name: sum((x.to_local() if isinstance(x, DTensor) else x).numel() for x in each)
        for name, each in tensors.items()
    }


def main(folder: Path, run: str, steps: int, sharding: str = "none", dies_at: int | None = None) -> None:
    """Train, and write what this process knows in the end."""
    processes = Processes.launched()
    if chosen_sharding(sharding, processes.size) in ZERO_STAGES:
        sum_over_gloo()
    agent = agent_of(folder, run, sharding)
    if dies_at is not None and processes.rank == processes.size - 1:
        die_at(agent, dies_at)
    agent.train(steps - agent.step)
    agent.save(folder / "saved")
    sizes = [float(whole(p).abs().sum()) for p in agent.policy.model.parameters()]
    write_json(folder / f"rank-{processes.rank}.json", {**agent.state_dict(), "parameters": sizes})
    write_json(folder / f"held-{processes.rank}.json", held(agent))


if __name__ == "__main__":
    folder, names, steps = Path(sys.argv[1]), sys.argv[2].split(","), int(sys.argv[3])
    for name in names:
        main(folder / name if len(names) > 1 else folder, name, steps, *sys.argv[4:5], *map(int, sys.argv[5:]))
