"""Many copies of a stepped environment, stepped together.

Shapes: B episodes, D features, K objectives.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from paretune.agents.policies.features import make_encoder
from paretune.agents.spaces import discrete_actions, objective_count
from paretune.envs import TokenEnv
from paretune.envs.tokens.token_env import observe

Array = NDArray[np.float64]


class EnvCopies(Protocol):
    """B environments that are stepped together."""

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin B episodes and return the features (B, D)."""
        ...

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], Array, NDArray[np.bool_]]:
        """Take actions (B,); return features (B, D), rewards (B, K) and which episodes are over (B,).

        What is returned for an episode that was over before means nothing.
        """
        ...


class GymCopies:
    """Copies of any environment, with its wrappers; copies whose episode is over wait."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Make the first copy; the others are made when they are needed.

        Raises:
            ValueError: If there is no code for the observations, or the environment cannot be copied.
        """
        try:
            self._envs = [copy.deepcopy(env)]
        except (TypeError, AttributeError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"env: must be one that copy.deepcopy can copy, got {env!r}: {error}") from error
        self._original = env
        self._encode, self.width = make_encoder(env.observation_space)
        self._first_action = int(discrete_actions(env).start)
        self._k = objective_count(env)
        self._running: list[int] = []
        self._features = np.zeros((0, self.width), dtype=np.float32)

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin B episodes and return the features (B, D)."""
        while len(self._envs) < len(seeds):
            self._envs.append(copy.deepcopy(self._original))
        self._running = list(range(len(seeds)))
        first = [env.reset(seed=int(seed))[0] for env, seed in zip(self._envs, seeds, strict=False)]
        self._features = self._encode(first)
        return self._features.copy()

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], Array, NDArray[np.bool_]]:
        """Take actions (B,); see `EnvCopies`."""
        rewards = np.zeros((len(actions), self._k))
        over = np.ones(len(actions), dtype=bool)
        observations = []
        for b in self._running:
            observation, reward, terminated, truncated, _ = self._envs[b].step(self._first_action + int(actions[b]))
            if np.asarray(reward).shape != (self._k,):
                raise ValueError(
                    f"env: must return rewards of shape ({self._k},), one number for each objective, got {reward!r} "
                    f"from a step of {self._original!r}"
                )
            observations.append(observation)
            rewards[b] = reward
            over[b] = terminated or truncated
        self._features[self._running] = self._encode(observations)
        self._running = [b for b in self._running if not over[b]]
        return self._features.copy(), rewards, over


class TokenCopies:
    """Texts of a `TokenEnv`, without a loop over them."""

    def __init__(self, env: TokenEnv) -> None:
        """Remember the environment; it is not stepped itself."""
        self._env = env
        encode, self.width = make_encoder(env.observation_space)
        self._encode = encode
        self._position = 0
        self._lasts = np.zeros(0, dtype=np.int64)

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin B texts and return the features (B, D)."""
        self._position, self._lasts = 0, np.zeros(len(seeds), dtype=np.int64)
        return self._observe()

    def step(self, actions: NDArray[np.int64]) -> tuple[NDArray[np.float32], Array, NDArray[np.bool_]]:
        """Take actions (B,); see `EnvCopies`."""
        rewards = self._env.step_rewards(self._position, self._lasts, actions).astype(np.float64)
        self._position, self._lasts = self._position + 1, actions
        return self._observe(), rewards, np.full(len(actions), self._position == self._env.length)

    def _observe(self) -> NDArray[np.float32]:
        env, positions = self._env, np.full(len(self._lasts), self._position)
        return self._encode(observe(positions, self._lasts, env.vocabulary, env.length, env.observation))
