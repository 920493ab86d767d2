"""Small environments, each of which breaks one rule of `check_env`."""

from __future__ import annotations

import functools
import itertools
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete

from paretune.envs import Objective, Prompt, ResponseEnv, TokenEnv
from paretune.envs.response import check_split

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


def share_a(prompts: Any, responses: Any) -> Any:
    return [text.count("a") / max(1, len(text)) for text in responses]


class Letters(ResponseEnv):
    """Ten letters per split."""

    def __init__(self, objective: Any = share_a, **options: Any) -> None:
        super().__init__([objective], max_tokens=8, **options)

    def prompts(self, split: Any, limit: int | None = None) -> Any:
        start = {"train": "a", "validation": "k", "test": "u"}[check_split(split)]
        letters = [chr(ord(start) + offset) for offset in range(10)]
        return [Prompt.from_question(f"Say {letter}", letter, split=split) for letter in letters][:limit]


class WideSpace(Letters):
    def __init__(self) -> None:
        super().__init__()
        self.reward_space = Box(-1.0, 1.0, (1,), np.float32)


class NoTrainPrompts(Letters):
    def prompts(self, split: Any, limit: int | None = None) -> Any:
        return [] if split == "train" else super().prompts(split, limit)

    def sample_prompts(self, n: int, rng: Any) -> Any:
        return super().prompts("train")[:1] * n


class WrongSplit(Letters):
    def prompts(self, split: Any, limit: int | None = None) -> Any:
        return [Prompt(prompt.messages, prompt.answer, "train") for prompt in super().prompts(split, limit)]


class Overlap(Letters):
    def prompts(self, split: Any, limit: int | None = None) -> Any:
        return [Prompt.from_question("Say a", "a", split=split)][:limit]


class Turned(Letters):
    """The order of the test prompts changes from call to call."""

    def prompts(self, split: Any, limit: int | None = None) -> Any:
        prompts = super().prompts(split)
        return prompts[:: 1 - 2 * (next(CALLS) % 2)][:limit] if split == "test" else prompts[:limit]


class NoLimit(Letters):
    def prompts(self, split: Any, limit: int | None = None) -> Any:
        return super().prompts(split)


class GlobalSamples(Letters):
    """Samples with a generator of its own; reset does not."""

    def sample_prompts(self, n: int, rng: Any) -> Any:
        return super().sample_prompts(n, rng if n == 1 else np.random.default_rng())


class SamplesTest(Letters):
    def sample_prompts(self, n: int, rng: Any) -> Any:
        return [self.prompts("test")[i] for i in rng.integers(10, size=n)]


class TooFewSamples(Letters):
    def sample_prompts(self, n: int, rng: Any) -> Any:
        return super().sample_prompts(min(n, 3), rng)


class DoubleScores(Letters):
    def score(self, prompts: Any, responses: Any) -> Any:
        return super().score(prompts, responses).astype(np.float64 if len(responses) > 1 else np.float32)


class HighScores(Letters):
    def score(self, prompts: Any, responses: Any) -> Any:
        return super().score(prompts, responses) + np.float32(len(responses) > 1)


class Ranked(Letters):
    """Scores depend on the batch."""

    def score(self, prompts: Any, responses: Any) -> Any:
        scores = super().score(prompts, responses)
        return scores / max(1, len(responses))


class OwnStep(Letters):
    """Steps past `score`."""

    def step(self, action: str) -> Any:
        text, reward, *rest = super().step(action)
        return text, reward / 2, *rest


def fails_on_empty(prompts: Any, responses: Any) -> Any:
    return [float(text.split()[-1] == "x") if text != " \n\t\r" else 1 / 0 for text in (t or "y" for t in responses)]


def encodes(prompts: Any, responses: Any) -> Any:
    return [float(len(text.encode()) > 3) for text in responses]


class Longest(Objective):
    """1 for a response that is longer than all before it."""

    name = "longest"

    def __init__(self, mode: str) -> None:
        self.mode, self.record = mode, 0

    def __call__(self, prompts: Any, responses: Any) -> Any:
        scores = [float(len(text) > self.record) for text in responses]
        if self.mode == "all" or prompts[0].split == "train":
            self.record = max(self.record, *map(len, responses))
        return np.array(scores, dtype=np.float32)

    def state_dict(self) -> dict[str, Any]:
        if self.mode == "hidden":
            return {}
        return {"record": np.int64(self.record) if self.mode == "numpy" else self.record}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.record = state.get("record", self.record) + (self.mode == "shift")


class AnyOption(Letters):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        known = {name: value for name, value in (options or {}).items() if name == "prompt"}
        return super().reset(seed=seed, options=known)


class OwnPrompt(Letters):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        options = {"prompt": self.prompts("train")[4]} if options and "prompt" in options else options
        return super().reset(seed=seed, options=options)


class EndlessSteps(Letters):
    def step(self, action: str) -> Any:
        self._awaits_response = True
        return super().step(action)


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


def learning(mode: str) -> Any:
    return functools.partial(Letters, Longest(mode))


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
    (WideSpace, "spaces", r"the rewards of a ResponseEnv are in \[0, 1\]"),
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
    (learning("hidden"), "state", "put all that objectives learn into state_dict"),
    (learning("numpy"), "state", "not JSON serializable; return numbers, texts, lists and dicts"),
    (learning("shift"), "state", "load_state_dict.* leaves the state .*; restore what state_dict returned"),
    (learning("all"), "state", "scoring validation prompts changed the state .* learn from train prompts only"),
    (NoTrainPrompts, "splits", "is empty"),
    (WrongSplit, "splits", "holds a prompt of split 'train'"),
    (Overlap, "splits", "'Say a' is in the splits train and validation"),
    (Turned, "splits", "differs from call to call"),
    (NoLimit, "splits", "are not the first 4"),
    (GlobalSamples, "samples", "sample_prompts differs for equal generators"),
    (SamplesTest, "samples", "of split test; draw from train"),
    (TooFewSamples, "samples", r"sample_prompts\(64\) returned 3 prompts"),
    (DoubleScores, "scores", "score returned float64"),
    (HighScores, "scores", r"objectives are in \[0, 1\]"),
    (Ranked, "scores", "score of a batch and of its members differ"),
    (OwnStep, "scores", "score and step differ"),
    (functools.partial(Letters, fails_on_empty), "hostile texts", r"' .n.t.r' gives ZeroDivisionError"),
    (functools.partial(Letters, encodes), "hostile texts", "'.udc?800' gives UnicodeEncodeError.*; score any text"),
    (AnyOption, "reset options", "reset took the unknown option 'no_such_option'; raise a ValueError"),
    (OwnPrompt, "reset options", "begin with that prompt"),
    (EndlessSteps, "reset options", "raise gymnasium.error.ResetNeeded"),
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
