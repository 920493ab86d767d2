"""How well a policy does on prompts it is not trained on.

Shapes: N prompts, K objectives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paretune.agents.sampler import Sampler
from paretune.envs import Prompt, Response, ResponseEnv
from paretune.weighting.archive import hypervolume


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Performance on N prompts, one response each.

    Attributes:
        objectives: Names of the K objectives.
        rewards: The vector rewards (N, K).
        responses: The N responses.
    """

    objectives: tuple[str, ...]
    rewards: NDArray[np.float64]
    responses: list[Response]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each objective (K,)."""
        return self.rewards.mean(axis=0)

    @property
    def standard_error(self) -> NDArray[np.float64]:
        """Standard error of each mean (K,), over prompts; NaN for a single prompt."""
        n = len(self.rewards)
        return self.rewards.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(self.rewards.shape[1], np.nan)

    @property
    def hypervolume(self) -> float:
        """Hypervolume of the mean performance, to the reference point of zeros."""
        return hypervolume(self.mean[None], np.zeros_like(self.mean))

    def summary(self) -> dict[str, dict[str, float | None]]:
        """Return mean and standard error (None where it is not defined) by objective, JSON-able."""
        return {
            name: {"mean": float(mean), "standard_error": None if np.isnan(error) else float(error)}
            for name, mean, error in zip(self.objectives, self.mean, self.standard_error, strict=True)
        }


def evaluate(
    env: ResponseEnv, sampler: Sampler, prompts: Sequence[Prompt], rng: np.random.Generator, *, sampled: bool = False
) -> Evaluation:
    """Answer each prompt once and score the answers.

    Args:
        env: Scores the responses.
        sampler: Answers the prompts.
        prompts: N prompts, at least one.
        rng: Source of randomness, where responses are sampled.
        sampled: Draw the responses instead of taking the likeliest tokens.

    Raises:
        ValueError: If there are no prompts.
    """
    if not prompts:
        raise ValueError("split: must hold at least one prompt, got an empty one")
    rollout = sampler.sample(prompts, rng, greedy=not sampled)
    # Objectives that learn from training responses must not learn from an evaluation, of training prompts either.
    held_out = [replace(prompt, split="validation") for prompt in prompts]
    rewards = env.score(held_out, rollout.responses).astype(np.float64)
    return Evaluation(tuple(env.objectives), rewards, rollout.responses)
