"""Vectors of environments: what `gymnasium.make_vec(id, num_envs=n, **options)` makes.

A token-level task gets a `TokenVectorEnv`, a text-generation task an `MOSyncVectorEnv`. `vector_of` gives the maker for
a task of one's own:

    my_vector = vector_of(MyTask)
    gymnasium.register("me/MyTask-v0", entry_point="my_module:MyTask", vector_entry_point="my_module:my_vector")
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import VectorEnv
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

from paretune.envs.text.arithmetic import ArithmeticEnv
from paretune.envs.text.math_dataset import MathEnv
from paretune.envs.text.token_text import TokenText
from paretune.envs.tokens.deceptive import DeceptiveEnv
from paretune.envs.tokens.style import StyleEnv
from paretune.envs.tokens.token_env import TokenEnv
from paretune.envs.tokens.token_vector import TokenVectorEnv


def vector_of(task: Callable[..., gym.Env[Any, Any]]) -> Callable[..., VectorEnv[Any, Any, Any]]:
    """Return a function of `num_envs` and the options of `task` that makes a vector of it.

    Args:
        task: A class of environments with vector rewards, or a function that makes one.

    Example:
        >>> vector_of(StyleEnv)(num_envs=4, vocabulary=8)
        TokenVectorEnv(num_envs=4)
        >>> vector_of(ArithmeticEnv)(num_envs=2, held_out=8)
        MOSyncVectorEnv(num_envs=2)
    """

    def make(num_envs: int = 1, **options: Any) -> VectorEnv[Any, Any, Any]:
        if num_envs < 1:
            raise ValueError(f"num_envs: must be at least 1, got {num_envs}")
        first = task(**options)
        if isinstance(first, TokenEnv):
            return TokenVectorEnv(first, num_envs)
        makers: Any = [lambda: first, *[partial(task, **options)] * (num_envs - 1)]
        return MOSyncVectorEnv(makers)

    return make


arithmetic = vector_of(ArithmeticEnv)
deceptive = vector_of(DeceptiveEnv)
math = vector_of(MathEnv)
style = vector_of(StyleEnv)
token_text = vector_of(TokenText)
