"""Many texts of one token-level task at a time, without a loop over them.

Shapes: N environments, L positions, V tokens, K objectives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import ArrayLike, NDArray

from paretune.envs.suggest import unknown_name
from paretune.envs.tokens.token_env import TokenEnv, observe

TABLE_BYTES = 16_000_000
"""Largest table of all rewards (L, V, V, K); those of larger tasks are computed at each step."""

Step = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]


class TokenVectorEnv(VectorEnv[NDArray[Any], NDArray[np.int64], NDArray[Any]]):
    """N copies of a `TokenEnv` that step together: what `MOSyncVectorEnv` over N of them does, many times faster.

    A copy whose text is complete begins another at the next step; that step ignores its action, though it has to be a
    token, and rewards it with zeros (Gymnasium's NEXT_STEP). All arrays that are returned are fresh.

    Attributes:
        env: The task, of which only functions without state are used.
        num_envs: N.
        single_observation_space: The task's, and `observation_space` N of them in one array.
        single_action_space: Discrete(V), and `action_space` MultiDiscrete([V] * N).
        reward_space: The task's, Box (K,).
        reward_dim: K.
        objectives: The names of the K objectives.

    Example:
        >>> from paretune.envs import StyleEnv
        >>> envs = TokenVectorEnv(StyleEnv(vocabulary=4, length=5), num_envs=3)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations, rewards, terminations, truncations, infos = envs.step(np.array([0, 1, 3]))
        >>> observations.shape, np.round(rewards.astype(float), 3).tolist()
        ((3, 10), [[0.02, 0.2], [0.124, 0.167], [0.2, 0.02]])
    """

    def __init__(self, env: TokenEnv, num_envs: int) -> None:
        """Make N copies.

        Args:
            env: The task; its own text is left alone.
            num_envs: N, at least 1.

        Raises:
            ValueError: If `num_envs` is less than 1.
        """
        if num_envs < 1:
            raise ValueError(f"num_envs: must be at least 1, got {num_envs}")
        self.env, self.num_envs = env, num_envs
        self.metadata = env.metadata | {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self.render_mode = env.render_mode
        self.single_observation_space = env.observation_space
        self.observation_space = batch_space(env.observation_space, num_envs)
        self.single_action_space = env.action_space
        self.action_space = batch_space(env.action_space, num_envs)
        self.reward_space, self.reward_dim, self.objectives = env.reward_space, env.reward_dim, env.objectives
        self._tokens_NL = np.zeros((num_envs, env.length), dtype=np.int64)
        self._positions_N = np.zeros(num_envs, dtype=np.int64)
        self._lasts_N = np.zeros(num_envs, dtype=np.int64)
        self._rows_N = np.arange(num_envs)
        self._begun = False
        self._table = reward_table(env)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin empty texts.

        Args:
            seed: Anything that `MOSyncVectorEnv` takes; there is nothing random in the texts.
            options: {"reset_mask": bool array (N,)} leaves the texts alone where it is False.

        Returns:
            The observations, first axis N, and {}.

        Raises:
            ValueError: If there are not as many seeds as environments, or an option is unknown or of another shape.
        """
        if isinstance(seed, list | tuple):
            if len(seed) != self.num_envs:
                raise ValueError(f"seed: must be one number or num_envs = {self.num_envs} of them, got {len(seed)}")
            seed = seed[0]
        super().reset(seed=seed)
        mask_N = self._reset_mask(options or {})
        self._positions_N[mask_N] = 0
        self._lasts_N[mask_N] = 0
        self._begun = True
        return self._observe(), {}

    def step(self, actions: ArrayLike) -> Step:
        """Write a token in each text.

        Args:
            actions: The tokens (N,), 0 to V - 1.

        Returns:
            The observations, the rewards (N, K), whether each text is complete (N,), False (N,), and {}.

        Raises:
            ResetNeeded: If the texts were not begun.
            ValueError: If there are not N actions, or one of them is no token; nothing is written then.
        """
        if not self._begun:
            raise ResetNeeded("the episodes have not begun: call reset() before step()")
        tokens_N = self.env.check_tokens("actions", actions, (self.num_envs,))
        over_N = self._positions_N == self.env.length
        at_N = np.where(over_N, 0, self._positions_N)
        rewards_NK = self._rewards(at_N, self._lasts_N, tokens_N)
        rewards_NK[over_N] = 0.0
        self._tokens_NL[self._rows_N, at_N] = tokens_N
        self._positions_N = np.where(over_N, 0, at_N + 1)
        self._lasts_N = np.where(over_N, 0, tokens_N)
        terminations_N = self._positions_N == self.env.length
        return self._observe(), rewards_NK, terminations_N, np.zeros(self.num_envs, dtype=np.bool_), {}

    def pareto_front(self, gamma: float = 1.0) -> list[NDArray[np.float64]]:
        """Return the task's `TokenEnv.pareto_front`."""
        return self.env.pareto_front(gamma)

    def convex_front(self, gamma: float = 1.0) -> list[NDArray[np.float64]]:
        """Return the task's `TokenEnv.convex_front`."""
        return self.env.convex_front(gamma)

    def render(self) -> tuple[str, ...] | None:
        """Return one line for each text, as `TokenEnv.render` does; None without render mode."""
        if self.render_mode is None:
            return None
        texts = zip(self._tokens_NL.tolist(), self._positions_N.tolist(), strict=True)
        return tuple(self.env.picture(tokens[:position]) for tokens, position in texts)

    def _reset_mask(self, options: dict[str, Any]) -> NDArray[np.bool_]:
        if unknown := [name for name in options if name != "reset_mask"]:
            raise ValueError(unknown_name("option of reset", unknown[0], ["reset_mask"]))
        mask_N = np.asarray(options.get("reset_mask", np.ones(self.num_envs, dtype=np.bool_)))
        if mask_N.shape != (self.num_envs,) or mask_N.dtype != np.bool_:
            raise ValueError(
                f"options['reset_mask']: must be booleans of shape ({self.num_envs},), "
                f"got shape {mask_N.shape} of {mask_N.dtype}"
            )
        return mask_N

    def _rewards(
        self, positions_N: NDArray[np.int64], lasts_N: NDArray[np.int64], tokens_N: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        if self._table is None:
            return self.env.step_rewards(positions_N, lasts_N, tokens_N)
        v = self.env.vocabulary
        return self._table[(positions_N * v + lasts_N) * v + tokens_N]

    def _observe(self) -> NDArray[Any]:
        env = self.env
        return observe(self._positions_N, self._lasts_N, env.vocabulary, env.length, env.observation)


def reward_table(env: TokenEnv) -> NDArray[np.float32] | None:
    """Return all rewards (L * V * V, K) in the order of position, last and new token; None if they are too many."""
    v, k = env.vocabulary, env.reward_dim
    if 4 * env.length * v * v * k > TABLE_BYTES:
        return None
    tokens = np.arange(v)
    rewards = [env.step_rewards(position, tokens[:, None], tokens) for position in range(env.length)]
    return np.concatenate([step.reshape(v * v, k) for step in rewards])
