"""Gradient-guided weighting: objectives whose gradients push where the others push as well gain weight.

Source: Lu et al., "Learning to Optimize Multi-Objective Alignment Through Dynamic Reward Weighting", arXiv 2509.11452,
Algorithm 2 and eq. 3. Shapes: K objectives.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.gram_estimate import GramAverage, GramEstimate
from paretune.weighting.inputs import Preference, finite_array, require, resolve_preference

LEAST = 1e-4
"""K times the least weight without a `floor`: exponentiated gradients never leave a weight of zero."""

LARGEST_STEP = 1e300
"""Bound of the step that keeps step * influence finite; the weights are in a corner long before."""


def influences(gram: Weights) -> Weights:
    """Return I_k = <g_k, sum_j g_j> (K,), the row sums of the Gram matrix (K, K) of the gradients g_k.

    Example:
        >>> influences(np.array([[2.0, -1.0], [-1.0, 1.0]]))
        array([1., 0.])
    """
    return gram.sum(axis=1)


def raise_to_floor(weights: Weights, floor: float) -> Weights:
    """Return the point of the simplex nearest to `weights` in which no weight is below `floor`.

    Nearest in the sense of the Kullback-Leibler divergence: low weights are raised to the floor, the others shrink by
    a common factor, and weights that obey the floor are only normalised.

    Args:
        weights: (K,), non-negative with a positive sum.
        floor: In [0, 1/K).

    Example:
        >>> raise_to_floor(np.array([0.5, 0.5, 0.0]), 0.25)
        array([0.375, 0.375, 0.25 ])
    """
    factor = 1 / weights.sum()
    for _ in weights:  # each round finds the weights that the shrinking brought below the floor
        low_K = (factor * weights < floor) & (weights < weights.max())
        factor = (1 - floor * low_K.sum()) / weights[~low_K].sum()
    return np.maximum(factor * weights, floor)


@dataclass(eq=False)
class GradientWeighting(Weighting):
    """Exponentiated gradient (mirror descent) on the simplex, driven by the influences I.

        w_k <- w_k * exp(eta * I_k / mu), then normalise to sum 1         (eq. 3; I: row sums of the Gram matrix M)

    The paper has eta = the learning rate, 1e-6, and mu = 1e-5 or 1e-4, which fits one size of gradients. By default
    (mu=None) the exponent is rate * I_k / mean_j M_jj instead: it does not change when all gradients are scaled.

    A matrix that comes with its errors (the trainers' `gradient_estimate="split"`) is averaged over the steps, and what
    distinguishes the influences is shrunk to what is not noise:

        I_k - mean I  <-  max(0, 1 - trace cov / |I - mean I|^2) * (I_k - mean I)       (`GramEstimate.influences`)

    so that weights stay where they are while there is only noise. The M_jj of the denominator are then the squared
    norms of the batch's gradients, with the noise that a step has in it: the truth alone may be as good as zero.

    Constant influences drive this rule to a corner of the simplex. `floor` keeps every weight at or above a share
    (Kullback-Leibler projection, `raise_to_floor`), and `prior` pulls the logarithms of the weights back after each
    update: log w <- (1 - prior) * log w + prior * log(initial w), so constant exponents e settle at
    w ~ initial w * exp(e * (1 - prior) / prior). Even with floor=0 no weight falls below 1e-4 / K, from where it can
    recover; initial weights below the floor start at it.

    Example:
        >>> weighting = GradientWeighting(2, mu=1.0, eta=1.0)
        >>> weighting.on_gradients([[np.log(3), 0.0], [0.0, 0.0]], lr=1e-6)
        >>> weighting.weights
        array([0.75, 0.25])
    """

    preference: Preference
    """Initial weights of the objectives, normalised to sum 1; a single number K means K equal ones, as in the paper."""

    _: KW_ONLY

    mu: float | None = None
    """Smoothing of the paper's update (there 1e-5 or 1e-4), above 0; None makes the update free of scales."""

    rate: float = 0.02
    """Size of the scale-free update: the exponent of an objective whose influence is the mean squared gradient norm."""

    eta: float | None = None
    """Step size of the paper's update, only together with mu; None takes the trainer's learning rate."""

    floor: float = 0.0
    """Least weight of every objective, from 0 to below 1/K."""

    prior: float = 0.0
    """Pull towards the initial weights at each update, from 0 (none) to 1 (the weights never move)."""

    every: int = 1
    """Training steps from one analysis of the gradients to the next; the first step is analysed."""

    gram_average: float = 0.9
    """Share of the step before in the moving average of Gram matrices that come with errors, from 0 to below 1; 0.9
    averages over about 19 batches. One without (the paper's) counts alone."""

    shrink: bool = True
    """Leave the weights alone where the influences that come with errors differ by no more than these."""

    name = "gradient"
    when = "You have no preference and want the objectives that the others' gradients support to lead."
    paper = "https://arxiv.org/abs/2509.11452"

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        n_objectives = len(self.preference)
        if self.mu is not None:
            require("mu", self.mu, 0 < self.mu < math.inf, "None or a number above 0")
        if self.eta is not None:
            require("eta", self.eta, 0 < self.eta < math.inf, "None or a number above 0")
            require("eta", self.eta, self.mu is not None, "None unless mu is given (the scale-free update has rate)")
        require("rate", self.rate, 0 < self.rate < math.inf, "a number above 0")
        require("floor", self.floor, 0 <= self.floor < 1 / n_objectives, f"in [0, 1/K) with K = {n_objectives}")
        require("prior", self.prior, 0 <= self.prior <= 1, "in [0, 1]")
        require("every", self.every, self.every >= 1 and self.every % 1 == 0, "a whole number of at least 1")
        require("gram_average", self.gram_average, 0 <= self.gram_average < 1, "in [0, 1)")
        self._average = GramAverage(self.gram_average)
        self._errors: list[float] | None = None
        self._signal: float | None = None
        self._least = max(self.floor, LEAST / n_objectives)
        self._start_K = raise_to_floor(np.array(self.preference), self._least)
        self._weights_K = self._start_K
        self._influences: list[float] | None = None
        self._steps = 0

    @property
    def needs_gram(self) -> bool:
        """Whether the step whose rewards were seen last (the first one before that) is an `every`-th one."""
        return max(self._steps - 1, 0) % self.every == 0

    @property
    def weights(self) -> Weights:
        """The current weights (K,): on the simplex, at or above the floor."""
        return self._weights_K.copy()

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Count a training step with rewards (P, G, K).

        Raises:
            ValueError: If `rewards` has another shape or is not finite.
        """
        finite_array("rewards", rewards, (None, None, len(self._weights_K)))
        self._steps += 1

    def on_gradients(self, gram: ArrayLike, lr: float) -> None:
        """Move the weights by one update; zero gradients do not move them, except for the pull of `prior`.

        Args:
            gram: Gram matrix (K, K) of the objectives' gradients, neither clipped nor summed over responses.
            lr: The trainer's learning rate, which stands in for eta=None.

        Raises:
            ValueError: If `gram` has another shape, or something is not finite, or `lr` is negative.
        """
        gram_KK = finite_array("gram", gram, 2 * self._weights_K.shape)
        require("lr", lr, 0 <= lr < math.inf, "finite and non-negative")
        size = float(np.abs(gram_KK).max()) or 1.0
        relative_KK = gram_KK / size  # entries in [-1, 1]: nothing overflows, however large the gradients
        relative_K = influences(relative_KK)
        self._influences, self._errors, self._signal = [size * i for i in relative_K.tolist()], None, None
        self._move(relative_K, float(relative_KK.trace()) / len(relative_KK), size, lr)

    def on_gram_estimate(self, estimate: GramEstimate, lr: float) -> None:
        """Move the weights by one update from the average of the estimates so far; the rest is as in `on_gradients`."""
        finite_array("gram", estimate.matrix, 2 * self._weights_K.shape)
        require("lr", lr, 0 <= lr < math.inf, "finite and non-negative")
        average = self._average.add(estimate)
        found = average.influences()
        self._influences, self._signal = found.values.tolist(), found.signal
        self._errors = None if found.errors is None else found.errors.tolist()
        factor = found.signal if self.shrink else 1.0
        size = float(average.squares.max()) or 1.0
        self._move(factor * found.values / size, float(average.squares.mean()) / size, size, lr)

    def _move(self, relative: Weights, mean_square: float, size: float, lr: float) -> None:
        """Move the weights by influences (K,) and a mean squared norm that are both divided by `size`."""
        if self.mu is not None:
            step = (lr if self.eta is None else self.eta) / self.mu * size
        else:
            step = self.rate / mean_square if mean_square > 0 else 0.0
        exponents_K = min(step, LARGEST_STEP) * (relative - relative.max())
        log_K = (1 - self.prior) * (np.log(self._weights_K) + exponents_K) + self.prior * np.log(self._start_K)
        self._weights_K = raise_to_floor(np.exp(log_K - log_K.max()), self._least)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The influences I (K) of the last analysis, once there is one.

        Where matrices come with errors, I is from the average so far, and there are `influence_errors` (K), its
        standard errors, and `influence_signal`, the factor of the shrinkage.
        """
        if self._influences is None:
            return {}
        found: dict[str, float | list[float]] = {"influences": list(self._influences)}
        if self._errors is not None and self._signal is not None:
            found |= {"influence_errors": list(self._errors), "influence_signal": self._signal}
        return found

    def state_dict(self) -> dict[str, Any]:
        """The weights, the last influences with their errors, the number of steps, and the average so far."""
        return {
            "weights": self._weights_K.tolist(),
            "influences": self._influences,
            "errors": self._errors,
            "signal": self._signal,
            "steps": self._steps,
            "average": self._average.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._weights_K = np.array(state["weights"], dtype=np.float64)
        self._influences = state["influences"]
        self._errors, self._signal = state.get("errors"), state.get("signal")
        self._average.load_state(state.get("average"))
        self._steps = int(state["steps"])
