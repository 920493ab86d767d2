"""What is stored of an agent: its settings, and what training has changed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from paretune.agents.components import env_config
from paretune.agents.policies import policy_config
from paretune.agents.weightings import weighting_config

if TYPE_CHECKING:
    from paretune.agents.agent import Agent


def config_of(agent: Agent) -> dict[str, Any]:
    """Return all settings of an agent as a settings file holds them, JSON-able."""
    return {
        **env_config(agent.env),
        "agent": agent.algorithm.name,
        **policy_config(agent.policy),
        **weighting_config(agent.weighting),
        **asdict(agent.settings),
    }


def state_of(agent: Agent) -> dict[str, Any]:
    """Return what training has changed besides policy and optimizer, JSON-able."""
    return {
        "step": agent.step,
        "weighting": agent.weighting.state_dict(),
        "archive": agent.archive.state_dict(),
        "env": agent.task.state_dict(),
        "gram": None if agent.gradients.last is None else [agent.gradients.last[0], agent.gradients.last[1].tolist()],
        "trained": agent.policy.trained_parameters(),
        "performances": {str(step): performance.tolist() for step, performance in agent.performances.items()},
    }


def restore(agent: Agent, state: dict[str, Any]) -> None:
    """Put an agent into the state that `state_of` returned."""
    agent.step = state["step"]
    agent.weighting.load_state_dict(state["weighting"])
    agent.archive.load_state_dict(state["archive"])
    agent.task.load_state_dict(state["env"])
    agent.gradients.last = None if state["gram"] is None else (state["gram"][0], np.array(state["gram"][1]))
    agent.performances = {int(step): np.array(performance) for step, performance in state["performances"].items()}
