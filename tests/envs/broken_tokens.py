"""Token-level environments, each of which breaks one rule of `check_env`."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np

from paretune.envs import TokenEnv

CALLS = itertools.count()


class Alternate(TokenEnv):
    """Three tokens; change pays one objective, the token 0 the other."""

    def __init__(self, **options: Any) -> None:
        super().__init__(3, 4, ["varied", "zeros"], **{"low": 0.0, "high": 0.25} | options)

    def rewards(self, position: Any, last: Any, new: Any) -> Any:
        position, last, new = np.broadcast_arrays(position, last, new)
        return np.stack([new != last, new == 0], axis=-1) / self.length


class ScalarRewards(Alternate):
    def rewards(self, position: Any, last: Any, new: Any) -> Any:
        if np.ndim(position) == 0 and np.ndim(new) == 0:
            return super().rewards(position, last, new)
        return np.zeros(2)


class NoBroadcast(Alternate):
    def rewards(self, position: Any, last: Any, new: Any) -> Any:
        rewards = super().rewards(position, last, new)
        return rewards * 0 if rewards.ndim > 2 else rewards


class Impure(Alternate):
    def rewards(self, position: Any, last: Any, new: Any) -> Any:
        many = np.size(new) > 3
        return super().rewards(position, last, new) * (next(CALLS) % 2 if many else 1)


class Writes(Alternate):
    def rewards(self, position: Any, last: Any, new: Any) -> Any:
        rewards = super().rewards(position, last, new)
        if isinstance(last, np.ndarray) and last.size > 3 and last.flags.writeable:
            last[...] = 0
        return rewards


class OtherForArrays(Alternate):
    def rewards(self, position: Any, last: Any, new: Any) -> Any:
        return super().rewards(position, last, new) * (2 if np.size(new) > 3 else 1)


class OutOfBounds(Alternate):
    """Only what `step` returns is within the bounds."""

    def rewards(self, position: Any, last: Any, new: Any) -> Any:
        return super().rewards(position, last, new) * 2

    def step(self, action: Any) -> Any:
        observation, reward, *rest = super().step(action)
        return observation, np.minimum(reward, np.float32(0.25)), *rest


class StartsAtOne(Alternate):
    def _observe(self) -> Any:
        observation = super()._observe()
        return observation if self.tokens else np.roll(observation, 1)


class OtherReturns(Alternate):
    def returns(self, texts: Any, gamma: float = 1.0) -> Any:
        return super().returns(texts, 1.0)


class DominatedFront(Alternate):
    def pareto_front(self, gamma: float = 1.0) -> Any:
        return [*super().pareto_front(gamma), np.zeros(2)]


class ShortFront(Alternate):
    def pareto_front(self, gamma: float = 1.0) -> Any:
        return super().pareto_front(gamma)[:1]


class HighFront(Alternate):
    def pareto_front(self, gamma: float = 1.0) -> Any:
        return [point + 0.5 for point in super().pareto_front(gamma)]


class LowHull(Alternate):
    def convex_front(self, gamma: float = 1.0) -> Any:
        return [point / 2 for point in super().convex_front(gamma)]


class NoFront(Alternate):
    def convex_front(self, gamma: float = 1.0) -> Any:
        return []


BROKEN = [
    (ScalarRewards, "token rewards", r"rewards of 64 steps have shape \(2,\); return \(64, 2\)"),
    (NoBroadcast, "token rewards", "rewards of a grid and of its cells differ"),
    (Impure, "token rewards", "differs from call to call; make it a pure function"),
    (Writes, "token rewards", "wrote into its arguments"),
    (OtherForArrays, "token rewards", "rewards of arrays and of numbers differ"),
    (OutOfBounds, "token rewards", r"are outside \[low, high\] = .*; widen low and high"),
    (functools.partial(Alternate, high=0.2), "episodes", "not in reward_space"),
    (StartsAtOne, "token steps", "the observation at position 0 behind token 0 is"),
    (OtherReturns, "token steps", r"returns\(.*, 0.9\) is .* step and returns must use the same rewards"),
    (DominatedFront, "fronts", r"pareto_front\(1.0\) holds \[0.0, 0.0\], which another covers"),
    (ShortFront, "fronts", r"returns .*, which no point of pareto_front\(1.0\) covers"),
    (HighFront, "fronts", "dynamic programming over rewards finds"),
    (LowHull, "fronts", r"more than all convex_front\(1.0\)"),
    (NoFront, "fronts", r"convex_front\(1.0\) is .*; return points \(K,\)"),
]
"""What is broken, the rule that says so, and a part of the message."""
