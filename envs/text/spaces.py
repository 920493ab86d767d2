"""The space of texts that language models read and write."""

from __future__ import annotations

import string
from typing import Any

import numpy as np
from gymnasium.spaces import Text
from numpy.typing import NDArray

SAMPLED_CHARACTERS = string.digits + string.ascii_letters + string.punctuation + " "
LONGEST_SAMPLE = 256


class UnicodeText(Text):
    """All Unicode texts of at most `max_length` characters, the empty one included.

    A `gymnasium.spaces.Text` lists its characters; this one admits all of Unicode without a list, so that membership
    takes constant time. Samples are printable ASCII of at most 256 characters, of uniformly random length. Texts
    outside the sampled characters cannot be flattened to arrays, hence `is_np_flattenable` is False.

    Example:
        >>> "Ω ≥ 1 🙂" in UnicodeText(max_length=10)
        True
        >>> "four" in UnicodeText(max_length=3)
        False
    """

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        """Make the space.

        Args:
            max_length: Longest text in characters (Unicode code points), at least 0.
            seed: Seed of `sample`.
        """
        super().__init__(max_length, min_length=0, charset=SAMPLED_CHARACTERS, seed=seed)

    def sample(
        self,
        mask: tuple[int | None, NDArray[np.int8] | None] | None = None,
        probability: tuple[int | None, NDArray[np.float64] | None] | None = None,
    ) -> str:
        """Return a random text; `mask` and `probability` are those of `gymnasium.spaces.Text`."""
        if mask is None and probability is None:
            mask = int(self.np_random.integers(min(self.max_length, LONGEST_SAMPLE) + 1)), None
        return super().sample(mask, probability)

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a string of at most `max_length` characters."""
        return isinstance(x, str) and len(x) <= self.max_length

    @property
    def is_np_flattenable(self) -> bool:
        """False: there is no array of character numbers for all of Unicode."""
        return False

    def __eq__(self, other: object, /) -> bool:
        """Return whether `other` is the same set of texts."""
        return isinstance(other, UnicodeText) and self.max_length == other.max_length

    def __repr__(self) -> str:
        """Return the call that makes an equal space."""
        return f"UnicodeText({self.max_length})"
