"""Text environments, each of which breaks one rule of `check_env`."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from gymnasium.spaces import Box

from paretune.envs import Objective, Prompt, ResponseEnv
from paretune.envs.text.response import check_split

CALLS = itertools.count()


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


def learning(mode: str) -> Any:
    return functools.partial(Letters, Longest(mode))


BROKEN = [
    (WideSpace, "spaces", r"the rewards of a ResponseEnv are in \[0, 1\]"),
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
]
"""What is broken, the rule that says so, and a part of the message."""
