"""Rules of every environment with vector rewards: spaces, what reset and step return, and that it is repeatable.

Shapes: K objectives.
"""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Space
from gymnasium.utils.env_checker import check_env as check_with_gymnasium

from paretune.envs.checks.conformance import RESET, Breach, Case, Rule, require, require_same, shown
from paretune.envs.text.response import ResponseEnv

ODD = -77.0
"""What is written into rewards to see whether it comes back."""


def check_spaces(case: Case) -> None:
    """Require spaces, `reward_dim` and `objectives` that fit together."""
    env: Any = case.env
    for name in ("observation_space", "action_space", "reward_space"):
        space = getattr(env, name, None)
        require(isinstance(space, Space), f"{name} is {shown(space)}; set a gymnasium space in __init__")
    space = env.reward_space
    require(
        isinstance(space, Box) and space.dtype == np.float32 and len(space.shape) == 1 and space.shape[0] > 0,
        f"reward_space is {shown(space)}; make it a float32 Box of shape (K,)",
    )
    k = space.shape[0]
    dim = getattr(env, "reward_dim", None)
    require(dim == k, f"reward_dim is {shown(dim)}, but reward_space has K = {k}; set reward_dim = {k}")
    names = getattr(env, "objectives", None)
    if names is not None:
        good = len(names) == len(set(names)) == k and all(isinstance(name, str) for name in names)
        require(good, f"objectives are {shown(names)}; give each of the K = {k} objectives a name of its own")
    if isinstance(env, ResponseEnv):
        unit = (space.low == 0).all() and (space.high == 1).all()
        require(bool(unit), f"reward_space is {shown(space)}; the rewards of a ResponseEnv are in [0, 1]")


def check_episodes(case: Case) -> None:
    """Require returned values of the promised types, in their spaces."""
    env: Any = case.env
    for moment in case.played:
        observation, reward, terminated, truncated, info = moment
        if observation not in env.observation_space:
            raise Breach(f"the observation {shown(observation)} is not in observation_space {env.observation_space}")
        require(isinstance(info, dict), f"the info is {shown(info)}; return a dict")
        for name, flag in (("terminated", terminated), ("truncated", truncated)):
            require(
                type(flag) is bool, f"{name} is {shown(flag)} of type {type(flag).__name__}; return a bool of Python"
            )
        if reward is not RESET:
            _check_reward(reward, env.reward_space)


def _check_reward(reward: Any, space: Box) -> None:
    fix = f"return a float32 array of shape {space.shape}"
    require(isinstance(reward, np.ndarray), f"the reward is {shown(reward)} of type {type(reward).__name__}; {fix}")
    require(reward.dtype == np.float32, f"the reward has the dtype {reward.dtype}; {fix}")
    require(reward.shape == space.shape, f"the reward has the shape {reward.shape}; {fix}")
    if not np.isfinite(reward).all():
        raise Breach(f"the reward {shown(reward)} is not finite; bound it")
    if reward not in space:
        raise Breach(f"the reward {shown(reward)} is not in reward_space {shown(space)}; widen the space")


class Scalarised(gym.Wrapper[Any, Any, Any, Any]):
    """The sum of the rewards, for Gymnasium's checker; MO-Gymnasium's LinearReward shares its weights between infos."""

    def __init__(self, case: Case) -> None:
        """Wrap the environment of `case`."""
        super().__init__(case.env)
        self.case = case

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Forget what objectives learned meanwhile, then reset."""
        self.case.restore(self.env)
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Step, and add the rewards up."""
        observation, rewards, terminated, truncated, info = self.env.step(action)
        return observation, float(np.sum(np.asarray(rewards))), terminated, truncated, info


def check_gymnasium(case: Case) -> None:
    """Require that Gymnasium's checker passes, and that rendering works in the environment's render mode."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*different from the unwrapped version")
        try:
            check_with_gymnasium(Scalarised(case), skip_render_check=True, skip_close_check=True)
        except AssertionError as error:
            raise Breach(f"Gymnasium's checker says: {error}") from error
    mode = case.env.render_mode
    if mode is not None:
        case.env.reset(seed=case.seed)
        picture = case.env.render()
        require(mode != "ansi" or isinstance(picture, str), f"render returned {shown(picture)}; 'ansi' is a str")


def check_fresh_rewards(case: Case) -> None:
    """Require that rewards stay as they were returned, and that writing into them changes no later one."""
    kept: list[Any] = []
    recorded = [moment.reward for moment in case.play(case.env, kept.append) if moment.reward is not RESET]
    for before, now in zip(recorded, kept, strict=True):
        require(
            np.array_equal(before, now),
            f"a reward changed from {shown(before)} to {shown(now)} after it was returned; return new arrays",
        )
    case.play(case.env, _write)
    if case.is_deterministic:
        seen = case.play(case.env, _write)
        fix = "return a copy of an array that the environment keeps"
        require_same(seen, case.played, "after writing into the rewards", fix)


def _write(reward: Any) -> None:
    require(bool(reward.flags.writeable), "the reward is read-only, but wrappers write into it; return a new array")
    reward.fill(ODD)


def check_determinism(case: Case) -> None:
    """Require the same episodes again, from the environment and from another instance."""
    if not case.is_deterministic:
        return
    fix = "draw from self.np_random only, after super().reset(seed=seed)"
    require_same(case.play(case.env), case.played, "with the same seed and actions", fix)
    if case.env.spec is not None:
        other = gym.make(case.env.spec, disable_env_checker=True).unwrapped
        require_same(case.play(other), case.played, "in another instance with the same seed and actions", fix)


EPISODE_RULES: dict[str, Rule] = {
    "spaces": check_spaces,
    "episodes": check_episodes,
    "gymnasium": check_gymnasium,
    "fresh rewards": check_fresh_rewards,
    "determinism": check_determinism,
}
