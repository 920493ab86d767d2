"""The training loop: prompts -> responses -> vector rewards -> weights -> advantages -> loss and step -> validation.

Shapes: P prompts (or other starts of episodes), G responses (or episodes) from each, B = P*G, T decisions that are
judged separately, K objectives.
"""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from paretune.agents.interrupt import stop_requests
from paretune.agents.processes.distributed import Processes
from paretune.agents.recorder import Recorder
from paretune.agents.result import TrainResult
from paretune.agents.rules import Count, check
from paretune.agents.runs.metrics import Clock, Line, increase, short_groups
from paretune.agents.seeds import generator, skip_share
from paretune.agents.settings import AgentSettings
from paretune.agents.state import TrainingState
from paretune.agents.tasks.base import Outcome
from paretune.agents.tasks.evaluation import Evaluation, evaluate
from paretune.agents.tasks.step_rewards import StepRewards, step_rewards
from paretune.agents.updates.algorithm import Algorithm
from paretune.agents.updates.analysed import Analysed
from paretune.agents.updates.comparison import Found
from paretune.agents.updates.learning_rate import learning_rates
from paretune.envs import ResponseEnv, Split
from paretune.weighting.advantages import SplitWeights, combined, per_objective
from paretune.weighting.bookkeeping import (
    batch_metrics,
    reward_statistics,
    show_gradients,
    show_validation,
    weighting_metrics,
)

Array = NDArray[np.float64]


class Training(TrainingState):
    """The loop, and the evaluations that belong to it; an `Agent` is this with its parts made and checked.

    Attributes:
        algorithm: What the advantages and the loss are.
        env: The environment.
        settings: All settings.
        objectives: Names of the K objectives, in order.
        processes: Those that train together, one as a rule.
        recorder: Writes and shows what happens.
    """

    algorithm: ClassVar[Algorithm]
    env: gym.Env[Any, Any]
    settings: AgentSettings
    objectives: tuple[str, ...]
    processes: Processes
    recorder: Recorder

    @property
    def config(self) -> dict[str, Any]:
        """All settings, as a settings file holds them; JSON-able."""
        raise NotImplementedError

    def train(self, steps: int) -> TrainResult:
        """Train for `steps` more steps; the learning rate's course ends with them.

        SIGINT (Ctrl-C) and SIGTERM end the training after the step under way, with a checkpoint.

        Raises:
            ValueError: If `steps` is not positive.
            OSError: If the run folder cannot be written, such as on a full disk; what was written before stays.
            RuntimeError: If a gradient is not finite.
        """
        steps = check("steps", steps, Count)
        horizon = self.step + steps
        lr_at = learning_rates(self.settings, horizon)
        with stop_requests() as stop_requested, self.recorder.session(self, self.config, horizon):
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
        """Make a step, and return its metrics."""
        clock, counts, settings = Clock(), self.task.counts(), self.settings
        with clock("sample"):
            outcome = self._respond()
        with clock("score"):
            earned = step_rewards(self.task, outcome, self.processes, settings.group_size)
        judged_PGTK = per_objective(earned.credit, self.algorithm, settings.order)
        gram, analysed = self._move_weights(outcome, earned, judged_PGTK, lr, clock)
        weighting = self.weighting
        weights = SplitWeights.of(weighting)
        advantages_PGT, scale = combined(earned.credit, weights, self.algorithm, settings.order)
        with clock("update"):
            own_BT = (scale * advantages_PGT).reshape(len(earned.lengths), -1)[self._own]
            rng = self._rng("minibatches")
            update = self.updater.update(outcome.decisions, own_BT, scale, lr, rng, analysed)

        self.step += 1
        texts = isinstance(self.env, ResponseEnv)
        self.recorder.observed(self.step, earned.rewards, gram, single=texts)
        return {
            "step": self.step,
            "rewards": reward_statistics(earned.rewards, self.objectives),
            **weighting_metrics(weighting, self.objectives),
            **batch_metrics(earned.rewards, judged_PGTK * earned.judged, weights.direction),
            self.task.unit: int(earned.lengths.sum()),
            "surprisal": earned.surprisal,
            **({"short_groups": short_groups(earned.lengths, settings.group_size)} if texts else {}),
            "lr": lr,
            **update,
            "counts": self.processes.summed(increase(counts, self.task.counts())),
            "hypervolume": self.archive.hypervolume(),
            "times": clock.times,
        }

    def _respond(self) -> Outcome:
        """Draw P prompts, and have the policy answer each G times; return this process's share."""
        p, g = self.settings.prompts_per_step, self.settings.group_size
        starts = [start for start in self.task.draw(p, self._rng("prompts")) for _ in range(g)]
        own = self._own
        return self.task.act(starts[own], skip_share(self._rng("responses"), own.start, self.settings.sample_batch))

    def _move_weights(
        self, outcome: Outcome, earned: StepRewards, judged_PGTK: Array, lr: float, clock: Clock
    ) -> tuple[Found | None, Analysed | None]:
        """Show the weighting the rewards and, where it needs them, the gradients.

        Returns:
            The Gram matrix, if there is one, and what the comparison left over for the update.
        """
        self.weighting.on_rewards(earned.rewards)
        needed = self.weighting.needs_gram
        if not (needed or self.settings.record_gram):
            return None, None
        with clock("gradients"):
            advantages_BTK = judged_PGTK.reshape(-1, *judged_PGTK.shape[2:])
            gram, analysed = self.gradients.at(self.step, outcome.decisions, advantages_BTK, reuse=needed)
            if needed:
                show_gradients(gram, lr, self.weighting)
        return gram, analysed

    @property
    def _own(self) -> slice:
        """Which of a step's responses are this process's."""
        return self.processes.share(self.settings.prompts_per_step * self.settings.group_size)

    def _rng(self, purpose: str) -> np.random.Generator:
        return generator(self.settings.seed, self.step, purpose)

    def evaluate(self, split: Split) -> Array:
        """Return the performance (K,) of the current policy on a split: each objective's mean over its prompts."""
        return self.assess(split).mean

    def assess(
        self, split: Split, prompts: int | None = None, sampled: bool | None = None, *, skip: int = 0
    ) -> Evaluation:
        """Evaluate the current policy on a split, with standard errors and responses.

        Args:
            split: "train", "validation" or "test".
            prompts: Number of prompts (or other starts), the first ones of the split; None takes the setting
                `eval_prompts`.
            sampled: Draw what the policy chooses instead of taking the likeliest; None takes the setting
                `eval_sampled`.
            skip: Prompts at the beginning of the split that are left out.
        """
        prompts = self.settings.eval_prompts if prompts is None else prompts
        starts = self.task.starts(split, None if prompts is None else skip + prompts)[skip:]
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

    def _validate(self, line: Line) -> None:
        """Evaluate on the validation split, tell archive and weighting, and add the results to the step's line."""
        clock = Clock()
        with clock("validate"):
            evaluation = self.assess("validation")
        self.performances[self.step] = evaluation.mean
        line["validation"] = evaluation.summary()
        line["hypervolume"] = show_validation(
            evaluation.mean, self.step, self.weighting, self.archive, evaluation.standard_error
        )
        line["times"] |= clock.times

    def _tell_what_is_below_the_reference(self, performance_K: Array) -> None:
        reference_K = self.archive.reference
        for name, value, reference in zip(self.objectives, performance_K, reference_K, strict=True):
            if value < reference:
                self.recorder.message(
                    f"{name} starts at {value:.4g}, below the reference point's {reference:g}: until it is above, "
                    "there is no hypervolume (setting reference)"
                )
