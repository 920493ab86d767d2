"""Training a language model on prompts and responses.

Shapes: B responses, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.processes.distributed import Processes
from paretune.agents.sampling.catalog import make_sampler
from paretune.agents.sequences.rollout import Rollout
from paretune.agents.settings import AgentSettings
from paretune.envs import Prompt, Response, ResponseEnv, Split

Array = NDArray[np.float64]

CHECKED_PROMPTS = 500
"""Training prompts, those with the most characters, that are checked against the model's context beforehand."""


class TextTask:
    """A `ResponseEnv` and a language model: a start is a prompt, an episode one response, a decision one token.

    Attributes:
        sampler: Draws the responses.
    """

    unit = "tokens"

    def __init__(
        self, env: ResponseEnv, policy: LanguageModelPolicy, settings: AgentSettings, processes: Processes | None = None
    ) -> None:
        """Make the sampler, and check that prompts fit into the model's context.

        Raises:
            ValueError: If one does not, the validation split is empty, or a setting is for other environments only.
        """
        if settings.gamma != 1:
            raise ValueError(f"gamma: must be 1 where episodes are single responses, got {settings.gamma}")
        self._env = env
        self._processes = processes or Processes()
        self._learns = _holds_numbers(env.state_dict())
        self.objectives = tuple(env.objectives)
        self.reported = tuple(env.evaluation_only)
        self.longest = settings.max_new_tokens or env.max_tokens
        self.sampler = make_sampler(policy, settings, self.longest, self._processes)
        longest = sorted(env.prompts("train"), key=lambda prompt: len(prompt.text))[-CHECKED_PROMPTS:]
        self.sampler.check_context(prompts_of(env, "validation", settings.eval_prompts) + longest)

    def starts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        """Return the prompts of a split, the first `limit`.

        Raises:
            ValueError: If there are none.
        """
        return prompts_of(self._env, split, limit)

    def draw(self, n: int, rng: np.random.Generator) -> list[Prompt]:
        """Draw `n` prompts to train on."""
        return self._env.sample_prompts(n, rng)

    def act(self, starts: Sequence[Prompt], rng: np.random.Generator, *, greedy: bool = False) -> Rollout:
        """Answer each of B prompts."""
        return self.sampler.sample(starts, rng, greedy=greedy)

    def returns(self, outcome: Rollout, *, held_out: bool = False) -> Array:
        """Return the responses' rewards (B, K).

        An environment that learns from the responses it scores sees those of all processes, in all of them.
        """
        if held_out:
            return self._scores(_held_out(outcome.prompts), outcome.responses)
        if not self._learns:
            return self._scores(outcome.prompts, outcome.responses)
        prompts, responses = self._processes.joined(outcome.prompts), self._processes.joined(outcome.responses)
        return self._scores(prompts, responses)[self._processes.share(len(prompts))]

    def report(self, outcome: Rollout) -> Array:
        """Return what the responses score (B, M) in the objectives for evaluation only."""
        return self._env.report(_held_out(outcome.prompts), outcome.responses).astype(np.float64)

    def credit(self, outcome: Rollout, returns: Array) -> Array:
        """Return the responses' rewards (B, 1, K): all tokens share them."""
        return returns[:, None]

    def counts(self) -> dict[str, int]:
        """Return the environment's running counts, of this process's share alone."""
        return self._env.counts() if self._processes.main or not self._learns else {}

    def state_dict(self) -> dict[str, Any]:
        """Return what the objectives have learned, JSON-able."""
        return self._env.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._env.load_state_dict(state)

    def _scores(self, prompts: Sequence[Prompt], responses: Sequence[Response]) -> Array:
        return self._env.score(prompts, responses).astype(np.float64)


def _holds_numbers(state: Any) -> bool:
    """Whether a state has anything but empty tables and lists."""
    if isinstance(state, Mapping | list):
        return any(map(_holds_numbers, state.values() if isinstance(state, Mapping) else state))
    return True


def _held_out(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return prompts as they are in an evaluation: objectives must not learn from it, of training prompts either."""
    return [replace(prompt, split="validation") for prompt in prompts]


def prompts_of(env: ResponseEnv, split: Split, limit: int | None = None) -> list[Prompt]:
    """Return the prompts of a split, the first `limit`.

    Raises:
        ValueError: If there are none.
    """
    prompts = env.prompts(split, limit)
    if not prompts:
        raise ValueError(f"env: must have at least one prompt in its {split} split, got none")
    return prompts
