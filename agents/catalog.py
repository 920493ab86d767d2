"""REINFORCE, RLOO and GRPO: the agent with one algorithm each."""

from __future__ import annotations

from paretune.agents.agent import Agent
from paretune.agents.updates.algorithm import Algorithm
from paretune.envs.suggest import unknown_name
from paretune.weighting.advantages import grpo, reinforce, rloo


class REINFORCE(Agent):
    """Williams 1992: the reward above the batch's mean.

    A = r - mean over the batch; the loss sums over a response's tokens, without a clip.
    """

    algorithm = Algorithm(name="reinforce", advantage=reinforce, group=False)


class RLOO(Agent):
    """REINFORCE leave-one-out, Ahmadian et al., arXiv 2402.14740: the reward above that of the group's other responses.

    A = (r - group mean) * G / (G - 1); the loss sums over a response's tokens, without a clip.
    """

    algorithm = Algorithm(name="rloo", advantage=rloo)


class GRPO(Agent):
    """Group-relative policy optimisation, Shao et al., arXiv 2402.03300: the reward in the group's standard deviations.

    A = (r - group mean) / group std; the loss is the mean over each response's tokens, with PPO's clip.
    """

    algorithm = Algorithm(name="grpo", advantage=grpo, normalises=True, clip=0.2, loss_mean="response")


AGENTS: dict[str, type[Agent]] = {agent.algorithm.name: agent for agent in (REINFORCE, RLOO, GRPO)}
"""The agents by the names they have on the command line."""


def agent_class(name: str) -> type[Agent]:
    """Return the agent called `name`.

    Raises:
        ValueError: If there is none; the message has the nearest names.
    """
    if name not in AGENTS:
        raise ValueError(unknown_name("agent", name, AGENTS))
    return AGENTS[name]
