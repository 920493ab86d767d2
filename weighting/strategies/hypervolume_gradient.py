"""Hypervolume-gradient weighting: the weights are the direction in which the hypervolume itself grows.

Our own rule; the derivative of the hypervolume with respect to a point is known from Emmerich and Deutz, "Time
complexity and zeros of the hypervolume indicator gradient field" (EVOLVE 2012). Shapes: N members, K objectives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.weighting.archive import ParetoArchive, hypervolume
from paretune.weighting.base import Weighting, Weights
from paretune.weighting.gram_estimate import GramAverage, GramEstimate
from paretune.weighting.inputs import Preference, finite_array, require, require_known, resolve_preference
from paretune.weighting.observed import check_performance, margin_of, normalised
from paretune.weighting.strategies.gradient import GradientWeighting, raise_to_floor

Form = Literal["validation", "gram"]


def open_shares(members: NDArray[np.float64], point: Weights, reference: Weights) -> Weights:
    """Return which share of each upper face of the box from `reference` to `point` no member's box covers, (K,).

    Face k is where coordinate k equals the point's; a member covers a part of it if its coordinate k is larger.

    Args:
        members: (N, K).
        point: (K,), above the reference in every coordinate.
        reference: (K,).

    Example:
        >>> open_shares(np.array([[1.0, 0.25]]), np.array([0.5, 0.5]), np.zeros(2))
        array([0.5, 1. ])
    """
    with np.errstate(over="ignore"):  # of quotients beyond 1
        covered_NK = np.clip((members - reference) / (point - reference), 0.0, 1.0)  # the box becomes the unit cube
    shares = []
    for k in range(len(point)):
        behind_NJ = np.delete(covered_NK[members[:, k] > point[k]], k, axis=1)  # J: the other objectives
        if behind_NJ.size:
            shares.append(max(0.0, 1.0 - hypervolume(behind_NJ, np.zeros(len(point) - 1))))
        else:
            shares.append(0.0 if len(behind_NJ) else 1.0)  # the one face of a line has no extent to share
    return np.array(shares)


def hypervolume_gradient(members: NDArray[np.float64], point: Weights, reference: Weights) -> Weights:
    """Return h_k = d HV(members + {point}) / d point_k, (K,).

    Raising point_k by a small amount adds a slab of that height over face k of the point's box, less what members
    with a larger coordinate k cover already. So h_k is exactly the (K-1)-dimensional volume of the face's open part.
    The hypervolume is piecewise linear in each coordinate; at a kink, where a member has the same coordinate, this is
    the derivative from above.

    Args:
        members: (N, K).
        point: (K,); below the reference in a coordinate, its box is empty and every derivative zero.
        reference: (K,).

    Example:
        >>> hypervolume_gradient(np.array([[1.0, 0.25]]), np.array([0.5, 0.5]), np.zeros(2))
        array([0.25, 0.5 ])
    """
    sides_K = point - reference
    if (sides_K < 0).any():
        return np.zeros(len(point))
    # A side of zero does not matter to the open share of its own face, and other faces have no extent then.
    raised_K = np.where(sides_K > 0, point, reference + 1.0)
    areas_K = np.array([np.delete(sides_K, k).prod() for k in range(len(point))])
    moved_NK = np.where(sides_K > 0, members, members + (raised_K - point))
    return open_shares(moved_NK, raised_K, reference) * areas_K


def ascent_direction(members: NDArray[np.float64], point: Weights, reference: Weights, otherwise: Weights) -> Weights:
    """Return the hypervolume's gradient at `point` normalised to sum 1, (K,), with answers where it is zero.

    In terms of the open shares q and the sides s of the point's box, h_k = q_k * prod_j s_j / s_k, so h ~ q / s.
    Where a dominated point has h = 0, the members that dominate it are left out: the gradient of the hypervolume that
    the point would give without them, which is positive in every coordinate. Where a point is at or below the
    reference in some coordinates, only these count, by their shares of `otherwise`: no other can add a volume.

    Args:
        members: (N, K).
        point: (K,).
        reference: (K,).
        otherwise: A point of the simplex (K,).

    Example:
        >>> ascent_direction(np.empty((0, 2)), np.array([0.75, 0.25]), np.zeros(2), np.array([0.5, 0.5]))
        array([0.25, 0.75])
    """
    sides_K = point - reference
    if (sides_K <= 0).any():
        return normalised(np.where(sides_K <= 0, otherwise, 0.0), otherwise)
    dominates_N = (members >= point).all(axis=1) & (members > point).any(axis=1)
    shares_K = open_shares(members[~dominates_N], point, reference)
    return normalised(shares_K * (sides_K.min() / sides_K), otherwise)


@dataclass(eq=False)
class HypervolumeGradientWeighting(Weighting):
    """Weighs the objectives by how much the hypervolume grows with each of them.

        h_k = d HV(B + {f}) / d f_k                     f: (K,) last validation performance, B: archive of all others
        form "validation":  w = h / sum_j h_j           after each validation
        form "gram":        w_k <- w_k * exp(rate * I_k / s), I_k = sum_j h_j M_jk, s = mean_j h_j M_jj, at each step

    A policy gradient step of size t in direction w changes the hypervolume by t * sum_jk h_j M_jk w_k (M: Gram matrix
    of the objectives' gradients). So w = h is the gradient of the hypervolume by the chain rule, and the "gram" form
    gives weight to the objectives k whose gradient raises the hypervolume most, its influence on the others included:
    mirror descent as in `GradientWeighting`, with h in place of ones.

    What members cover of the box below f decides h, and beside members that are hardly better or worse it is noise: in
    one objective or another some of them are ahead. So each is first set back by `lead_errors` standard errors of f,
    where the trainer knows them, and covers what it still does from there.

    Validations are of the likeliest responses (of sampled ones with the setting eval_sampled), the Gram matrix is of
    the sampled ones that the policy is trained on.

    Where h is zero there are answers still (`ascent_direction`): if f is dominated, h is taken without the members
    that dominate it; if f is at or below the reference in some objectives, those alone count, by preference. Before
    the first validation h is the preference.

    Attributes:
        archive: The non-dominated validation performances so far.

    Example:
        >>> weighting = HypervolumeGradientWeighting(2)
        >>> weighting.on_validation([0.75, 0.25])
        >>> weighting.weights
        array([0.25, 0.75])
    """

    preference: Preference
    """Weights before the first validation, normalised to sum 1; a single number K means K equal ones."""

    _: KW_ONLY

    form: Form = "validation"
    """Weights from validation alone, or from the gradients of each step as well (which costs extra backward passes)."""

    reference: Sequence[float] | None = None
    """Reference point of the hypervolume, one number per objective, as validations measure them; None is zeros."""

    lead_errors: float = 2.0
    """Standard errors of the last validation that a member of the archive must be ahead in an objective to count as
    ahead, at least 0; 0 takes members as measured."""

    floor: float = 0.0
    """Least weight of every objective, from 0 to below 1/K."""

    rate: float = 0.02
    """Form "gram": exponent of an objective whose influence equals the mean of h_j times squared gradient norm."""

    prior: float = 0.0
    """Form "gram": pull towards the preference at each update, from 0 (none) to 1 (the weights never move)."""

    gram_average: float = 0.9
    """Form "gram": share of the step before in the moving average of Gram matrices that come with errors, from 0 to
    below 1; 0.9 averages over about 19 batches."""

    shrink: bool = True
    """Form "gram": leave the weights alone where the influences that come with errors differ by no more than these."""

    every: int = 1
    """Form "gram": training steps from one analysis of the gradients to the next; the first step is analysed."""

    name = "hypervolume-gradient"
    when = "You have no preference, and want training to go where the Pareto front gains most."

    def __post_init__(self) -> None:
        """Check the options and start at the preference."""
        self.preference = resolve_preference(self.preference)
        k = len(self.preference)
        require_known("form", self.form, get_args(Form))
        reference_K = np.zeros(k) if self.reference is None else finite_array("reference", self.reference, (k,))
        self.reference = None if self.reference is None else tuple(reference_K.tolist())
        self.archive = ParetoArchive(reference_K)
        self._mirror = GradientWeighting(
            self.preference,
            rate=self.rate,
            floor=self.floor,
            prior=self.prior,
            every=self.every,
            gram_average=0.0,
            shrink=self.shrink,
        )
        require("lead_errors", self.lead_errors, 0 <= self.lead_errors < math.inf, "a number of at least 0")
        require("gram_average", self.gram_average, 0 <= self.gram_average < 1, "in [0, 1)")
        self._average = GramAverage(self.gram_average)  # of M itself: the direction h changes
        self._direction_K = np.array(self.preference)

    @property
    def needs_validation(self) -> bool:
        """True."""
        return True

    @property
    def reads_errors(self) -> bool:
        """Whether members have to be ahead by more than they."""
        return self.lead_errors > 0

    @property
    def needs_gram(self) -> bool:
        """Whether the form is "gram" and the step is an `every`-th one."""
        return self.form == "gram" and self._mirror.needs_gram

    @property
    def weights(self) -> Weights:
        """The current weights (K,), of sum 1, at or above the floor."""
        return self._mirror.weights if self.form == "gram" else raise_to_floor(self._direction_K, self.floor)

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Count a step with rewards (P, G, K)."""
        self._mirror.on_rewards(rewards)

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """Take the hypervolume's gradient at the performance (K,), and let the archive have it.

        Args:
            performance: (K,).
            standard_error: Of the performance (K,); None takes it as measured.
        """
        point_K = check_performance(performance, len(self._direction_K))
        preference_K = np.array(self.preference)
        margin = margin_of(standard_error, self.lead_errors, len(point_K))
        members_NK = self.archive.front if margin is None else self.archive.front - margin
        self._direction_K = ascent_direction(members_NK, point_K, self.archive.reference, preference_K)
        self.archive.add(point_K)

    def on_gradients(self, gram: ArrayLike, lr: float) -> None:
        """Move the weights of the "gram" form by one update, from the Gram matrix (K, K) of the gradients."""
        if self.form == "gram":
            k = len(self._direction_K)
            weighted_KK = finite_array("gram", gram, (k, k)) * self._direction_K  # row sums: the influences
            self._mirror.on_gradients(weighted_KK, lr)

    def on_gram_estimate(self, estimate: GramEstimate, lr: float) -> None:
        """Move the weights of the "gram" form by one update from the average of the estimates so far."""
        if self.form == "gram":
            self._mirror.on_gram_estimate(self._average.add(estimate).towards(self._direction_K), lr)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The direction h / sum h (K), and in the form "gram" the influences I (K) for that h."""
        return {"hypervolume_direction": self._direction_K.tolist(), **self._mirror.diagnostics()}

    def state_dict(self) -> dict[str, Any]:
        """The archive, the direction and the state of the mirror descent."""
        return {
            "archive": self.archive.state_dict(),
            "direction": self._direction_K.tolist(),
            "mirror": self._mirror.state_dict(),
            "average": self._average.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.archive.load_state_dict(state["archive"])
        self._direction_K = np.array(state["direction"], dtype=np.float64)
        self._mirror.load_state_dict(state["mirror"])
        self._average.load_state(state.get("average"))
