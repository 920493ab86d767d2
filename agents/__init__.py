"""Agents: policies, sampling, losses, and the training loop.

Each name is imported when it is first used: torch and transformers take seconds, which a help text, a picture or a
mistyped option need not wait for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretune.agents.catalog import AGENTS, GRPO, REINFORCE, RLOO, Agent, agent_class
    from paretune.agents.pictures.replay_picture import draw_replays
    from paretune.agents.policies.base import Policy
    from paretune.agents.policies.language_model import LanguageModelPolicy
    from paretune.agents.policies.loading import load_policy
    from paretune.agents.policies.network import NetworkConfig, NetworkPolicy
    from paretune.agents.remeasuring import RemeasuredFront, remeasure_front
    from paretune.agents.result import TrainResult
    from paretune.agents.runs.replaying import Replay, replay
    from paretune.agents.runs.run_folder import RunFolder
    from paretune.agents.sampling.base import Sampler
    from paretune.agents.sampling.transformers_sampler import TransformersSampler
    from paretune.agents.sequences.rollout import Rollout, Tokens
    from paretune.agents.settings import AgentSettings
    from paretune.agents.sweeps.sweep import Sweep, SweepResult
    from paretune.agents.tasks.evaluation import Evaluation
    from paretune.agents.updates.algorithm import Algorithm

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
    "RemeasuredFront",
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
    "remeasure_front",
    "replay",
]

_HOMES = {
    "AGENTS": "catalog",
    "GRPO": "catalog",
    "REINFORCE": "catalog",
    "RLOO": "catalog",
    "Agent": "catalog",
    "AgentSettings": "settings",
    "Algorithm": "updates.algorithm",
    "Evaluation": "tasks.evaluation",
    "LanguageModelPolicy": "policies.language_model",
    "NetworkConfig": "policies.network",
    "NetworkPolicy": "policies.network",
    "Policy": "policies.base",
    "RemeasuredFront": "remeasuring",
    "Replay": "runs.replaying",
    "Rollout": "sequences.rollout",
    "RunFolder": "runs.run_folder",
    "Sampler": "sampling.base",
    "Sweep": "sweeps.sweep",
    "SweepResult": "sweeps.sweep",
    "Tokens": "sequences.rollout",
    "TrainResult": "result",
    "TransformersSampler": "sampling.transformers_sampler",
    "agent_class": "catalog",
    "draw_replays": "pictures.replay_picture",
    "load_policy": "policies.loading",
    "remeasure_front": "remeasuring",
    "replay": "runs.replaying",
}
"""The modules of the names."""


def __getattr__(name: str) -> Any:
    """Import a name from its module."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
