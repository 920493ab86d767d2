"""Parts of a batch whose gradients are multiplied with each other, and never with themselves.

Groups of responses to one prompt stay together: their advantages depend on each other. (Advantages that are centred or
scaled over a whole batch tie the parts together, too, by a share of about one over the number of responses.)

Shapes: B responses, P groups, S parts, K objectives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.weighting.inputs import require

PARTS = 8
"""Parts by default, of as many groups at least: enough for the errors, and nearly as good as a part for each group."""


@dataclass(frozen=True, eq=False, slots=True)
class Split:
    """Which part of a batch each response (or decision) is in.

    Attributes:
        of: The part (B,) of each, from 0.
        number: How many parts there are: S.

    Example:
        >>> Split.of_groups(4, 2, 2, np.random.default_rng(0)).of
        array([0, 0, 0, 0, 1, 1, 1, 1])
    """

    of: NDArray[np.int64]
    number: int

    @classmethod
    def of_groups(cls, groups: int, size: int, number: int, rng: np.random.Generator) -> Split:
        """Deal groups of `size` responses, side by side, out to parts of equal numbers of groups, or nearly so.

        Args:
            groups: P, at least 2.
            size: Responses in each.
            number: S, from 2; of fewer groups, each is a part.
            rng: The source of the order, the same in all processes.

        Raises:
            ValueError: If there are fewer than two groups, or parts.
        """
        require("groups", groups, groups >= 2, "at least 2 to be split into parts")
        require("parts", number, number >= 2, "at least 2")
        number = min(number, groups)
        part_P = rng.permutation(np.arange(groups) % number)
        return cls(part_P.repeat(size), number)

    @property
    def shares(self) -> NDArray[np.float64]:
        """Which share of the batch is in each part (S,)."""
        return np.bincount(self.of, minlength=self.number) / len(self.of)

    def select(self, rows: NDArray[np.int64] | slice) -> Split:
        """Return the same parts for some of the responses; a part may then be empty."""
        return Split(self.of[rows], self.number)
