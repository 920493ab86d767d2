"""Agents: policies, sampling, losses, and the training loop."""

from paretune.agents.advantages import Algorithm
from paretune.agents.agent import Agent
from paretune.agents.algorithms import AGENTS, GRPO, REINFORCE, RLOO, agent_class
from paretune.agents.evaluation import Evaluation
from paretune.agents.language_model import LanguageModelPolicy
from paretune.agents.loading import load_policy
from paretune.agents.network import NetworkConfig, NetworkPolicy
from paretune.agents.policy import Policy
from paretune.agents.result import TrainResult
from paretune.agents.rollout import Rollout, Tokens
from paretune.agents.run_folder import RunFolder
from paretune.agents.sampler import Sampler, TransformersSampler
from paretune.agents.settings import AgentSettings

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
    "Rollout",
    "RunFolder",
    "Sampler",
    "Tokens",
    "TrainResult",
    "TransformersSampler",
    "agent_class",
    "load_policy",
]
