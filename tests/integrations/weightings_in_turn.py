"""All weightings in one training: at each step another one weighs, and all see everything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting import WEIGHTINGS, Weighting, make_weighting

NEEDED: dict[str, Any] = {
    "lagrangian": {"thresholds": [0.6, None, None]},
    "schedule": {"points": [[1, 1, 0, 1], [4, 0, 1, 1]]},
}
"""Options of the weightings of three objectives that have no default."""


def made(name: str) -> Weighting:
    return make_weighting(name, 3, **NEEDED.get(name, {}))


NO_GRADIENTS = [name for name in WEIGHTINGS if not made(name).needs_gram]


@dataclass(eq=False)
class WeightingsInTurn(Weighting):
    """Step i, counted from 0, is that of strategy i; gradients are compared in the steps that need them."""

    strategies: list[Weighting]
    name = "in-turn"
    when = "in tests"

    def __post_init__(self) -> None:
        self.turn = -1

    @classmethod
    def of(cls, names: Iterable[str]) -> WeightingsInTurn:
        return cls([made(name) for name in names])

    @property
    def current(self) -> Weighting:
        return self.strategies[max(self.turn, 0)]

    @property
    def needs_validation(self) -> bool:
        return any(strategy.needs_validation for strategy in self.strategies)

    @property
    def needs_gram(self) -> bool:
        return self.current.needs_gram

    @property
    def moves_scale(self) -> bool:
        return any(strategy.moves_scale for strategy in self.strategies)

    @property
    def weights(self) -> np.ndarray:
        return self.current.weights

    @property
    def scale(self) -> float:
        return self.current.scale

    @property
    def direction(self) -> np.ndarray:
        return self.current.direction

    def on_rewards(self, rewards: ArrayLike) -> None:
        self.turn += 1
        for strategy in self.strategies:
            strategy.on_rewards(rewards)

    def on_validation(self, performance: ArrayLike) -> None:
        for strategy in self.strategies:
            strategy.on_validation(performance)

    def on_gradients(self, gram: ArrayLike, lr: float) -> None:
        for strategy in self.strategies:
            strategy.on_gradients(gram, lr)

    def diagnostics(self) -> dict[str, float | list[float]]:
        return self.current.diagnostics()
