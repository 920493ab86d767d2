"""Environments with vector rewards, each of which breaks one rule of `check_env`."""

from __future__ import annotations

import functools
import itertools
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

CALLS = itertools.count()


class Walk(gym.Env):
    """Four steps; the rewards are the action and its opposite."""

    objectives: Any = ("up", "down")
    reward_dim: Any = 2

    def __init__(self) -> None:
        self.observation_space = Box(0.0, 1.0, (2,), np.float32)
        self.action_space = Discrete(3)
        self.reward_space: Any = Box(0.0, 1.0, (2,), np.float32)
        self.position = 0

    def observe(self) -> Any:
        return np.array([self.position / 4, self.start], dtype=np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.position, self.start = 0, self.draw()
        return self.observe(), {}

    def draw(self) -> float:
        return self.np_random.random()

    def rewards(self, action: int) -> Any:
        return np.array([action / 2, 1 - action / 2], dtype=np.float32)

    def step(self, action: int) -> Any:
        self.position += 1
        return self.observe(), self.rewards(action), self.position == 4, False, {}


class NoRewardSpace(Walk):
    def __init__(self) -> None:
        super().__init__()
        del self.reward_space


class DoubleRewardSpace(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.reward_space = Box(0.0, 1.0, (2,), np.float64)


class WrongDim(Walk):
    reward_dim = 3


class TwinNames(Walk):
    objectives = ("up", "up")


class ListReward(Walk):
    def rewards(self, action: int) -> Any:
        return super().rewards(action).tolist()


class DoubleReward(Walk):
    def rewards(self, action: int) -> Any:
        return super().rewards(action).astype(np.float64)


class ThreeRewards(Walk):
    def rewards(self, action: int) -> Any:
        return np.zeros(3, dtype=np.float32)


class NanReward(Walk):
    def rewards(self, action: int) -> Any:
        return np.full(2, np.nan, dtype=np.float32)


class HighReward(Walk):
    def rewards(self, action: int) -> Any:
        return super().rewards(action) + 1


class NoReward(Walk):
    def rewards(self, action: int) -> Any:
        return None


class NumpyBool(Walk):
    def step(self, action: int) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, np.bool_(False), info


class FourParts(Walk):
    def step(self, action: int) -> Any:
        return super().step(action)[:4]


class ResetAlone(Walk):
    def reset(self, **options: Any) -> Any:
        return super().reset(**options)[0]


class OutsideObservation(Walk):
    def observe(self) -> Any:
        return super().observe() * 9


class Raises(Walk):
    def rewards(self, action: int) -> Any:
        raise KeyError("no such action")


class OneObservationArray(Walk):
    """Gymnasium's checker looks whether observations are new."""

    def __init__(self) -> None:
        super().__init__()
        self.array = np.zeros(2, dtype=np.float32)

    def observe(self) -> Any:
        self.array[:] = super().observe()
        return self.array


class NoPicture(Walk):
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"]}
    render_mode = "ansi"

    def render(self) -> None:
        return None


class TableReward(Walk):
    """Returns rows of a table that it keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.table = [super(TableReward, self).rewards(action) for action in range(3)]

    def rewards(self, action: int) -> Any:
        return self.table[action]


class OneRewardArray(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.array = np.zeros(2, dtype=np.float32)

    def rewards(self, action: int) -> Any:
        self.array[:] = super().rewards(action)
        return self.array


class ReadOnlyReward(Walk):
    def rewards(self, action: int) -> Any:
        reward = super().rewards(action)
        reward.flags.writeable = False
        return reward


class CallCounter(Walk):
    """Every 29th reward is another, whatever the episode."""

    calls = 0

    def rewards(self, action: int) -> Any:
        self.calls += 1
        return super().rewards(action) * np.float32(0.5 if self.calls % 29 == 0 else 1)


class Numbered(Walk):
    """Each instance that is made differs from the others."""

    def __init__(self) -> None:
        super().__init__()
        self.number = next(CALLS)

    def rewards(self, action: int) -> Any:
        return super().rewards(action) / np.float32(self.number + 1)


class Forgetful(Walk):
    """Leaves its state behind when it is pickled."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = scale

    def __reduce__(self) -> Any:
        return Forgetful, ()

    def __deepcopy__(self, memo: Any) -> Any:
        return Forgetful(self.scale)

    def rewards(self, action: int) -> Any:
        return super().rewards(action) * np.float32(self.scale)


class Unpicklable(Walk):
    def __init__(self) -> None:
        super().__init__()
        self.function = lambda: None


class BadDeepcopy(Forgetful):
    def __reduce__(self) -> Any:
        return BadDeepcopy, (self.scale,)

    def __deepcopy__(self, memo: Any) -> Any:
        return BadDeepcopy()


class EpisodeInfo(Walk):
    """Uses the key of MORecordEpisodeStatistics."""

    def step(self, action: int) -> Any:
        *parts, _ = super().step(action)
        return *parts, {"episode": self.position}


class SharedState(Walk):
    """All instances draw from one generator, which reset seeds."""

    generator = np.random.default_rng()

    def reset(self, **options: Any) -> Any:
        if options.get("seed") is not None:
            SharedState.generator = np.random.default_rng(options["seed"])
        return super().reset(**options)

    def draw(self) -> float:
        return 0.0

    def rewards(self, action: int) -> Any:
        return SharedState.generator.random(2, dtype=np.float32)


def registered(cls: Any) -> Any:
    """Return a function that makes an environment with a spec, as `mo_gymnasium.make` does."""

    def make() -> Any:
        env = cls()
        env.spec = gym.envs.registration.EnvSpec(f"test/{cls.__name__}-v0", entry_point=cls)
        return env

    return make


BROKEN = [
    (NoRewardSpace, "spaces", "reward_space is None; set a gymnasium space"),
    (DoubleRewardSpace, "spaces", "reward_space is Box.*float64.*; make it a float32 Box of shape"),
    (WrongDim, "spaces", "reward_dim is 3, but reward_space has K = 2"),
    (TwinNames, "spaces", r"objectives are \('up', 'up'\); give each of the K = 2"),
    (ListReward, "episodes", "of type list; return a float32 array"),
    (DoubleReward, "episodes", "dtype float64; return a float32 array"),
    (ThreeRewards, "episodes", r"shape \(3,\); return a float32 array of shape \(2,\)"),
    (NanReward, "episodes", "is not finite"),
    (HighReward, "episodes", "not in reward_space"),
    (NoReward, "episodes", "the reward is None of type NoneType"),
    (NumpyBool, "episodes", "truncated is .*False.* of type bool.*; return a bool of Python"),
    (FourParts, "episodes", r"step returned .*; return the tuple \(observation, reward, terminated, truncated, info\)"),
    (ResetAlone, "episodes", r"reset returned .*; return the tuple \(observation, info\)"),
    (OutsideObservation, "episodes", "the observation .* is not in observation_space"),
    (Raises, "episodes", "raised KeyError: 'no such action'"),
    (OneObservationArray, "gymnasium", "Gymnasium's checker says: The observations .* share an object"),
    (NoPicture, "gymnasium", "render returned None; 'ansi' is a str"),
    (TableReward, "fresh rewards", "after writing into the rewards, the reward number .* return a copy"),
    (OneRewardArray, "fresh rewards", "a reward changed from .* after it was returned"),
    (ReadOnlyReward, "fresh rewards", "the reward is read-only"),
    (CallCounter, "determinism", "with the same seed and actions, the reward .* draw from self.np_random only"),
    (registered(Numbered), "determinism", "in another instance with the same seed and actions, the reward"),
    (functools.partial(Forgetful, 0.5), "pickle", "in a pickled copy, the reward .* take the whole state along"),
    (Unpicklable, "pickle", "pickling failed: .*; define classes and functions at the top level"),
    (functools.partial(BadDeepcopy, 0.5), "deepcopy", "in a deep copy, the reward"),
    (EpisodeInfo, "wrappers", "MORecordEpisodeStatistics raised AssertionError"),
    (SharedState, "vectors", "MOSyncVectorEnv returns the rewards and ends .* nothing that environments share"),
]
"""What is broken, the rule that says so, and a part of the message."""
