"""Random weights: a baseline, and a way to see many compromises in one run.

Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.inputs import Preference, require, resolve_preference
from paretune.weighting.observed import check_rewards


@dataclass(eq=False)
class RandomWeighting(Weighting):
    """Weights from a Dirichlet distribution whose mean is the preference, drawn anew every few steps.

        w ~ Dirichlet(concentration * K * preference)

    With equal preferences and concentration 1 every point of the simplex is equally likely. The n-th draw depends on
    `seed` and n alone, so that a resumed run goes on with the same weights. Before the first step the weights are the
    preference. Objectives of preference 0 keep weight 0.

    Example:
        >>> first, second = RandomWeighting(3, seed=1), RandomWeighting(3, seed=1)
        >>> for weighting in (first, second):
        ...     weighting.on_rewards(np.zeros((2, 4, 3)))
        >>> bool((first.weights == second.weights).all()), float(first.weights.sum().round(12))
        (True, 1.0)
    """

    preference: Preference
    """Mean of the random weights, normalised to sum 1; a single number K means K equal ones."""

    _: KW_ONLY

    concentration: float = 1.0
    """How close the weights stay to the preference, from 0.001 (nearly all in one objective) to 1e6 (nearly fixed)."""

    every: int = 1
    """Training steps from one draw to the next; the first step has its own."""

    seed: int = 0
    """Seed of the draws, at least 0; the run's own seed does not enter."""

    name = "random"
    when = "You need a baseline for adaptive weights, or want one run to pass through many compromises."

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        require("concentration", self.concentration, 1e-3 <= self.concentration <= 1e6, "in [0.001, 1e6]")
        require("every", self.every, self.every >= 1 and self.every % 1 == 0, "a whole number of at least 1")
        require("seed", self.seed, self.seed >= 0 and self.seed % 1 == 0, "a whole number of at least 0")
        self._steps = 0
        self._weights_K = self._draw()

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1."""
        return self._weights_K.copy()

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Count a step with rewards (P, G, K), and draw weights for it if their time has come."""
        check_rewards(rewards, len(self._weights_K))
        self._steps += 1
        if (self._steps - 1) % self.every == 0:
            self._weights_K = self._draw()

    def state_dict(self) -> dict[str, Any]:
        """The number of steps, which the weights follow from."""
        return {"steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._steps = int(state["steps"])
        self._weights_K = self._draw()

    def _draw(self) -> Weights:
        """Return the weights of the current step."""
        weights_K = np.array(self.preference)
        if self._steps == 0:
            return weights_K
        rng = np.random.default_rng([self.seed, (self._steps - 1) // self.every])
        wanted_K = weights_K > 0
        weights_K[wanted_K] = rng.dirichlet(self.concentration * len(weights_K) * weights_K[wanted_K])
        return weights_K
