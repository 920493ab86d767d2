"""What the rules of `check_env` share: the error, recorded episodes, and comparing them.

Shapes: K objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.utils.env_checker import data_equivalence

from paretune.envs.text.response import ResponseEnv

LONGEST_SHOWN = 120

RESET = "<no reward: the episode begins>"
"""Stands for the reward of `reset`."""


class ConformanceError(ValueError):
    """An environment breaks a rule of `check_env`.

    Attributes:
        rule: The rule's name, as `check_env(skip=...)` takes it.
        message: What was seen, and how to fix it.
    """

    def __init__(self, rule: str, message: str) -> None:
        """Name the rule and what was seen."""
        super().__init__(rule, message)
        self.rule, self.message = rule, message

    def __str__(self) -> str:
        """Return rule and message in one line."""
        return f"{self.rule}: {self.message}"


class Breach(Exception):
    """What a rule has found; `check_env` adds the rule's name to it."""


class Moment(NamedTuple):
    """What `reset` (with the reward `RESET`) or `step` returned, copied."""

    observation: Any
    reward: Any
    terminated: Any
    truncated: Any
    info: Any


@dataclass(frozen=True)
class Case:
    """An environment under test, and how long it is played.

    Attributes:
        env: The environment, without wrappers.
        seed: Seed of the first episode, and of the actions.
        episodes: Number of episodes played for each comparison.
        max_steps: Steps after which an episode is left.
    """

    env: gym.Env[Any, Any]
    seed: int
    episodes: int
    max_steps: int

    @cached_property
    def learned(self) -> dict[str, Any]:
        """What the objectives of a `ResponseEnv` had learned before the check."""
        return deepcopy(self.env.state_dict()) if isinstance(self.env, ResponseEnv) else {}

    @cached_property
    def played(self) -> list[Moment]:
        """What playing `env` has returned the first time."""
        return self.play(self.env)

    @property
    def is_deterministic(self) -> bool:
        """Whether equal seeds and actions must give equal episodes."""
        return self.env.spec is None or not self.env.spec.nondeterministic

    def restore(self, env: gym.Env[Any, Any]) -> None:
        """Bring the objectives of a `ResponseEnv` back to what they had learned before the check."""
        if isinstance(env.unwrapped, ResponseEnv):
            env.unwrapped.load_state_dict(deepcopy(self.learned))

    def play(self, env: gym.Env[Any, Any], after: Callable[[Any], None] = lambda reward: None) -> list[Moment]:
        """Play `episodes` episodes with actions that depend on `seed` only.

        Args:
            env: The environment, a copy of it, or one that wraps it.
            after: Called with each reward, once it is recorded.
        """
        self.restore(env)
        actions = deepcopy(env.action_space)
        actions.seed(self.seed)
        moments = []
        for episode in range(self.episodes):
            begun = env.reset(seed=self.seed if episode == 0 else None)
            observation, info = unpack(begun, "reset", ("observation", "info"))
            moments.append(Moment(deepcopy(observation), RESET, False, False, deepcopy(info)))
            for _ in range(self.max_steps):
                result = env.step(actions.sample())
                moment = Moment(*unpack(result, "step", Moment._fields))
                moments.append(deepcopy(moment))
                after(moment.reward)
                if moment.terminated or moment.truncated:
                    break
        return moments


Rule = Callable[[Case], None]
"""Raises a `Breach`, or anything else, where an environment breaks it."""


def unpack(result: Any, method: str, fields: Sequence[str]) -> tuple[Any, ...]:
    """Return the parts of what `reset` or `step` returned."""
    if not isinstance(result, tuple) or len(result) != len(fields):
        raise Breach(f"{method} returned {shown(result)}; return the tuple ({', '.join(fields)})")
    return result


def require(holds: bool, message: str) -> None:
    """Raise a `Breach` unless something holds."""
    if not holds:
        raise Breach(message)


def require_same(seen: Sequence[Moment], expected: Sequence[Moment], how: str, fix: str) -> None:
    """Require that two recordings are equal, bit for bit.

    Args:
        seen: What was recorded.
        expected: What it must equal.
        how: Where the two come from, for the message.
        fix: What to do about a difference.
    """
    for number, (one, other) in enumerate(zip(seen, expected, strict=False)):
        for field in Moment._fields:
            a, b = getattr(one, field), getattr(other, field)
            if not data_equivalence(a, b, exact=True):
                raise Breach(f"{how}, the {field} number {number} is {shown(a)} instead of {shown(b)}; {fix}")
    require(len(seen) == len(expected), f"{how}, there are {len(seen)} steps instead of {len(expected)}; {fix}")


def shown(value: Any) -> str:
    """Return a value for a message, in one line and cut to size."""
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "..."
