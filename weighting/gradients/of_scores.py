"""The objectives' advantages of scores, and what they make of the factors of a gradient.

Shapes: B scores, N positions, K objectives, S parts.
"""

from __future__ import annotations

import torch
from torch import Tensor

from paretune.weighting.gradients.factor_gram import Weighed
from paretune.weighting.gradients.factors import Factors


class OfScores:
    """Advantages (B, K), and the part of the batch that each score is in.

    Attributes:
        advantages: (B, K).
        parts: (B,); None where there is one.
    """

    def __init__(self, advantages: Tensor, parts: Tensor | None = None) -> None:
        """Hold both."""
        self.advantages, self.parts = advantages, parts
        self._known: dict[Tensor, list[tuple[Tensor | None, Tensor, int]]] = {}

    @classmethod
    def joined(cls, batches: list[OfScores]) -> OfScores:
        """Return those of all micro-batches."""
        parts = [batch.parts for batch in batches if batch.parts is not None]
        return cls(torch.cat([batch.advantages for batch in batches]), torch.cat(parts) if parts else None)

    def weighed(self, factors: Factors, scores: Tensor) -> list[Weighed]:
        """Return the factors with the advantages of their positions, split up by parts.

        Args:
            factors: Of N positions.
            scores: The score (N,) that each position belongs to; modules alike have the same object.
        """
        if scores not in self._known:
            self._known[scores] = self._looked_up(scores)
        dtype = factors.columns.dtype
        return [
            Weighed(factors if places is None else factors.at(places), advantages_NK.to(dtype), part)
            for places, advantages_NK, part in self._known[scores]
        ]

    def _looked_up(self, scores: Tensor) -> list[tuple[Tensor | None, Tensor, int]]:
        """Return for each part which positions are in it, None being all, their advantages, and the part."""
        advantages_NK = self.advantages[scores]
        if self.parts is None:
            return [(None, advantages_NK, 0)]
        parts_N = self.parts[scores]
        found = []
        for part in parts_N.unique().tolist():
            places = (parts_N == part).nonzero()[:, 0]
            found.append((places, advantages_NK[places], part))
        return found
