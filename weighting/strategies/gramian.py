"""Rules that read the weights off the Gram matrix of the objectives' gradients, as the library TorchJD solves them.

Shapes: K objectives, A of them with a gradient.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.gram_estimate import GramAverage, GramEstimate, nearest_semidefinite
from paretune.weighting.inputs import Preference, finite_array, require, resolve_preference

if TYPE_CHECKING:
    from torch import Tensor
    from torchjd.aggregation import Weighting as Rule

NOTHING = 1e-12
"""A gradient whose squared norm is at most this share of the largest one counts as zero."""


@dataclass(eq=False)
class GramianWeighting(Weighting):
    """Weights from one Gram matrix M at each step; the base of all strategies that TorchJD solves.

        w = rule(M / mean_k M_kk), negative ones cut off to 0, then normalised to sum 1

    The rules come from Jacobian descent, which combines the gradients g_k themselves. Combining advantages with the
    same weights is the same thing where advantages are linear in the rewards (RLOO and REINFORCE); GRPO's division by
    a group's standard deviation changes the lengths of the gradients, group by group.

    What is said about every rule here:
    - Dividing M by its mean diagonal makes the weights independent of the size of the gradients. Only the direction of
      w is used (scale 1): the length of the step is the learning rate's business.
    - A negative weight would train an objective to become worse; it is cut off. If no positive weight is left, or the
      rule finds no direction, the weights stay as they were.
    - An objective without a gradient (all responses of every group earned the same) would get all the weight from
      rules that look for the smallest gradient. It keeps its share of the preference, and the rule sees the others.
    - An estimate without bias (the trainers' `gradient_estimate="split"`) may have negative eigenvalues, which no Gram
      matrix has and no rule expects. The rules see the average of the estimates so far, projected onto the nearest
      positive semi-definite matrix (`nearest_semidefinite`).
    - Before the first step, the weights are the preference. Rules without preferences use it for nothing else.
    """

    preference: Preference
    """Non-negative weights of the objectives, normalised to sum 1; a single number K means K equal weights."""

    _: KW_ONLY

    gram_average: float = 0.9
    """Share of the step before in the moving average of Gram matrices that come with errors, from 0 to below 1; 0.9
    averages over about 19 batches."""

    stateful: ClassVar[bool] = False
    """Whether the rule remembers earlier Gram matrices; it then sees objectives without a gradient as well."""

    def __post_init__(self) -> None:
        """Check the options by making the rule once.

        Raises:
            ValueError: If an option breaks its rule or the extra "torchjd" is not installed.
        """
        self.preference = resolve_preference(self.preference)
        self._preference_K = np.array(self.preference, dtype=np.float64)
        self._weights_K = self._preference_K
        self._raw_K: list[float] | None = None
        self._analyses = 0
        require("gram_average", self.gram_average, 0 <= self.gram_average < 1, "in [0, 1)")
        self._average = GramAverage(self.gram_average)
        try:
            self._rule = self.make_rule(self._preference_K)
        except ImportError as error:
            raise ValueError(
                f'weighting: {self.name!r} needs the extra "torchjd": pip install "paretune[torchjd]" ({error})'
            ) from error

    @abstractmethod
    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's object that turns a Gram matrix (A, A) into weights (A,).

        Args:
            preference: The preferences (A,) of the objectives that the matrix is about.
        """

    def apply(self, rule: Rule, gram: Tensor) -> Tensor:
        """Return the weights (A,) that the rule gives for a Gram matrix (A, A)."""
        return rule(gram)

    @property
    def needs_gram(self) -> bool:
        """True."""
        return True

    @property
    def weights(self) -> Weights:
        """The current weights (K,), on the simplex."""
        return self._weights_K.copy()

    def on_gradients(self, gram: ArrayLike, lr: float) -> None:
        """Read the weights off a Gram matrix (K, K); gradients that are all zero change nothing.

        Raises:
            ValueError: If `gram` has another shape or is not finite.
        """
        import torch

        gram_KK = finite_array("gram", gram, 2 * self._weights_K.shape)
        largest = float(gram_KK.diagonal().max())
        if largest <= 0:
            return
        seen_K = np.ones(len(gram_KK), dtype=bool) if self.stateful else gram_KK.diagonal() > NOTHING * largest
        gram_AA = gram_KK[np.ix_(seen_K, seen_K)] / largest  # in two steps: a sum of the diagonal may overflow
        gram_AA /= gram_AA.diagonal().mean()
        rule = self._rule if self.stateful else self.make_rule(self._preference_K[seen_K])
        raw_A = self.apply(rule, torch.from_numpy(gram_AA)).numpy()
        self._analyses += 1
        self._raw_K = np.where(seen_K, 0.0, self._preference_K).tolist()
        for k, weight in zip(np.flatnonzero(seen_K), raw_A.tolist(), strict=True):
            self._raw_K[k] = weight
        positive_A = np.maximum(raw_A, 0.0)
        if np.isfinite(raw_A).all() and positive_A.sum() > 0:
            self._weights_K = self._preference_K.copy()
            self._weights_K[seen_K] = self._preference_K[seen_K].sum() * positive_A / positive_A.sum()

    def on_gram_estimate(self, estimate: GramEstimate, lr: float) -> None:
        """Read the weights off the average of the estimates so far, made positive semi-definite."""
        self.on_gradients(nearest_semidefinite(self._average.add(estimate).matrix), lr)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """The rule's own weights (K) of the last step, before negative ones are cut off, once there are any."""
        return {} if self._raw_K is None else {"raw_weights": list(self._raw_K)}

    def state_dict(self) -> dict[str, Any]:
        """The weights, the number of analyses, and what a stateful rule remembers."""
        memory = {name: tensor.tolist() for name, tensor in self._rule.state_dict().items()} if self.stateful else {}
        return {
            "weights": self._weights_K.tolist(),
            "raw_weights": self._raw_K,
            "analyses": self._analyses,
            "memory": memory,
            "average": self._average.state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        import torch

        self._weights_K = np.array(state["weights"], dtype=np.float64)
        self._raw_K = state["raw_weights"]
        self._analyses = int(state["analyses"])
        self._average.load_state(state.get("average"))
        self._rule = self.make_rule(self._preference_K)
        if state["memory"]:
            self._rule(torch.eye(len(self._weights_K), dtype=torch.float64))  # a rule has no buffers before its first M
            buffers = self._rule.state_dict()
            memory = {name: torch.tensor(x, dtype=buffers[name].dtype) for name, x in state["memory"].items()}
            self._rule.load_state_dict(memory)


@dataclass(eq=False)
class ShuffledGramianWeighting(GramianWeighting):
    """A rule that goes through the objectives in a random order, another one at each step."""

    _: KW_ONLY

    seed: int = 0
    """Seed of the random orders in which the objectives' gradients are compared."""

    def apply(self, rule: Rule, gram: Tensor) -> Tensor:
        """Apply the rule with random numbers that depend on the seed and the number of earlier analyses only."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence([self.seed, self._analyses]).generate_state(1)[0]))
            return rule(gram)
