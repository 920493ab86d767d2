"""The agent: an environment, a policy and a weighting, put together, stored and made again; `training` has the loop.

Shapes: K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from paretune.agents.display import Display
from paretune.agents.policies.base import Policy
from paretune.agents.policies.catalog import policy_config, reference_of, resolve_policy
from paretune.agents.processes.distributed import Processes
from paretune.agents.processes.launcher import check_launch
from paretune.agents.recorder import Recorder
from paretune.agents.restoring import read_agent
from paretune.agents.runs.run_folder import RunFolder
from paretune.agents.runs.trackers import TrackerName
from paretune.agents.settings import agent_settings, check_compared
from paretune.agents.tasks.catalog import env_config, make_task, resolve_env
from paretune.agents.tasks.episode_task import objective_names
from paretune.agents.tasks.text_task import prompts_of
from paretune.agents.training import Training
from paretune.agents.updates.catalog import make_comparison, make_passes, make_updater
from paretune.envs import ResponseEnv
from paretune.weighting import ParetoArchive, Weighting
from paretune.weighting.catalog import check_reference, resolve_weighting, weighting_config

Array = NDArray[np.float64]


class Agent(Training):
    """Trains a policy on an environment's vector rewards, weighed by a strategy.

    `REINFORCE`, `RLOO` and `GRPO` are this class with one algorithm each.

    Attributes:
        algorithm: What the advantages and the loss are.
        env: The environment.
        policy: The policy that is trained.
        task: Both together: where episodes start, and how the policy acts in them.
        weighting: The strategy that weighs the objectives.
        settings: All settings.
        objectives: Names of the K objectives, in order.
        processes: Those that train together, one as a rule.
        step: Training steps done.
        archive: Pareto archive of validation performances; tags name the steps.
        performances: Validation performance (K,) by step.
        updater: Makes the optimizer updates.
        gradients: Compares the objectives' gradients.

    Example:
        >>> agent = GRPO("paretune/Arithmetic-v0", "tiny-math", "fixed", prompts_per_step=2, group_size=2, lr=1e-4)
        >>> agent.train(1).steps
        1
    """

    def __init__(
        self,
        env: str | gym.Env,
        policy: str | Path | Policy | None = None,
        weighting: str | Weighting = "fixed",
        *,
        preference: Sequence[float] | None = None,
        env_options: Mapping[str, Any] | None = None,
        policy_options: Mapping[str, Any] | None = None,
        weighting_options: Mapping[str, Any] | None = None,
        initial: Policy | None = None,
        out: str | Path | None = None,
        overwrite: bool = False,
        display: Display | None = None,
        tracker: TrackerName = "none",
        **settings: Any,
    ) -> None:
        """Put the parts together and check that they fit, before anything long starts.

        Args:
            env: An environment or its id: a `ResponseEnv`, or any MO-Gymnasium environment with discrete actions.
            policy: A policy or its name: for a `ResponseEnv` one that `load_policy` knows, by default "tiny-math"; for
                other environments "mlp", the default, or "gru", which remembers what it saw.
            weighting: A strategy or its name.
            preference: Weights (K,) for a strategy given by name; None is equal ones.
            env_options: Options of an environment given by id.
            policy_options: Options of a network given by name: hidden, the widths of its layers, (64, 64) by default.
            weighting_options: Options of a strategy given by name.
            initial: Policy that a KL term compares with; None is the policy as it is given. It is frozen.
            out: Folder that the run is written to; None writes nothing.
            overwrite: Replace a run that `out` already holds.
            display: Shows the progress; None shows nothing but warnings, as Python does.
            tracker: Experiment tracker that gets the metrics as well.
            **settings: Fields of `AgentSettings`.

        Raises:
            ValueError: If a name is unknown, a value breaks its rule, or the parts do not fit together.
        """
        self.settings = agent_settings(settings)
        self.algorithm.check_group_size(self.settings)
        check_launch(self.settings)
        self.processes = Processes.launched()
        self.env = resolve_env(env, env_options)
        self.objectives = objective_names(self.env)
        point = self.settings.reference
        self.weighting = resolve_weighting(weighting, preference, weighting_options, self.objectives, point)
        if self.weighting.needs_gram or self.settings.record_gram:
            check_compared(self.settings)
        self.archive = ParetoArchive(check_reference(point, self.objectives))
        self.step, self.performances = 0, {}
        self.recorder = self._make_recorder(out, display, tracker, overwrite=overwrite)
        if isinstance(self.env, ResponseEnv):
            prompts_of(self.env, "validation", 1)  # before a policy is loaded
        self.policy, self.settings = resolve_policy(policy, policy_options, self.env, self.settings)
        if out is not None:
            self.policy.check_savable()
        reference = reference_of(self.policy, initial, self.settings, self.processes)
        self.task = make_task(self.env, self.policy, self.settings, self.processes)
        passes = make_passes(self.algorithm, self.policy, self.settings, self.task.longest, self.processes)
        self.updater = make_updater(passes, self.algorithm, reference)
        self.gradients = make_comparison(passes)

    @property
    def config(self) -> dict[str, Any]:
        """All settings, as a settings file holds them; JSON-able."""
        return {
            **env_config(self.env),
            "agent": self.algorithm.name,
            **policy_config(self.policy),
            **weighting_config(self.weighting),
            **asdict(self.settings),
        }

    def save(self, folder: str | Path) -> None:
        """Write the agent to a new run folder, from which `load` makes it again.

        Raises:
            ValueError: If the folder already holds a run.
        """
        self._make_recorder(folder).save(self, self.config, self.recorder.folder)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        checkpoint: str | None = None,
        *,
        env: gym.Env | None = None,
        display: Display | None = None,
        tracker: TrackerName = "none",
        device: str | None = None,
    ) -> Agent:
        """Make the agent of a run folder again; training goes on as if it had never stopped.

        Args:
            folder: The run folder.
            checkpoint: Name of a checkpoint, such as "step-000010"; None is the last one (a run that was stopped
                before its first checkpoint starts again).
            env: The environment, needed where it was not made from an id.
            display: Shows the progress of further training.
            tracker: Experiment tracker of further training.
            device: Device of the policy; None is that of the run's settings.

        Raises:
            ValueError: If the folder holds no run, the checkpoint is damaged, or the environment is needed.
        """
        stored = read_agent(RunFolder(folder), checkpoint, env, device)
        agent = cls._of(stored.algorithm)(**stored.arguments)
        agent.settings = replace(agent.settings, **stored.asked)  # and not as they turned out here
        agent.recorder = agent._make_recorder(folder, display, tracker, opened=True)
        stored.restore(agent)
        return agent

    @classmethod
    def _of(cls, algorithm: str) -> type[Agent]:
        """Return the kind of agent with this algorithm, among this one and those that derive from it."""
        kinds = {kind.algorithm.name: kind for kind in (cls, *_subclasses(cls)) if hasattr(kind, "algorithm")}
        if algorithm not in kinds:
            raise ValueError(f"run: must be one of {' or '.join(kinds)}, got one of {algorithm!r}")
        return kinds[algorithm]

    def _make_recorder(
        self,
        out: str | Path | None,
        display: Display | None = None,
        tracker: TrackerName = "none",
        *,
        overwrite: bool = False,
        opened: bool = False,
    ) -> Recorder:
        folder = None if out is None else RunFolder(out)
        main, k = self.processes.main, len(self.objectives)
        return Recorder(folder, self.settings, k, display, tracker, overwrite=overwrite, opened=opened, main=main)


def _subclasses(base: type[Agent]) -> list[type[Agent]]:
    return [each for child in base.__subclasses__() for each in (child, *_subclasses(child))]
