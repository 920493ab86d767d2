"""paretune environments for trainers of somebody else's."""

from __future__ import annotations

import gymnasium as gym

from paretune.envs import ResponseEnv


def response_env(env: gym.Env) -> ResponseEnv:
    """Return an environment without its wrappers.

    Raises:
        ValueError: If it is no environment of prompts and responses.
    """
    inner = env.unwrapped
    if not isinstance(inner, ResponseEnv):
        raise ValueError(f"env: must be an environment of prompts and responses, got {type(inner).__name__}")
    return inner
