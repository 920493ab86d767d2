"""From the settings to what makes the optimizer updates and compares gradients."""

from __future__ import annotations

from paretune.agents.policies.base import Policy
from paretune.agents.processes.distributed import Processes
from paretune.agents.processes.launcher import ZERO_STAGES, chosen_sharding
from paretune.agents.settings import AgentSettings
from paretune.agents.updates.algorithm import Algorithm
from paretune.agents.updates.comparison import GradientComparison
from paretune.agents.updates.passes import Passes
from paretune.agents.updates.updater import Updater
from paretune.weighting import GradientAnalyzer


def make_passes(
    algorithm: Algorithm, policy: Policy, settings: AgentSettings, longest: int, processes: Processes
) -> Passes:
    """Return the forward passes over a step's sequences; settings that are None are the algorithm's.

    Args:
        algorithm: Its defaults of the loss.
        policy: The policy that is trained.
        settings: The agent's settings.
        longest: Most decisions of an episode.
        processes: Those that train together.
    """
    loss_mean = settings.loss_mean or algorithm.loss_mean
    zero_stage = ZERO_STAGES.get(chosen_sharding(settings.sharding, processes.size), 0)
    return Passes(policy, settings, loss_mean, longest, processes, zero_stage)


def make_updater(passes: Passes, algorithm: Algorithm, reference: Policy | None) -> Updater:
    """Return what makes the optimizer updates, with a KL term to a `reference` if there is one."""
    clip = passes.settings.clip
    return Updater(passes, algorithm.clip if clip is None else clip, reference)


def make_comparison(passes: Passes) -> GradientComparison:
    """Return what compares the objectives' gradients of the same loss, as the settings have it."""
    policy, settings, processes = passes.policy, passes.settings, passes.processes
    with policy.gathered():
        analyzer = GradientAnalyzer(
            policy.model,
            settings.gradient_parameters,
            settings.gradient_mode,
            width=settings.gradient_width,
            seed=settings.seed,
            reduce=None if processes.size == 1 else processes.sum_tensor,
        )
    return GradientComparison(passes, analyzer)
