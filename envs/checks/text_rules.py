"""Rules of text environments: prompts and splits, scores, hostile responses, and what objectives learn.

Shapes: B responses, K objectives.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded

from paretune.envs.checks.conformance import Breach, Case, Rule, require, shown
from paretune.envs.objectives.base import Scores
from paretune.envs.prompts import SPLITS, Prompt, Split
from paretune.envs.text.response import ResponseEnv

SAMPLES = 64
FEW = 4
HOSTILE = (
    "",
    " \n\t\r",
    "\x00\ufeff\u202e",
    "\ud800",
    "\U0001f642 Ω ≥ ½ مرحبا",
    "\\boxed{" * 500,
    "\\boxed{" + "(" * 3000 + ")" * 3000 + "}",
    "}{][)(" * 500,
    "\\boxed{" + "9" * 100_000 + "}",
    "1. " * 30_000,
)
"""Responses that nobody should write, and policies do."""


def check_state(case: Case) -> None:
    """Require that `state_dict` is JSON-able and complete, and that only training responses change it."""
    env = _text_env(case)
    case.restore(env)
    before = _state(env)
    prompts, responses = _batch(_prompts(env, "train") or _prompts(env, env.split))
    first = env.score(prompts, responses)
    env.load_state_dict(json.loads(before))
    after = _state(env)
    require(after == before, f"load_state_dict({before}) leaves the state {after}; restore what state_dict returned")
    again = env.score(prompts, responses)
    require(
        np.array_equal(first, again),
        f"one batch scores {shown(first)}, and {shown(again)} after load_state_dict with the state before it; "
        "put all that objectives learn into state_dict, and draw nothing at random",
    )
    env.load_state_dict(json.loads(before))
    for split in SPLITS[1:]:
        env.score(*_batch(_prompts(env, split)))
        after = _state(env)
        require(after == before, f"scoring {split} prompts changed the state to {after}; learn from train prompts only")


def _state(env: ResponseEnv) -> str:
    state = env.state_dict()
    try:
        return json.dumps(state, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise Breach(f"state_dict returned {shown(state)}: {error}; return numbers, texts, lists and dicts") from error


def check_splits(case: Case) -> None:
    """Require prompts of the asked split, the same each time, and no text in two splits."""
    env = _text_env(case)
    require(bool(_prompts(env, env.split)), f"prompts({env.split!r}) is empty, the split of reset; return prompts")
    owner: dict[str, str] = {}
    for split in SPLITS:
        prompts = _prompts(env, split, limit=None)
        for prompt in prompts:
            require(isinstance(prompt, Prompt), f"prompts({split!r}) holds {shown(prompt)}; return Prompt objects")
            require(
                prompt.split == split, f"prompts({split!r}) holds a prompt of split {prompt.split!r}; set its split"
            )
            other = owner.setdefault(prompt.text, split)
            require(other == split, f"{shown(prompt.text)} is in the splits {other} and {split}; keep them disjoint")
        require(_prompts(env, split, limit=None) == prompts, f"prompts({split!r}) differs from call to call; fix it")
        require(
            _prompts(env, split, limit=FEW) == prompts[:FEW],
            f"prompts({split!r}, {FEW}) are not the first {FEW} of prompts({split!r}); slice with [:limit]",
        )


def check_samples(case: Case) -> None:
    """Require that sampled prompts depend on the generator only, and come from the environment's split."""
    env = _text_env(case)
    first, again = (env.sample_prompts(SAMPLES, np.random.default_rng(case.seed)) for _ in range(2))
    require(len(first) == SAMPLES, f"sample_prompts({SAMPLES}) returned {len(first)} prompts; return n")
    require(first == again, "sample_prompts differs for equal generators; draw from rng only")
    others = {prompt.text: split for split in SPLITS if split != env.split for prompt in _prompts(env, split, None)}
    for prompt in first:
        require(isinstance(prompt, Prompt), f"sample_prompts returned {shown(prompt)}; return Prompt objects")
        require(
            prompt.split == env.split and prompt.text not in others,
            f"sample_prompts drew {shown(prompt.text)} of split {others.get(prompt.text, prompt.split)}; "
            f"draw from {env.split}, the environment's split",
        )
        require(prompt.text in env.observation_space, f"the prompt {shown(prompt.text)} is not in observation_space")


def check_scores(case: Case) -> None:
    """Require scores (B, K) that do not depend on the batch, and `step` to return them."""
    env = _text_env(case)
    empty = env.score([], [])
    require(np.shape(empty) == (0, env.reward_dim), f"score([], []) is {shown(empty)}; return shape (0, K)")
    for split in SPLITS:
        prompts, responses = _batch(_prompts(env, split))
        case.restore(env)
        before = _state(env)
        scores = env.score(prompts, responses)
        _check_scores(env, scores, len(responses))
        if _state(env) != before:  # what it learns from a batch of training responses may depend on the batch
            continue
        single = [env.score([prompt], [text])[0] for prompt, text in zip(prompts, responses, strict=True)]
        _require_close(scores, np.reshape(single, scores.shape), "score of a batch and of its members")
        _require_close(scores, _stepped(env, prompts, responses, scores.shape), "score and step")


def _stepped(env: ResponseEnv, prompts: list[Prompt], responses: list[str], shape: tuple[int, ...]) -> Scores:
    rewards = []
    for prompt, text in zip(prompts, responses, strict=True):
        env.reset(options={"prompt": prompt})
        rewards.append(env.step(text)[1])
    return np.reshape(np.array(rewards, dtype=np.float32), shape)


def _check_scores(env: ResponseEnv, scores: Any, responses: int) -> None:
    shape = responses, env.reward_dim
    kind = getattr(scores, "dtype", type(scores).__name__)
    require(
        isinstance(scores, np.ndarray) and scores.dtype == np.float32 and scores.shape == shape,
        f"score returned {kind} of shape {np.shape(scores)}; return a float32 array of shape {shape}",
    )
    inside = (scores >= 0) & (scores <= 1)
    require(bool(inside.all()), f"score returned {shown(scores[~inside])}; objectives are in [0, 1]")


def _require_close(a: Scores, b: Scores, what: str) -> None:
    """Scores of a model may differ by rounding between batches."""
    message = f"{what} differ: {shown(a)} and {shown(b)}; score each response by itself"
    require(np.allclose(a, b, rtol=0, atol=1e-5), message)


def check_hostile_texts(case: Case) -> None:
    """Require scores for responses of any kind, and that `step` takes those of the action space."""
    env = _text_env(case)
    case.restore(env)
    prompt = _prompts(env, env.split)[0]
    texts = [text for text in HOSTILE if text in env.action_space]
    for text in texts:
        try:
            _check_scores(env, env.score([prompt], [text]), 1)
            env.reset(options={"prompt": prompt})
            env.step(text)
        except Exception as error:
            name = "" if isinstance(error, Breach) else f"{type(error).__name__}: "
            raise Breach(f"the response {shown(text)} gives {name}{error}; score any text") from error


def check_reset_options(case: Case) -> None:
    """Require that "prompt" sets the prompt, an unknown option is refused, and a finished episode stays finished."""
    env = _text_env(case)
    prompt = _prompts(env, env.split)[0]
    text, _ = env.reset(options={"prompt": prompt})
    require(text == prompt.text, f"reset(options={{'prompt': ...}}) returned {shown(text)}; begin with that prompt")
    env.step("")
    try:
        env.step("")
    except ResetNeeded:
        pass
    else:
        raise Breach("step after the end of the episode returned; raise gymnasium.error.ResetNeeded")
    try:
        env.reset(options={"no_such_option": 1})
    except ValueError:
        return
    raise Breach("reset took the unknown option 'no_such_option'; raise a ValueError")


def _text_env(case: Case) -> ResponseEnv:
    assert isinstance(case.env, ResponseEnv)
    return case.env


def _prompts(env: ResponseEnv, split: Split, limit: int | None = FEW) -> list[Prompt]:
    """Return prompts of a split; none where the environment says that it lacks the split, unless it draws from it."""
    try:
        return env.prompts(split, limit)
    except ValueError:
        if split == env.split:
            raise
        return []


def _batch(prompts: list[Prompt]) -> tuple[list[Prompt], list[str]]:
    """Return prompts and responses to them, good ones and bad ones."""
    pairs = [
        (prompt, text)
        for prompt in prompts[:FEW]
        for text in (prompt.answer, f"1. Think.\n2. It is \\boxed{{{prompt.answer}}}.", "", "No idea. " * 9)
    ]
    return [prompt for prompt, _ in pairs], [text for _, text in pairs]


RESPONSE_RULES: dict[str, Rule] = {
    "state": check_state,
    "splits": check_splits,
    "samples": check_samples,
    "scores": check_scores,
    "hostile texts": check_hostile_texts,
    "reset options": check_reset_options,
}
