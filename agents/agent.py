"""The agent: an environment, a policy and a weighting, and the loop that trains.

Shapes: P prompts, G responses per prompt, B = P*G, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from paretune.agents.advantages import Algorithm, combined, conflict, per_objective, zero_variance_groups
from paretune.agents.components import agent_settings, resolve_env, resolve_policy, resolve_weighting
from paretune.agents.display import Display
from paretune.agents.evaluation import Evaluation, evaluate
from paretune.agents.interrupt import stop_requests
from paretune.agents.language_model import LanguageModelPolicy
from paretune.agents.metrics import Clock, Line, increase, reward_statistics, weighting_metrics
from paretune.agents.recorder import Recorder
from paretune.agents.restoring import load_agent
from paretune.agents.result import TrainResult
from paretune.agents.rollout import Rollout
from paretune.agents.run_folder import RunFolder
from paretune.agents.sampler import TransformersSampler
from paretune.agents.seeds import generator
from paretune.agents.trackers import TrackerName
from paretune.agents.updater import Updater, learning_rates
from paretune.envs import Prompt, Split
from paretune.weighting import GradientAnalyzer, ParetoArchive, Weighting

Array = NDArray[np.float64]

CHECKED_PROMPTS = 500
"""Training prompts, those with the most characters, that are checked against the model's context beforehand."""


class Agent:
    """Trains a policy on an environment's vector rewards, weighed by a strategy.

    `REINFORCE`, `RLOO` and `GRPO` are this class with one algorithm each.

    Attributes:
        algorithm: What the advantages and the loss are.
        env: The environment.
        policy: The policy that is trained.
        weighting: The strategy that weighs the objectives.
        settings: All settings.
        step: Training steps done.
        archive: Pareto archive of validation performances; tags name the steps.
        performances: Validation performance (K,) by step.

    Example:
        >>> agent = GRPO("paretune/Arithmetic-v0", "tiny-math", "fixed", prompts_per_step=2, group_size=2, lr=1e-4)
        >>> agent.train(1).steps
        1
    """

    algorithm: ClassVar[Algorithm]

    def __init__(
        self,
        env: str | gym.Env,
        policy: str | Path | LanguageModelPolicy = "tiny-math",
        weighting: str | Weighting = "fixed",
        *,
        preference: Sequence[float] | None = None,
        env_options: Mapping[str, Any] | None = None,
        weighting_options: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
        overwrite: bool = False,
        display: Display | None = None,
        tracker: TrackerName = "none",
        **settings: Any,
    ) -> None:
        """Put the parts together and check that they fit, before anything long starts.

        Args:
            env: An environment or its id.
            policy: A policy, or a name that `load_policy` knows.
            weighting: A strategy or its name.
            preference: Weights (K,) for a strategy given by name; None is equal ones.
            env_options: Options of an environment given by id.
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
        self._check_group_size()
        self.env = resolve_env(env, env_options)
        self.weighting = resolve_weighting(weighting, preference, weighting_options, self.objectives)
        folder = None if out is None else RunFolder(out)
        self.recorder = Recorder(folder, display, tracker, overwrite=overwrite)
        validation_prompts = self._prompts("validation")
        self.policy, self.settings = resolve_policy(policy, self.settings)
        if folder is not None:
            self.policy.check_savable()
        self.sampler = TransformersSampler(
            policy=self.policy,
            max_new_tokens=self.settings.max_new_tokens or self.env.max_tokens,
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
            stop=self.settings.stop,
            batch=self.settings.sample_batch,
        )
        longest = sorted(self.env.prompts("train"), key=lambda prompt: len(prompt.text))[-CHECKED_PROMPTS:]
        self.sampler.check_context(validation_prompts + longest)
        self.updater = Updater(
            policy=self.policy,
            settings=self.settings,
            clip=self.algorithm.clip if self.settings.clip is None else self.settings.clip,
            loss_mean=self.settings.loss_mean or self.algorithm.loss_mean,
            max_tokens=self.sampler.max_new_tokens,
            reference=self.policy.reference() if self.settings.kl > 0 else None,
        )
        self.analyzer = GradientAnalyzer(self.policy.model, self.settings.gradient_parameters)
        self.archive = ParetoArchive(len(self.objectives))
        self.performances: dict[int, Array] = {}

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the K objectives, in order."""
        return tuple(self.env.objectives)

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
            while self.step < horizon and not stop_requested():
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
        counts = self.env.counts()

        with clock("sample"):
            prompts = [prompt for prompt in self._draw_prompts() for _ in range(g)]
            rollout = self.sampler.sample(prompts, rng("responses"))
        with clock("score"):
            scores_BK = self.env.score(rollout.prompts, rollout.responses)
            rewards_PGK = scores_BK.reshape(p, g, -1).astype(np.float64)
        objective_advantages_PGK = per_objective(rewards_PGK, self.algorithm, self.settings.order)
        self.weighting.on_rewards(rewards_PGK)
        if self.weighting.needs_gram:
            with clock("gradients"):
                self.weighting.on_gradients(self._gram(rollout, objective_advantages_PGK), lr)
        direction_K, scale = self.weighting.direction, self.weighting.scale
        order, scale_rewards = self.settings.order, self.weighting.scale_rewards
        advantages_PG = combined(rewards_PGK, direction_K, scale, self.algorithm, order, scale_rewards)
        with clock("update"):
            carried = 1.0 if scale_rewards else scale
            update = self.updater.update(rollout.tokens, advantages_PG.ravel(), carried, lr, rng("minibatches"))

        self.step += 1
        return {
            "step": self.step,
            "rewards": reward_statistics(rewards_PGK, self.objectives),
            **weighting_metrics(self.weighting, self.objectives),
            "advantage_conflict": conflict(objective_advantages_PGK, direction_K),
            "zero_variance_groups": zero_variance_groups(rewards_PGK),
            "tokens": int(rollout.tokens.response_lengths.sum()),
            "lr": lr,
            **update,
            "counts": increase(counts, self.env.counts()),
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
            prompts: Number of prompts, the first ones of the split; None takes the setting `eval_prompts`.
            sampled: Sample responses instead of taking the likeliest tokens; None takes the setting `eval_sampled`.
        """
        chosen = self._prompts(split, prompts)
        sampled = self.settings.eval_sampled if sampled is None else sampled
        rng = generator(self.settings.seed, self.step, f"evaluate {split}")
        return evaluate(self.env, self.sampler, chosen, rng, sampled=sampled)

    def save(self, folder: str | Path) -> None:
        """Write the agent to a new run folder, from which `load` makes it again.

        Raises:
            ValueError: If the folder already holds a run.
        """
        metrics = [] if self.recorder.folder is None else self.recorder.folder.metrics()
        Recorder(RunFolder(folder)).save(self, [line for line in metrics if line["step"] <= self.step])

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

    def _gram(self, rollout: Rollout, advantages_PGK: Array) -> Array:
        advantages_BK = advantages_PGK.reshape(-1, len(self.objectives))
        rows = np.arange(len(advantages_BK))
        if self.settings.gradient_responses is not None:
            rng = generator(self.settings.seed, self.step, "gradient responses")
            rows = np.sort(rng.permutation(rows)[: self.settings.gradient_responses])
        return self.updater.gram(self.analyzer, rollout.tokens, advantages_BK, rows)

    def _draw_prompts(self) -> list[Prompt]:
        rng = generator(self.settings.seed, self.step, "prompts")
        return self.env.sample_prompts(self.settings.prompts_per_step, rng)

    def _check_group_size(self) -> None:
        p, g = self.settings.prompts_per_step, self.settings.group_size
        if self.algorithm.group and g < 2:
            raise ValueError(
                f"group_size: must be at least 2 for {self.algorithm.name}, which compares the responses of a group, "
                f"got {g}"
            )
        if p * g < 2:
            raise ValueError(f"prompts_per_step: must be at least 2 with group_size=1, to compare responses, got {p}")

    def _prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        prompts = self.env.prompts(split, self.settings.eval_prompts if limit is None else limit)
        if not prompts:
            raise ValueError(f"env: its {split} split must hold at least one prompt, but it is empty")
        return prompts
