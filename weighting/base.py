"""The interface of all weighting strategies: observations in, weights out.

Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.weighting.gram_estimate import GramEstimate

Weights = NDArray[np.float64]


@dataclass(eq=False)
class Weighting(ABC):
    """A rule that sets the objectives' weights while a policy trains.

    A trainer reads `weights` at every step and calls the hooks; each hook is a no-op unless a strategy needs it.
    Strategies are dataclasses: their fields are their options, in `options()` and on the command line.

    Attributes:
        name: The strategy's name on the command line.
        when: When to use it, in one short sentence.
        paper: Link to the paper that it is from; empty if it is from none.
    """

    name: ClassVar[str]
    when: ClassVar[str]
    paper: ClassVar[str] = ""

    @property
    def needs_validation(self) -> bool:
        """Whether the trainer must call `on_validation`."""
        return False

    @property
    def needs_gram(self) -> bool:
        """Whether the trainer must call `on_gradients` at this step; it may change with every `on_rewards`."""
        return False

    @property
    def reads_errors(self) -> bool:
        """Whether `on_validation` takes a `standard_error`: a trainer that knows it passes it on."""
        return False

    @property
    def scale_rewards(self) -> bool:
        """Whether the scale multiplies the rewards before the advantages are normalised.

        That is the order that the paper published; otherwise the scale multiplies the advantages afterwards.
        """
        return False

    @property
    def moves_scale(self) -> bool:
        """Whether `scale` may be anything but 1: a trainer must see to it that no normalisation cancels it."""
        return False

    @property
    @abstractmethod
    def weights(self) -> Weights:
        """The current weights (K,), float64, non-negative: `direction` times `scale`."""

    @property
    def scale(self) -> float:
        """The sum of the weights, which multiplies the advantages."""
        return float(self.weights.sum())

    @property
    def direction(self) -> Weights:
        """The weights (K,) divided by their sum: a point on the simplex."""
        return self.weights / self.weights.sum()

    def on_rewards(self, rewards: ArrayLike) -> None:
        """See the rewards (P, G, K) of a training step, once per step and before `on_gradients`."""

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """See the validation performance (K,) of the current policy and, where known, its standard errors (K,)."""

    def on_gradients(self, gram: ArrayLike, lr: float) -> None:
        """See the Gram matrix (K, K) of the objectives' gradients at the current policy and the learning rate."""

    def on_gram_estimate(self, estimate: GramEstimate, lr: float) -> None:
        """See an estimate of the Gram matrix whose errors are known; it takes the place of `on_gradients`.

        A strategy that has no use for errors gets the matrix, which by chance may have negative eigenvalues.
        """
        self.on_gradients(estimate.matrix, lr)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """What a run should log besides the weights, by name; lists have one entry per objective."""
        return {}

    def options(self) -> dict[str, Any]:
        """The arguments that make an equal, untrained strategy, JSON-able.

        Example:
            >>> from paretune.weighting import FixedWeighting
            >>> FixedWeighting([2, 1, 1]).options()
            {'preference': [0.5, 0.25, 0.25]}
        """
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    def state_dict(self) -> dict[str, Any]:
        """What has been learned so far, JSON-able."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
