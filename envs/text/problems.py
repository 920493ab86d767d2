"""Arithmetic problems: a running total, how it is drawn and written, and the split it belongs to."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from paretune.envs.prompts import Split

OPERATIONS: dict[str, Callable[[int, int], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}
LARGEST_FACTOR = 9


@dataclass(frozen=True, slots=True)
class Problem:
    """A running total: the first number, changed by one operation after the other.

    Attributes:
        numbers: The start and then one number for each operation.
        operations: A string of "+", "-" and "*".

    Example:
        >>> problem = Problem((12, 7, 3), "+*")
        >>> problem.expression, problem.totals
        ('(12+7)*3', (12, 19, 57))
    """

    numbers: tuple[int, ...]
    operations: str

    @classmethod
    def draw(cls, rng: np.random.Generator, terms: int, largest: int, operations: str) -> Problem | None:
        """Draw a problem of which no running total is negative, so that it can be told as a story.

        Operations are equally likely; a number is uniform from 1 to `largest`, or to the running total if it is taken
        away and that is smaller; a factor is uniform from 2 to `largest`, or to 9 if that is smaller.

        Args:
            rng: The source of randomness.
            terms: How many numbers; at least 2.
            largest: The largest number; at least 2.
            operations: What to draw operations from, such as "+-".

        Returns:
            The problem, or None if something would have to be taken from a total of 0.
        """
        numbers = [int(rng.integers(1, largest, endpoint=True))]
        total, signs = numbers[0], ""
        for _ in range(terms - 1):
            sign = operations[rng.integers(len(operations))]
            if sign == "-" and total == 0:
                return None
            low, high = {"+": (1, largest), "-": (1, min(largest, total)), "*": (2, min(largest, LARGEST_FACTOR))}[sign]
            numbers.append(int(rng.integers(low, high, endpoint=True)))
            total, signs = OPERATIONS[sign](total, numbers[-1]), signs + sign
        return cls(tuple(numbers), signs)

    @property
    def totals(self) -> tuple[int, ...]:
        """The running totals, from the first number to the answer."""
        changes = zip(self.operations, self.numbers[1:], strict=True)
        return tuple(
            accumulate(changes, lambda total, change: OPERATIONS[change[0]](total, change[1]), initial=self.numbers[0])
        )

    @property
    def answer(self) -> int:
        """The last total."""
        return self.totals[-1]

    @property
    def expression(self) -> str:
        """The problem as a formula, with brackets where a product follows a sum; no other problem has the same."""
        text, is_sum = str(self.numbers[0]), False
        for sign, number in zip(self.operations, self.numbers[1:], strict=True):
            text = f"({text})" if sign == "*" and is_sum else text
            text, is_sum = f"{text}{sign}{number}", sign != "*"
        return text

    @property
    def split(self) -> Split:
        """The split, by a hash of the expression: 1/8 of all problems test, 1/8 validation, the rest train."""
        digest = hashlib.blake2b(self.expression.encode(), key=b"paretune/Arithmetic", digest_size=1).digest()
        splits: dict[int, Split] = {0: "test", 1: "validation"}
        return splits.get(digest[0] % 8, "train")
