"""A token-level task as a text task: for language models, on a task whose front is known.

Shapes: B responses, L positions, V tokens, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from paretune.envs.catalog import make_env
from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.prompts import SPLITS, Prompt, Split
from paretune.envs.text.response import ResponseEnv, check_split
from paretune.envs.tokens.fronts import convex_set, pareto_set
from paretune.envs.tokens.token_env import SYMBOL_RUNS, TokenEnv


class TokenText(ResponseEnv):
    """A token-level task, written as one response: a text of L letters, one for each token.

    The reward is the text's undiscounted returns in the task, clipped to [0, 1]; white space around the text is
    ignored, and a text of another length or with other letters scores 0 everywhere. Clipping keeps the order in each
    objective, so a text that another dominates stays at most as good. And points of the task's front in (0, 1]^K stay
    on the front: they are not moved, and where a clipped return is positive, the return itself was no smaller, so what
    dominates them now did so before. Where all points of the front are like that, the fronts are those of the task;
    else `pareto_front` and `convex_front` are those of its clipped returns.

    All prompts ask for the same and differ in their number: there is one front for all of them.

    Where a change of style costs as much as in the default task, random texts have negative returns and score 0. A
    policy that is to learn from scratch needs `task_options={"change_cost": 0.1}` or less: then 9 of 10 texts of
    random letters score, and the default task's front has 31 points instead of 16. A language model has to write L of
    the letters and nothing else before it scores at all; a high sampling temperature and a max_new_tokens of L help.

    Attributes:
        task: The token-level task.

    Example:
        >>> env = TokenText("paretune/TokenConcave-v0")
        >>> env.prompts("test")[0].text
        'Text 513: write 10 letters from a to p.'
        >>> env.score(["Text 513"] * 3, ["aaaaaaaaaa", " pppppppppp", "aaaa"]).round(2).tolist()
        [[0.10000000149011612, 1.0], [1.0, 0.10000000149011612], [0.0, 0.0]]
    """

    default_objectives: ClassVar[tuple[str, ...]] = ("style_0", "style_1")

    def __init__(
        self,
        task: str | TokenEnv = "paretune/TokenConcave-v0",
        *,
        task_options: Mapping[str, Any] | None = None,
        held_out: int = 256,
        split: Split = "train",
        render_mode: str | None = None,
    ) -> None:
        """Make the environment.

        Args:
            task: The token-level task, or its id.
            task_options: What the task's constructor takes, if `task` is an id.
            held_out: How many prompts each split has, 1 to 100000.
            split: The split that `reset` and `sample_prompts` draw from.
            render_mode: "ansi" if `render` shows the last prompt, response and rewards, else None.

        Raises:
            ValueError: If an option is out of its range, or `task` is not a token-level task.
        """
        if not 1 <= held_out <= 100_000:
            raise ValueError(f"held_out: must be from 1 to 100000, got {held_out}")
        self.task = resolve_task(task, task_options)
        self.held_out = held_out
        returns = [Return(self.task, k) for k in range(self.task.reward_dim)]
        super().__init__(returns, max_tokens=self.task.length + 1, split=split, render_mode=render_mode)

    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        """Return the prompts of a split (the first `limit` of them), numbered on from those of the split before."""
        first = 1 + SPLITS.index(check_split(split)) * self.held_out
        letters = f"letter{'s' * (self.task.length > 1)} from {letter_ranges(self.task.vocabulary)}"
        questions = [f"Text {first + n}: write {self.task.length} {letters}." for n in range(self.held_out)[:limit]]
        return [Prompt.from_question(question, split=split) for question in questions]

    def pareto_front(self, gamma: float = 1.0) -> list[NDArray[np.float64]]:
        """Return the non-dominated rewards (K,), exactly, in ascending order.

        Args:
            gamma: For the interface's sake: there is one step, and nothing to discount.

        Raises:
            ValueError: If the task's front is too large to be computed.
        """
        return list(pareto_set(self._best()))

    def convex_front(self, gamma: float = 1.0) -> list[NDArray[np.float64]]:
        """Return the convex coverage set (K,) of the rewards, exactly; the rest is as for `pareto_front`."""
        return list(convex_set(self._best()))

    def _best(self) -> NDArray[np.float64]:
        return np.clip(self.task.pareto_front(), 0.0, 1.0)


class Return(Objective):
    """One of the K returns of texts in a token-level task."""

    def __init__(self, task: TokenEnv, index: int) -> None:
        """Take the objective of this index of a task."""
        self.name = task.objectives[index]
        self.task, self.index = task, index

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Return scores in [0, 1], shape (B,), float32; see `TokenText`."""
        return score_texts(self.task, responses)[:, self.index]


def score_texts(task: TokenEnv, responses: Sequence[str]) -> Scores:
    """Return the clipped undiscounted returns (B, K) of responses, 0 for those that are no texts of the task."""
    numbers = {symbol: token for token, symbol in enumerate(task.symbols)}
    texts = [response.strip() for response in responses]
    tokens = {
        b: [numbers[symbol] for symbol in text]
        for b, text in enumerate(texts)
        if len(text) == task.length and numbers.keys() >= set(text)
    }
    scores_BK = np.zeros((len(responses), task.reward_dim), dtype=np.float32)
    if tokens:
        scores_BK[list(tokens)] = np.clip(task.returns(list(tokens.values())), 0.0, 1.0)
    return scores_BK


def resolve_task(task: str | TokenEnv, options: Mapping[str, Any] | None) -> TokenEnv:
    """Return the token-level task that an id or an object stands for.

    Raises:
        ValueError: If it is none, or an object comes with options.
    """
    if isinstance(task, str):
        env = make_env(task, **(options or {}))
    elif options:
        raise ValueError(f"task_options: must be empty when task is not an id, got {dict(options)!r}")
    else:
        env = task
    if not isinstance(env, TokenEnv):
        raise ValueError(f"task: must be a TokenEnv or the id of one, got {task!r}")
    return env


def letter_ranges(vocabulary: int) -> str:
    """Return a vocabulary's symbols in words, such as "a to z, A to D" for 30 of them."""
    said = []
    for run in SYMBOL_RUNS:
        if vocabulary > 0:
            said.append(f"{run[0]} to {run[:vocabulary][-1]}" if vocabulary > 1 else run[0])
        vocabulary -= len(run)
    return ", ".join(said)
