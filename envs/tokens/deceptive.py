"""Texts whose beginning rewards what their end has to pay for."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from paretune.envs.tokens.token_env import Observation, TokenEnv

DECOY = 0.3


class DeceptiveEnv(TokenEnv):
    """Three objectives: one is easy early and costs the other two late.

    A token v is a depth s = v / (V - 1). The first third of a text, n positions, pays `quick`, the other L - n
    positions `deep` and `safe`, and each change of depth costs all three:

        quick  (1 - s) / n                                       early
        deep   max(0.3 * (1 - 2s), 2s - 1) / (L - n)             late: 0.3 at s = 0, nothing at 1/2, all at s = 1
        safe   max(0.3 * (1 - 2s), 1 - |4s - 3|) / (L - n)       late: 0.3 at s = 0, nothing at 1/2, all at s = 3/4
        each   - change_cost * |change of s|                     not at the first position

    Depth 0 is the trap: it pays all of `quick` at once, a little of the others later, and every small step away from
    it loses. What `deep` and `safe` are worth shows beyond a valley, to texts that gave up `quick` for it or paid for
    a leap.
    """

    default_objectives: ClassVar[tuple[str, ...]] = ("quick", "deep", "safe")

    def __init__(
        self,
        vocabulary: int = 13,
        length: int = 12,
        *,
        change_cost: float = 0.25,
        observation: Observation = "one_hot",
        render_mode: str | None = None,
    ) -> None:
        """Make the environment.

        Args:
            vocabulary: V, from 2 to 256.
            length: L, from 2 to 64.
            change_cost: What the change from depth 0 to depth 1 costs each objective; at least 0.
            observation: "one_hot" or "multi_discrete".
            render_mode: "ansi" or None.

        Raises:
            ValueError: If an argument breaks its rule.
        """
        if not 2 <= length <= 64:
            raise ValueError(f"length: must be from 2 to 64, got {length}")
        if not 0 <= change_cost < np.inf:
            raise ValueError(f"change_cost: must be a finite number of at least 0, got {change_cost}")
        self.early = max(1, length // 3)
        self.change_cost = change_cost
        super().__init__(
            vocabulary,
            length,
            self.default_objectives,
            low=-change_cost,
            high=1 / np.array([self.early, length - self.early, length - self.early]),
            observation=observation,
            render_mode=render_mode,
        )

    def rewards(self, position: Any, last: Any, new: Any) -> NDArray[np.float64]:
        """Return the rewards (..., 3) of the new token, less the cost of a change of depth."""
        position, last, new = np.broadcast_arrays(position, last, new)
        depth, before = new / (self.vocabulary - 1), last / (self.vocabulary - 1)
        decoy = DECOY * (1 - 2 * depth)
        early = position < self.early
        quick = np.where(early, (1 - depth) / self.early, 0.0)
        late = np.where(early, 0.0, 1 / (self.length - self.early))
        deep = late * np.maximum(decoy, 2 * depth - 1)
        safe = late * np.maximum(np.maximum(decoy, 1 - np.abs(4 * depth - 3)), 0.0)
        cost = self.change_cost * np.abs(depth - before) * (position > 0)
        return np.stack([quick, deep, safe], axis=-1) - cost[..., None]
