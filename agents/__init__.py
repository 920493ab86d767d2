"""Agents: policies, sampling, losses, and the training loop.

Each name is imported when it is first used: torch and transformers take seconds, which a help text, a picture or a
mistyped option need not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretune.agents.agent import Agent
    from paretune.agents.algorithm import Algorithm
    from paretune.agents.algorithms import AGENTS, GRPO, REINFORCE, RLOO, agent_class
    from paretune.agents.evaluation import Evaluation
    from paretune.agents.language_model import LanguageModelPolicy
    from paretune.agents.loading import load_policy
    from paretune.agents.network import NetworkConfig, NetworkPolicy
    from paretune.agents.policy import Policy
    from paretune.agents.replay_picture import draw_replays
    from paretune.agents.replaying import Replay, replay
    from paretune.agents.result import TrainResult
    from paretune.agents.rollout import Rollout, Tokens
    from paretune.agents.run_folder import RunFolder
    from paretune.agents.sampler import Sampler, TransformersSampler
    from paretune.agents.settings import AgentSettings
    from paretune.agents.sweep import Sweep, SweepResult

__all__ = [
    "AGENTS",
    "GRPO",
    "REINFORCE",
    "RLOO",
    "Agent",
    "AgentSettings",
    "Algorithm",
    "Evaluation",
    "LanguageModelPolicy",
    "NetworkConfig",
    "NetworkPolicy",
    "Policy",
    "Replay",
    "Rollout",
    "RunFolder",
    "Sampler",
    "Sweep",
    "SweepResult",
    "Tokens",
    "TrainResult",
    "TransformersSampler",
    "agent_class",
    "draw_replays",
    "load_policy",
    "replay",
]

_HOMES = {
    "AGENTS": "algorithms",
    "GRPO": "algorithms",
    "REINFORCE": "algorithms",
    "RLOO": "algorithms",
    "Agent": "agent",
    "AgentSettings": "settings",
    "Algorithm": "algorithm",
    "Evaluation": "evaluation",
    "LanguageModelPolicy": "language_model",
    "NetworkConfig": "network",
    "NetworkPolicy": "network",
    "Policy": "policy",
    "Replay": "replaying",
    "Rollout": "rollout",
    "RunFolder": "run_folder",
    "Sampler": "sampler",
    "Sweep": "sweep",
    "SweepResult": "sweep",
    "Tokens": "rollout",
    "TrainResult": "result",
    "TransformersSampler": "sampler",
    "agent_class": "algorithms",
    "draw_replays": "replay_picture",
    "load_policy": "loading",
    "replay": "replaying",
}
"""The modules of the names."""


def __getattr__(name: str) -> Any:
    """Import a name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
