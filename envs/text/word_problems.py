"""Short word problems: a dozen stories that tell a running total."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Story:
    """A story about a number of things that changes.

    Attributes:
        opening: First sentence, with `{}` for the things counted.
        thing: What is counted, a noun whose plural ends in s.
        who: The pronoun that the second sentence starts with.
        gain: A change that adds `{}`.
        loss: A change that takes `{}` away.

    Example:
        >>> STORIES[0].tell([12, 7, 3], "+-")
        'Ann has 12 pens. She gets 7 more, then gives away 3. How many pens now?'
    """

    opening: str
    thing: str
    who: str
    gain: str
    loss: str

    def tell(self, numbers: Sequence[int], operations: str) -> str:
        """Return the problem that starts with `numbers[0]` things and applies the operations one after the other.

        Args:
            numbers: The start and then one number for each operation.
            operations: A string of "+", "-" and "*".
        """
        phrases = {"+": self.gain, "-": self.loss, "*": "ends up with {} times as many"}
        changes = [phrases[sign].format(number) for sign, number in zip(operations, numbers[1:], strict=True)]
        things = f"{numbers[0]} {self.thing}" + ("s" if numbers[0] != 1 else "")
        changed = ", then ".join(filter(None, [", ".join(changes[:-1]), changes[-1]]))
        return f"{self.opening.format(things)} {self.who} {changed}. How many {self.thing}s now?"


STORIES = (
    Story("Ann has {}.", "pen", "She", "gets {} more", "gives away {}"),
    Story("Ben owns {}.", "card", "He", "buys {}", "sells {}"),
    Story("A bus carries {}.", "rider", "It", "picks up {}", "drops off {}"),
    Story("A jar holds {}.", "bean", "It", "gains {}", "loses {}"),
    Story("Mia bakes {}.", "cake", "She", "bakes {} more", "eats {}"),
    Story("A shelf has {}.", "book", "It", "receives {}", "loses {}"),
    Story("Tom picks {}.", "plum", "He", "finds {} more", "drops {}"),
    Story("A farm keeps {}.", "hen", "It", "buys {}", "sells {}"),
    Story("Eva saves {}.", "coin", "She", "earns {}", "spends {}"),
    Story("A pond has {}.", "duck", "It", "welcomes {}", "misses {}"),
    Story("Sam stacks {}.", "brick", "He", "adds {}", "removes {}"),
    Story("A team scores {}.", "point", "It", "wins {}", "forfeits {}"),
)
