"""What a run folder holds of an agent: enough to make it again."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import gymnasium as gym

from paretune.agents.policies.base import Policy
from paretune.agents.policies.loading import load_saved
from paretune.agents.runs.checkpoint import Checkpoint, read_checkpoint, read_optimizer
from paretune.agents.runs.run_folder import RunFolder
from paretune.agents.settings import AgentSettings
from paretune.agents.state import TrainingState

NEEDED = {field.name for field in fields(AgentSettings)} | {
    "env",
    "env_options",
    "agent",
    "policy",
    "policy_options",
    "steps",
    "weighting",
    "preference",
    "weighting_options",
}
"""What config.json must hold."""


@dataclass(frozen=True)
class StoredAgent:
    """An agent as a run folder holds it.

    Attributes:
        run: The run folder.
        algorithm: Name of the agent's algorithm.
        arguments: Of the agent's constructor, by name.
        asked: The settings that turn out differently from machine to machine, as the run was asked for them.
        checkpoint: Where training goes on from; None is the start.
    """

    run: RunFolder
    algorithm: str
    arguments: dict[str, Any]
    asked: dict[str, Any]
    checkpoint: Checkpoint | None

    def restore(self, state: TrainingState) -> None:
        """Put an agent that was made from the arguments into the state of the checkpoint."""
        if self.checkpoint is not None:
            state.load_state_dict(self.checkpoint.state)
            read_optimizer(self.checkpoint.path, state.updater.optimizer)


def read_agent(run: RunFolder, checkpoint: str | None, env: gym.Env | None, device: str | None) -> StoredAgent:
    """Read the agent of a run at one of its checkpoints, policies included; see `Agent.load`."""
    config = run.config()
    if missing := NEEDED - config.keys():
        raise ValueError(f"run: must hold all settings, got {str(run.config_path)!r} without {sorted(missing)}")
    del config["steps"]
    algorithm, env_id = config.pop("agent"), config.pop("env")
    if env is None and not env_id:
        raise ValueError(
            f"env: must be given to load() for a run that was given an environment object, got none for "
            f"{str(run.path)!r}"
        )
    asked = {"device": device or config["device"], "precision": config["precision"]}
    path = run.find_checkpoint(checkpoint)
    found = None if path is None else read_checkpoint(path)  # a damaged one is found before anything long starts
    arguments = config | asked | {"env": env or env_id, "env_options": None if env else config["env_options"]}
    if found is not None:
        arguments |= {"policy_options": {}, **_policies(run, found, config | asked)}
    return StoredAgent(run, algorithm, arguments, asked, found)


def _policies(run: RunFolder, checkpoint: Checkpoint, config: dict[str, Any]) -> dict[str, Policy | None]:
    """Load the policy of a checkpoint, and the initial one where a KL term needs it."""
    policy = load_saved(checkpoint.path, config["device"], config["precision"])
    policy.name = config["policy"]
    policy.train_only(checkpoint.state["trained"])
    initial = None
    if config["kl"] > 0 and (run.reference_path.exists() or not policy.holds_reference):
        initial = load_saved(run.reference_path, str(policy.device), config["precision"])
    return {"policy": policy, "initial": initial}
