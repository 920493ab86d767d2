"""From the settings to what makes the optimizer updates."""

from __future__ import annotations

from paretune.agents.policies.base import Policy
from paretune.agents.processes.distributed import Processes
from paretune.agents.processes.launcher import ZERO_STAGES, chosen_sharding
from paretune.agents.settings import AgentSettings
from paretune.agents.updates.algorithm import Algorithm
from paretune.agents.updates.updater import Updater


def make_updater(
    algorithm: Algorithm,
    policy: Policy,
    reference: Policy | None,
    settings: AgentSettings,
    longest: int,
    processes: Processes,
) -> Updater:
    """Return what makes the optimizer updates; settings that are None are the algorithm's.

    Args:
        algorithm: Its defaults of the loss.
        policy: The policy that is trained.
        reference: Policy that the KL term compares with, if any.
        settings: The agent's settings.
        longest: Most decisions of an episode.
        processes: Those that train together.
    """
    return Updater(
        policy=policy,
        settings=settings,
        clip=algorithm.clip if settings.clip is None else settings.clip,
        loss_mean=settings.loss_mean or algorithm.loss_mean,
        longest=longest,
        reference=reference,
        processes=processes,
        zero_stage=ZERO_STAGES.get(chosen_sharding(settings.sharding, processes.size), 0),
    )
