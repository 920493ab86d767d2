"""One process of a run that several processes share; tests/agents/test_processes.py launches it with torchrun.

Usage: shared_run.py FOLDER RUN STEPS [DIES_AT]
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from paretune.agents import GRPO, Agent, RunFolder
from paretune.agents.files import write_json
from paretune.agents.processes import Processes
from paretune.agents.state import state_of
from tests.agents.letters import LearningEnv, LettersEnv, random_policy

RUNS = {
    "hypervolume": (LettersEnv, "hypervolume", {}),
    "gradient": (LettersEnv, "gradient", {}),
    # updates from the passes that compared gradients: of so few responses that a process may have none of them
    "reuse": (LettersEnv, "gradient", {"kl": 0.0, "epochs": 1, "minibatches": 1, "gradient_responses": 2}),
    "learning": (LearningEnv, "hypervolume", {}),
}
SETTINGS = {"prompts_per_step": 4, "group_size": 4, "lr": 1e-3, "eval_every": 3, "checkpoint_every": 2, "kl": 0.01}
SETTINGS |= {"schedule": "cosine", "epochs": 2, "minibatches": 2, "sample_batch": 8, "gradient_responses": 9}
SETTINGS |= {"pictures": False, "keep": "all"}


def agent_of(folder: Path, run: str) -> Agent:
    """Return the agent of the run in the folder, or a new one."""
    make_env, weighting, options = RUNS[run]
    if RunFolder(folder).config_path.exists():
        return Agent.load(folder, env=make_env())
    return GRPO(make_env(), random_policy(), weighting, out=folder, **(SETTINGS | options))


def die_at(agent: Agent, step: int) -> None:
    """Have this process killed in the middle of a step."""
    update = agent.updater.update

    def fatal(*args, **kwargs):
        if agent.step == step:
            os.kill(os.getpid(), signal.SIGKILL)
        return update(*args, **kwargs)

    agent.updater.update = fatal


def main(folder: Path, run: str, steps: int, dies_at: int | None = None) -> None:
    """Train, and write what this process knows in the end."""
    processes = Processes.launched()
    agent = agent_of(folder, run)
    if dies_at is not None and processes.rank == processes.size - 1:
        die_at(agent, dies_at)
    agent.train(steps - agent.step)
    sizes = [float(np.abs(p.detach().numpy()).sum()) for p in agent.policy.model.parameters()]
    write_json(folder / f"rank-{processes.rank}.json", {**state_of(agent), "parameters": sizes})


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
