"""Making the agent of a run folder again."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import import_module
from typing import TYPE_CHECKING

import gymnasium as gym

from paretune.agents.checkpoint import read_optimizer, read_state
from paretune.agents.display import Display
from paretune.agents.language_model import LanguageModelPolicy
from paretune.agents.loading import load_saved
from paretune.agents.policies import bound_memory
from paretune.agents.policy import Policy
from paretune.agents.recorder import Recorder
from paretune.agents.run_folder import RunFolder
from paretune.agents.settings import AgentSettings
from paretune.agents.state import restore
from paretune.agents.trackers import TrackerName

if TYPE_CHECKING:
    from paretune.agents.agent import Agent

NEEDED = {field.name for field in fields(AgentSettings)} | {
    "env",
    "env_options",
    "agent",
    "policy",
    "policy_options",
    "steps",
}
NEEDED |= {"weighting", "preference", "weighting_options"}


def load_agent(
    base: type[Agent],
    run: RunFolder,
    checkpoint: str | None,
    env: gym.Env | None,
    display: Display | None,
    tracker: TrackerName,
    device: str | None,
) -> Agent:
    """Return the agent of a run at one of its checkpoints; see `Agent.load`, which this is."""
    config = run.config()
    if missing := NEEDED - config.keys():
        raise ValueError(f"run: {str(run.config_path)!r} must hold all settings of a run, but lacks {sorted(missing)}")
    del config["steps"]
    kind = _kind(base, config.pop("agent"))
    env_id, env_options = config.pop("env"), config.pop("env_options")
    if env is None and not env_id:
        raise ValueError(
            f"env: the run in {str(run.path)!r} was given an environment object; give it to load() as well"
        )
    path = run.find_checkpoint(checkpoint)
    state = None if path is None else read_state(path)  # a damaged checkpoint is found before anything long starts
    name, device, policy_options = config.pop("policy"), device or config["device"], config.pop("policy_options")
    policy: Policy | str = name
    if path is not None and state is not None:
        policy, policy_options = load_saved(path, device, config["precision"]), {}
        policy.name = name
        policy.train_only(state["trained"])
    agent = kind(
        env or env_id,
        policy,
        config.pop("weighting"),
        preference=config.pop("preference"),
        weighting_options=config.pop("weighting_options"),
        policy_options=policy_options,
        env_options=None if env else env_options,
        **(config | {"device": device}),
    )
    # As the run has them, "auto" included, and not as they turned out here.
    agent.settings = replace(agent.settings, device=device, precision=config["precision"])
    agent.recorder = Recorder(run, display, tracker, opened=True, main=agent.processes.main)
    if path is not None and state is not None:
        restore(agent, state)
        read_optimizer(path, agent.updater.optimizer)
        reference = agent.updater.reference
        if reference is not None and reference.model is not agent.policy.model:
            initial = load_saved(run.reference_path, str(agent.policy.device), agent.settings.precision)
            initial.model.requires_grad_(False)
            if isinstance(initial, LanguageModelPolicy):
                bound_memory(initial, agent.settings)
            if reference.sharded:
                initial.shard(agent.processes)
            agent.updater.reference = initial
    return agent


def _kind(base: type[Agent], name: str) -> type[Agent]:
    import_module("paretune.agents.algorithms")  # our own agents are known once they are imported
    kinds = {kind.algorithm.name: kind for kind in (base, *_subclasses(base)) if hasattr(kind, "algorithm")}
    if name not in kinds:
        raise ValueError(f"run: must be one of {' or '.join(kinds)}, but it is one of {name!r}")
    return kinds[name]


def _subclasses(base: type[Agent]) -> list[type[Agent]]:
    return [each for child in base.__subclasses__() for each in (child, *_subclasses(child))]
