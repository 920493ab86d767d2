"""The objective "conciseness": how much of its allowance of tokens did a response leave?

Shapes: B responses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.prompts import Prompt, Response

BYTES_PER_TOKEN = 4
"""Bytes of UTF-8 in a typical token, on which `estimate_tokens` rests."""


def estimate_tokens(text: str) -> int:
    """Return a rough number of tokens for a text of unknown tokenisation: one per 4 bytes of UTF-8, rounded up.

    Example:
        >>> estimate_tokens("Two plus two is four.")
        6
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def says_something(text: str) -> bool:
    """Return whether a text is more than white space."""
    return bool(text.strip())


Answers = Callable[[str], object]
"""Tells whether a response answers, by what is true or false of it, such as its final answer or None."""


class Conciseness(Objective):
    """1 - tokens / max_tokens, and 0 for longer responses and for those that do not answer.

    The number of tokens is the response's own where it is a `Response` that knows it. If an empty response scored 1, as
    by the rule of arXiv 2509.11452 (`answers=None`), silence would be the surest reward that a policy can find.

    Attributes:
        max_tokens: The length that scores 0.
        answers: Tells whether a response answers; None takes every one.

    Example:
        >>> Conciseness(max_tokens=100)([Prompt.from_question("1 + 1?")], [Response("2", tokens=25)])
        array([0.75], dtype=float32)
    """

    name = "conciseness"

    def __init__(
        self,
        max_tokens: int,
        count_tokens: Callable[[str], int] | None = None,
        *,
        answers: Answers | None = says_something,
    ) -> None:
        """Set up.

        Args:
            max_tokens: The length that scores 0.
            count_tokens: Counts the tokens of a response that does not know them; None estimates them
                (`estimate_tokens`).
            answers: Tells whether a response answers: one that does not scores 0. By default one does that is more than
                white space; `paretune.envs.judging.answers.final_answer` asks for a final answer. None takes every
                response, the empty one too.

        Raises:
            ValueError: If `max_tokens` is not positive.
        """
        if max_tokens < 1:
            raise ValueError(f"max_tokens: must be at least 1, got {max_tokens}")
        self.max_tokens = max_tokens
        self.answers = answers
        self._count_tokens = count_tokens or estimate_tokens

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Score responses.

        Args:
            prompts: B prompts; ignored.
            responses: B responses.

        Returns:
            Scores in [0, 1], shape (B,), float32.
        """
        return self._absolute(self._tokens(responses)) * self._answered(responses)

    def _answered(self, responses: Sequence[str]) -> Scores:
        """Return 1 for responses (B,) that answer, 0 for others."""
        if self.answers is None:
            return np.ones(len(responses), dtype=np.float32)
        return np.array([bool(self.answers(response)) for response in responses], dtype=np.float32)

    def _tokens(self, responses: Sequence[str]) -> NDArray[np.int64]:
        """Return the lengths (B,) of responses in tokens."""
        known = [response.tokens if isinstance(response, Response) else None for response in responses]
        tokens = [
            self._count_tokens(response) if own is None else own for own, response in zip(known, responses, strict=True)
        ]
        return np.array(tokens, dtype=np.int64)

    def _absolute(self, tokens_B: NDArray[np.int64]) -> Scores:
        return np.clip(1 - tokens_B / self.max_tokens, 0, 1).astype(np.float32)


class RelativeConciseness(Conciseness):
    """1 if shorter than the training responses before it were on average, else 0: the rule of arXiv 2509.11452.

    The mean is over all training responses seen in earlier batches; the first batch is compared with its own mean. It
    takes in a batch after scoring it. Responses to validation and test prompts get 1 - tokens / max_tokens, as
    evaluation does in the paper, and leave the mean alone. A response that does not answer scores 0 (`Conciseness`).

    Example:
        >>> objective = RelativeConciseness(max_tokens=100)
        >>> prompts = [Prompt.from_question("1 + 1?")] * 2
        >>> objective(prompts, [Response("2", tokens=10), Response("It is 2.", tokens=40)])
        array([1., 0.], dtype=float32)
        >>> objective.state_dict()
        {'responses': 2, 'tokens': 50}
    """

    def __init__(
        self,
        max_tokens: int,
        count_tokens: Callable[[str], int] | None = None,
        *,
        answers: Answers | None = says_something,
    ) -> None:
        """Set up with no training response seen; the arguments are those of `Conciseness`."""
        super().__init__(max_tokens, count_tokens, answers=answers)
        self._responses_seen = 0
        self._tokens_seen = 0

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Score responses, and learn their mean length from those to training prompts.

        Args:
            prompts: B prompts, whose splits say which rule applies.
            responses: B responses.

        Returns:
            Scores in [0, 1], shape (B,), float32.
        """
        tokens_B = self._tokens(responses)
        train_B = np.array([prompt.split == "train" for prompt in prompts], dtype=bool)
        scores_B = self._absolute(tokens_B)
        if train_B.any():
            batch = tokens_B[train_B]
            mean = self._tokens_seen / self._responses_seen if self._responses_seen else batch.mean()
            scores_B[train_B] = batch < mean
            self._responses_seen += batch.size
            self._tokens_seen += int(batch.sum())
        return scores_B * self._answered(responses)

    def state_dict(self) -> dict[str, Any]:
        """Return how many training responses were seen, and their tokens in all."""
        return {"responses": self._responses_seen, "tokens": self._tokens_seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._responses_seen = state["responses"]
        self._tokens_seen = state["tokens"]
