"""The agent: an environment, a policy and a weighting, and the loop that trains.

Shapes: P prompts (or other starts of episodes), G responses (or episodes) from each, B = P*G, T decisions that are
judged separately, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from paretune.agents.algorithm import Algorithm
from paretune.agents.components import (
    agent_settings,
    check_group_size,
    check_shares,
    make_task,
    make_updater,
    resolve_env,
)
from paretune.agents.display import Display
from paretune.agents.episode_task import objective_names
from paretune.agents.evaluation import Evaluation, evaluate
from paretune.agents.gradients import GradientComparison
from paretune.agents.interrupt import stop_requests
from paretune.agents.metrics import Clock, Line, increase, reward_statistics, weighting_metrics
from paretune.agents.policies import reference_of, resolve_policy
from paretune.agents.policy import Policy
from paretune.agents.processes import Processes
from paretune.agents.recorder import Recorder
from paretune.agents.restoring import load_agent
from paretune.agents.result import TrainResult
from paretune.agents.run_folder import RunFolder
from paretune.agents.schedule import learning_rates
from paretune.agents.seeds import generator, skip_share
from paretune.agents.text_task import prompts_of
from paretune.agents.trackers import TrackerName
from paretune.agents.weightings import check_reference, resolve_weighting
from paretune.envs import ResponseEnv, Split
from paretune.weighting import ParetoArchive, Weighting
from paretune.weighting.advantages import combined, conflict, per_objective, zero_variance_groups

Array = NDArray[np.float64]


class Agent:
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

    algorithm: ClassVar[Algorithm]

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
            out: Folder that the run is written to; None writes nothing.
            overwrite: Replace a run that `out` already holds.
            display: Shows the progress; None shows nothing.
            tracker: Experiment tracker that gets the metrics as well.
            **settings: Fields of `AgentSettings`.

        Raises:
            ValueError: If a name is unknown, a value breaks its rule, or the parts do not fit together.
        """
        self.step = 0
        self.settings = agent_settings(settings)
        check_group_size(self.algorithm, self.settings)
        self.processes = Processes.launched()
        check_shares(self.processes, self.settings)
        self.env = resolve_env(env, env_options)
        self.objectives = objective_names(self.env)
        point = self.settings.reference
        self.weighting = resolve_weighting(weighting, preference, weighting_options, self.objectives, point)
        self.archive = ParetoArchive(check_reference(point, self.objectives))
        folder = None if out is None else RunFolder(out)
        self.recorder = Recorder(folder, display, tracker, overwrite=overwrite, main=self.processes.main)
        if isinstance(self.env, ResponseEnv):
            prompts_of(self.env, "validation", 1)  # before a policy is loaded
        self.policy, self.settings = resolve_policy(policy, policy_options, self.env, self.settings)
        if folder is not None:
            self.policy.check_savable()
        reference = reference_of(self.policy, self.settings, self.processes)
        self.task = make_task(self.env, self.policy, self.settings, self.processes)
        self.updater = make_updater(self.algorithm, self.policy, reference, self.settings, self.task, self.processes)
        self.gradients = GradientComparison(self.updater)
        self.performances: dict[int, Array] = {}

    def train(self, steps: int) -> TrainResult:
        """Train for `steps` more steps; the learning rate's course ends with them.

        SIGINT (Ctrl-C) and SIGTERM end the training after the step under way, with a checkpoint.

        Raises:
            ValueError: If `steps` is not positive.
            OSError: If the run folder cannot be written, such as on a full disk; what was written before stays.
            RuntimeError: If a gradient is not finite.
        """
        if steps < 1:
            raise ValueError(f"steps: must be at least 1, got {steps}")
        horizon = self.step + steps
        lr_at = learning_rates(self.settings, horizon)
        with stop_requests() as stop_requested, self.recorder.session(self, horizon):
            if not self.performances:
                line: Line = {"step": 0, **weighting_metrics(self.weighting, self.objectives), "times": {}}
                self._validate(line)
                self.recorder.record(self, line)
                self._tell_what_is_below_the_reference(self.performances[0])
            while self.step < horizon and not self.processes.any(stop_requested()):
                line = self._train_step(lr_at(self.step))
                if self.step % self.settings.eval_every == 0 or self.step == horizon:
                    self._validate(line)
                self.recorder.record(self, line)
            interrupted = self.step < horizon
        return TrainResult.of(self.step, self.performances, self.archive, self.recorder.path, interrupted)

    def _train_step(self, lr: float) -> Line:
        clock = Clock()
        p, g = self.settings.prompts_per_step, self.settings.group_size
        rng = partial(generator, self.settings.seed, self.step)
        counts = self.task.counts()

        with clock("sample"):
            starts = [start for start in self.task.draw(p, rng("prompts")) for _ in range(g)]
            own = self.processes.share(p * g)
            stream = skip_share(rng("responses"), own.start, self.settings.sample_batch)
            outcome = self.task.act(starts[own], stream)
        with clock("score"):
            own_BK = self.task.returns(outcome)
            returns_BK = self.processes.concatenated(own_BK)
            credit_BTK = self.processes.concatenated(self.task.credit(outcome, own_BK))
            lengths_B = self.processes.concatenated(outcome.decisions.lengths)
        rewards_PGK, credit_PGTK = (x.reshape(p, g, *x.shape[1:]) for x in (returns_BK, credit_BTK))
        judged_PGT1 = (np.arange(credit_BTK.shape[1]) < lengths_B[:, None]).reshape(p, g, -1, 1)
        objective_advantages_PGTK = per_objective(credit_PGTK, self.algorithm, self.settings.order)
        self.weighting.on_rewards(rewards_PGK)
        gram_KK = analysed = None
        if self.weighting.needs_gram or self.settings.record_gram:
            with clock("gradients"):
                needed, advantages_BTK = self.weighting.needs_gram, objective_advantages_PGTK.reshape(credit_BTK.shape)
                gram_KK, analysed = self.gradients.at(self.step, outcome.decisions, advantages_BTK, reuse=needed)
                if needed:
                    self.weighting.on_gradients(gram_KK, lr)
        direction_K, scale = self.weighting.direction, self.weighting.scale
        order, scale_rewards = self.settings.order, self.weighting.scale_rewards
        advantages_PGT = combined(credit_PGTK, direction_K, scale, self.algorithm, order, scale_rewards)
        with clock("update"):
            advantages_BT = advantages_PGT.reshape(p * g, -1)[own]
            carried = 1.0 if scale_rewards else scale
            update = self.updater.update(outcome.decisions, advantages_BT, carried, lr, rng("minibatches"), analysed)

        self.step += 1
        self.recorder.observed(self, rewards_PGK, gram_KK)
        return {
            "step": self.step,
            "rewards": reward_statistics(rewards_PGK, self.objectives),
            **weighting_metrics(self.weighting, self.objectives),
            "advantage_conflict": conflict(objective_advantages_PGTK * judged_PGT1, direction_K),
            "zero_variance_groups": zero_variance_groups(rewards_PGK),
            self.task.unit: int(lengths_B.sum()),
            "lr": lr,
            **update,
            "counts": self.processes.summed(increase(counts, self.task.counts())),
            "hypervolume": self.archive.hypervolume(),
            "times": clock.times,
        }

    def evaluate(self, split: Split) -> Array:
        """Return the performance (K,) of the current policy on a split: each objective's mean over its prompts."""
        return self.assess(split).mean

    def assess(self, split: Split, prompts: int | None = None, sampled: bool | None = None) -> Evaluation:
        """Evaluate the current policy on a split, with standard errors and responses.

        Args:
            split: "train", "validation" or "test".
            prompts: Number of prompts (or other starts), the first ones of the split; None takes the setting
                `eval_prompts`.
            sampled: Draw what the policy chooses instead of taking the likeliest; None takes the setting
                `eval_sampled`.
        """
        starts = self.task.starts(split, self.settings.eval_prompts if prompts is None else prompts)
        sampled = self.settings.eval_sampled if sampled is None else sampled
        rng = generator(self.settings.seed, self.step, f"evaluate {split}")
        return evaluate(
            self.task,
            starts,
            skip_share(rng, self.processes.share(len(starts)).start, self.settings.sample_batch),
            sampled=sampled,
            reference=self.settings.reference,
            processes=self.processes,
        )

    def save(self, folder: str | Path) -> None:
        """Write the agent to a new run folder, from which `load` makes it again.

        Raises:
            ValueError: If the folder already holds a run.
        """
        metrics = [] if self.recorder.folder is None else self.recorder.folder.metrics()
        recorder = Recorder(RunFolder(folder), main=self.processes.main)
        recorder.save(self, [line for line in metrics if line["step"] <= self.step])

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
        return load_agent(cls, RunFolder(folder), checkpoint, env, display, tracker, device)

    def _validate(self, line: Line) -> None:
        """Evaluate on the validation split, tell archive and weighting, and add the results to the step's line."""
        clock = Clock()
        with clock("validate"):
            evaluation = self.assess("validation")
        self.performances[self.step] = evaluation.mean
        self.archive.add(evaluation.mean, tag=self.step)
        self.weighting.on_validation(evaluation.mean)
        line["validation"] = evaluation.summary()
        line["hypervolume"] = self.archive.hypervolume()
        line["times"] |= clock.times

    def _tell_what_is_below_the_reference(self, performance_K: Array) -> None:
        reference_K = self.archive.reference
        for name, value, reference in zip(self.objectives, performance_K, reference_K, strict=True):
            if value < reference:
                self.recorder.message(
                    f"{name} starts at {value:.4g}, below the reference point's {reference:g}: until it is above, "
                    "there is no hypervolume (setting reference)"
                )
