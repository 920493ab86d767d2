"""A paretune environment in TRL's form: reward functions, and a dataset of prompts.

Shapes: B responses, K objectives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
from datasets import Dataset

from paretune.envs import Prompt, Response, ResponseEnv, Split
from paretune.integrations.environments import response_env

RewardFunction = Callable[..., list[float]]
Completion = str | Sequence[dict[str, str]]


def prompt_dataset(env: gym.Env, split: Split = "train", limit: int | None = None, *, chat: bool = False) -> Dataset:
    """Return the prompts of a split, the first `limit`, as a dataset for TRL's trainers.

    Besides "prompt" it has the columns that `reward_functions` read: "conversation", "answer" and "split".

    Args:
        env: The environment.
        split: "train", "validation" (for `eval_dataset`) or "test".
        limit: Most prompts; None is all.
        chat: Prompts as messages, for models with a chat template; otherwise as plain text.

    Raises:
        ValueError: If there is no such split.

    Example:
        >>> from paretune.envs import make_env
        >>> prompt_dataset(make_env("paretune/Arithmetic-v0"), limit=4).column_names
        ['prompt', 'conversation', 'answer', 'split']
    """
    prompts = response_env(env).prompts(split, limit)
    conversations = [[dict(message) for message in prompt.messages] for prompt in prompts]
    return Dataset.from_dict(
        {
            "prompt": conversations if chat else [prompt.text for prompt in prompts],
            "conversation": conversations,
            "answer": [prompt.answer for prompt in prompts],
            "split": [prompt.split for prompt in prompts],
        }
    )


def reward_functions(env: gym.Env) -> list[RewardFunction]:
    """Return the K objectives of an environment as reward functions, named after them, in order.

    They score prompts of `prompt_dataset`; a batch is scored once for all of them. What objectives learn from training
    responses (such as `RelativeConciseness`) they learn from those of their own process.

    Raises:
        ValueError: If it is no environment of prompts and responses.
    """
    shared = _SharedScores(response_env(env))
    return [_column(shared, k, name) for k, name in enumerate(shared.env.objectives)]


class _SharedScores:
    """Scores each batch once: objectives may be costly, and count the batches that they see."""

    def __init__(self, env: ResponseEnv) -> None:
        self.env = env
        self._scored: Any = None
        self._scores: list[list[float]] = []

    def __call__(
        self,
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]],
        conversation: Sequence[Sequence[Any]],
        answer: Sequence[str],
        split: Sequence[Split],
    ) -> list[list[float]]:
        """Return K lists of B scores."""
        if completions is not self._scored:  # TRL hands one and the same list to all reward functions
            prompts = [
                Prompt(tuple({"role": m["role"], "content": m["content"]} for m in messages), reference, name)
                for messages, reference, name in zip(conversation, answer, split, strict=True)
            ]
            responses = [
                Response(_text(completion), len(ids))
                for completion, ids in zip(completions, completion_ids, strict=True)
            ]
            self._scores = self.env.score(prompts, responses).T.tolist()
            self._scored = completions
        return self._scores


def _column(shared: _SharedScores, k: int, name: str) -> RewardFunction:
    def reward(
        completions: Sequence[Completion],
        completion_ids: Sequence[Sequence[int]],
        conversation: Sequence[Sequence[Any]],
        answer: Sequence[str],
        split: Sequence[Split],
        **columns: Any,
    ) -> list[float]:
        return shared(completions, completion_ids, conversation, answer, split)[k]

    reward.__name__ = name
    return reward


def _text(completion: Completion) -> str:
    return completion if isinstance(completion, str) else "".join(turn["content"] or "" for turn in completion)
