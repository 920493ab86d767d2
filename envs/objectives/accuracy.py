"""The objective "accuracy": is the final answer right?

Shapes: B responses.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from paretune.envs.judging.answers import FALLBACKS, final_answer, last_boxed
from paretune.envs.judging.verifier import AnswerVerifier, shared_verifier
from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.prompts import Prompt
from paretune.envs.suggest import unknown_name

_COUNTS_LOCK = threading.Lock()


class Accuracy(Objective):
    r"""1 where a response's final answer equals the reference answer mathematically, else 0.

    The final answer is the content of the last `\boxed{...}`, else what the fallback finds. What cannot be decided
    within the verifier's limits counts as wrong, and is counted: `counts()` gives `accuracy/undecided` and
    `accuracy/no_answer` (responses without a final answer) since the objective was made. Exact integers are compared
    without math-verify and start no process.

    Attributes:
        fallback: Name of the fallback in `paretune.envs.judging.answers.FALLBACKS`.

    Example:
        >>> prompt = Prompt.from_question("What is 1/2 + 1/4?", answer=r"\frac{3}{4}")
        >>> Accuracy()([prompt, prompt], [r"It is \boxed{\dfrac34}.", r"It is \boxed{1}."])
        array([1., 0.], dtype=float32)
    """

    name = "accuracy"

    def __init__(self, fallback: str = "none", verifier: AnswerVerifier | None = None) -> None:
        """Set up; no process starts yet.

        Args:
            fallback: Where to look for the final answer of a response without a box: `none` or `last_number`.
            verifier: What compares answers; None takes the one that is shared by all objectives.

        Raises:
            ValueError: If there is no such fallback.
        """
        if fallback not in FALLBACKS:
            raise ValueError(unknown_name("fallback", fallback, FALLBACKS))
        self.fallback = fallback
        self._verifier = verifier
        self._no_answer = 0
        self._undecided = 0

    @property
    def verifier(self) -> AnswerVerifier:
        """What compares answers."""
        return self._verifier or shared_verifier()

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        r"""Score responses.

        Args:
            prompts: B prompts with a reference answer each, either the answer itself or a solution with a `\boxed{}`.
            responses: B responses.

        Returns:
            0 or 1 each, shape (B,), float32.

        Raises:
            ValueError: If a prompt has no reference answer, or there are not as many responses as prompts.
        """
        references = [last_boxed(prompt.answer) or prompt.answer.strip() for prompt in prompts]
        if "" in references:
            raise ValueError(
                f"prompts: must have a reference answer each, for accuracy, got none for number {references.index('')}"
            )
        answers = [final_answer(response, self.fallback) or "" for response in responses]
        verdicts = self.verifier.equal(references, answers)
        with _COUNTS_LOCK:
            self._no_answer += answers.count("")
            self._undecided += verdicts.count(None)
        return np.array([verdict is True for verdict in verdicts], dtype=np.float32)

    def counts(self) -> dict[str, int]:
        """Return the numbers of responses without a final answer and with one that could not be decided."""
        return {"accuracy/no_answer": self._no_answer, "accuracy/undecided": self._undecided}

    def close(self) -> None:
        """End the processes of the verifier; they start again when needed."""
        self.verifier.close()
