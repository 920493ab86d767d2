"""How well a policy does on prompts, or from starts, that it is not trained on.

Shapes: N starts, K objectives, M objectives for evaluation only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.agents.processes.distributed import Processes
from paretune.agents.tasks.base import Acted, Start, Task
from paretune.envs import Response
from paretune.weighting.archive import hypervolume


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Performance from N starts, one response or episode each.

    Attributes:
        objectives: Names of the K objectives.
        rewards: The vector rewards, or discounted returns (N, K).
        responses: The N responses, or the episodes' actions as texts.
        reference: Reference point (K,) of the hypervolume.
        reported: Names of the M objectives for evaluation only.
        scores: What the responses score in those (N, M).
    """

    objectives: tuple[str, ...]
    rewards: NDArray[np.float64]
    responses: list[Response]
    reference: tuple[float, ...]
    reported: tuple[str, ...]
    scores: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each objective (K,)."""
        return self.rewards.mean(axis=0)

    @property
    def standard_error(self) -> NDArray[np.float64]:
        """Standard error of each mean (K,), over starts; NaN for a single one."""
        return _standard_error(self.rewards)

    @property
    def hypervolume(self) -> float:
        """Hypervolume of the mean performance, to the reference point."""
        return hypervolume(self.mean[None], np.array(self.reference))

    def summary(self) -> dict[str, dict[str, float | None]]:
        """Return mean and standard error (None where it is not defined) by name, JSON-able.

        Objectives for evaluation only come after the others.
        """
        means = [*self.mean, *self.scores.mean(axis=0)]
        errors = [*self.standard_error, *_standard_error(self.scores)]
        return {
            name: {"mean": float(mean), "standard_error": None if np.isnan(error) else float(error)}
            for name, mean, error in zip(self.objectives + self.reported, means, errors, strict=True)
        }


def _standard_error(values: NDArray[np.float64]) -> NDArray[np.float64]:
    n = len(values)
    return values.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(values.shape[1], np.nan)


def evaluate(
    task: Task[Start, Acted],
    starts: Sequence[Start],
    rng: np.random.Generator,
    *,
    sampled: bool = False,
    reference: Sequence[float] | None = None,
    processes: Processes | None = None,
) -> Evaluation:
    """Have the policy act from each start once, and measure what that earns.

    Args:
        task: The environment and the policy.
        starts: N prompts or reset seeds, at least one.
        rng: Source of randomness, where choices are drawn.
        sampled: Draw choices instead of taking the likeliest.
        reference: Reference point (K,) of the hypervolume; None is zeros.
        processes: The processes that share the work, at most N; None is this one alone.

    Raises:
        ValueError: If there are fewer starts than processes.
    """
    processes = processes or Processes()
    if len(starts) < processes.size:
        raise ValueError(
            f"prompts: must be at least as many as there are processes, {processes.size}, in every split that is "
            f"evaluated, got {len(starts)}"
        )
    outcome = task.act(starts[processes.share(len(starts))], rng, greedy=not sampled)
    return Evaluation(
        objectives=task.objectives,
        rewards=processes.concatenated(task.returns(outcome, held_out=True)),
        responses=processes.joined(outcome.responses),
        reference=tuple(reference or [0.0] * len(task.objectives)),
        reported=task.reported,
        scores=processes.concatenated(task.report(outcome)),
    )
