"""The spaces of an environment that agents train in: what they must be, typed.

Shapes: K objectives.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium.spaces import Discrete


def objective_count(env: gym.Env[Any, Any]) -> int:
    """Return K, the length of the vector reward.

    Raises:
        ValueError: If the environment has no vector reward.
    """
    space = getattr(env.unwrapped, "reward_space", None)  # MO-Gymnasium's convention, which gymnasium has no type for
    if space is None or len(space.shape or ()) != 1:
        raise ValueError(
            f"env: must have a vector reward (unwrapped.reward_space), as MO-Gymnasium's have, got {env!r}"
        )
    return int(space.shape[0])


def discrete_actions(env: gym.Env[Any, Any]) -> Discrete:
    """Return the space of a stepped environment's actions.

    Raises:
        ValueError: If it is of another kind.
    """
    if not isinstance(env.action_space, Discrete):
        raise ValueError(f"env: must have text or a Discrete space for actions, got {env.action_space} of {env!r}")
    return env.action_space
