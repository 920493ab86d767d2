"""Whether two answers are mathematically equal, decided by math-verify in processes that can be killed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import TracebackType

from paretune.envs.judging.answers import MAX_TAIL, as_rational, normalise, tidy
from paretune.envs.judging.pool import JudgePool

MAX_CHARS = 300
"""Longest reference or answer, in characters, that is compared mathematically."""

MAX_DEPTH = 20
"""Deepest nesting of brackets that is compared mathematically."""


class AnswerVerifier:
    r"""Compares answers with references; safe against hostile answers, and usable from any thread.

    Equal strings, integers and fractions need no process. Everything else goes to a `JudgePool`, whose processes start
    when they are first needed. With the default limit 512 distinct pairs cost at most about 36 s, shared by the
    workers; ordinary ones cost about 3 s.

    Attributes:
        pool: What compares the others.

    Example:
        >>> with AnswerVerifier(workers=1) as verifier:
        ...     verifier.equal([r"\frac{1}{2}", "17"], ["0.5", r"9^{9^{9^{9}}}"])
        [True, None]
    """

    def __init__(self, workers: int | None = None, time_limit: float = 1.0) -> None:
        """Set up without starting anything.

        Args:
            workers: Number of worker processes; None takes two, or one on a machine with a single processor.
            time_limit: Seconds of processor time for one comparison.

        Raises:
            ValueError: If `workers` or `time_limit` is not positive.
        """
        self.pool = JudgePool(Path(__file__).with_name("math_judge.py"), workers=workers, time_limit=time_limit)

    def equal(self, references: Sequence[str], answers: Sequence[str]) -> list[bool | None]:
        """Compare each answer with its reference.

        Args:
            references: B reference answers, LaTeX or plain.
            answers: B answers to judge, one per reference.

        Returns:
            B verdicts, None where the answer is too long, too deeply nested or too costly to decide.

        Raises:
            ValueError: If there are not as many answers as references.
            RuntimeError: If no worker process can be started.
        """
        pairs = [(tidy(reference), tidy(answer)) for reference, answer in zip(references, answers, strict=True)]
        verdicts = {pair: _verdict_at_once(*pair) for pair in dict.fromkeys(pairs)}
        costly = [pair for pair, verdict in verdicts.items() if verdict is None and all(map(_affordable, pair))]
        verdicts.update(self.pool.verdicts(costly))
        return [verdicts[pair] for pair in pairs]

    def close(self) -> None:
        """End the worker processes; they start again when needed."""
        self.pool.close()

    def __enter__(self) -> AnswerVerifier:
        """Return itself; leaving the context closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __reduce__(self) -> tuple[type[AnswerVerifier], tuple[int, float]]:
        """Copies and pickles take the settings along, not the processes."""
        return AnswerVerifier, (self.pool.workers, self.pool.time_limit)


def _verdict_at_once(reference: str, answer: str) -> bool | None:
    """Return the verdict where comparing strings or rational numbers gives it, else None."""
    if max(len(reference), len(answer)) > MAX_TAIL:
        return True if reference == answer else None
    strings = normalise(reference), normalise(answer)
    if not all(strings):
        return False
    if strings[0] == strings[1]:
        return True
    numbers = as_rational(reference), as_rational(answer)
    return None if None in numbers else numbers[0] == numbers[1]


def _affordable(text: str) -> bool:
    """Return whether `text` is short and flat enough to be read."""
    if len(text) > MAX_CHARS:
        return False
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, abs(depth))
    return deepest <= MAX_DEPTH


@cache
def shared_verifier() -> AnswerVerifier:
    """Return the verifier that all objectives of this process share unless they are given one of their own."""
    return AnswerVerifier()
