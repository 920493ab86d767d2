"""Options that every strategy has: they smooth, hold back or bound the direction of its weights.

Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from paretune.weighting.base import Weighting, Weights
from paretune.weighting.gram_estimate import GramEstimate
from paretune.weighting.inputs import require
from paretune.weighting.strategies.gradient import raise_to_floor


@dataclass(eq=False)
class ModifiedWeighting(Weighting):
    """A strategy whose direction d is modified once in a training step; its scale is left alone.

        a <- average * a + (1 - average) * d          a starts at s, the direction before training (the preference)
        m  = (1 - prior) * a + prior * s
        m  = (1 - r) * s + r * m                      r = min(1, (t - 1) / warmup) in step t = 1, 2, ...
        m  = the point of the simplex nearest to m with no weight below floor      (`raise_to_floor`)

    All of this happens in step 1 and every `every`-th one after it; between them the direction is held, and no Gram
    matrix is asked for. The strategy sees all rewards and validations, and does not know that it is modified.

    Where a strategy has an option of the same name (`gradient` has `floor`, `prior` and `every`), that is the one that
    counts: there it acts inside the strategy's own update, where it can do more, and is not done twice.

    Example:
        >>> from paretune.weighting import FixedWeighting
        >>> weighting = ModifiedWeighting(FixedWeighting([1, 0]), floor=0.2)
        >>> weighting.on_rewards([[[0.0, 1.0]]])
        >>> weighting.weights
        array([0.8, 0.2])
    """

    strategy: Weighting
    """The strategy that is modified, of any kind but this one."""

    _: KW_ONLY

    floor: float = 0.0
    """Least share of every objective in the weights, from 0 to below 1/K."""

    prior: float = 0.0
    """Share of the preference that is mixed into the strategy's weights, from 0 to 1."""

    average: float = 0.0
    """Share of the step before in a moving average of the weights, from 0 to below 1; 0.9 averages over about 10."""

    every: int = 1
    """Training steps from one change of the weights to the next; they may change in the first step."""

    warmup: int = 0
    """Training steps over which the weights go from the preference to the strategy's own."""

    def __post_init__(self) -> None:
        """Check the options, and start at the strategy's direction.

        Raises:
            ValueError: If an option is out of range, or is the strategy's own business.
        """
        rule = "a strategy that is not modified yet"
        require("strategy", self.strategy, not isinstance(self.strategy, ModifiedWeighting), rule)
        k = len(self.strategy.weights)
        require("floor", self.floor, 0 <= self.floor < 1 / k, f"in [0, 1/K) with K = {k}")
        require("prior", self.prior, 0 <= self.prior <= 1, "in [0, 1]")
        require("average", self.average, 0 <= self.average < 1, "in [0, 1)")
        require("every", self.every, self.every >= 1 and self.every % 1 == 0, "a whole number of at least 1")
        require("warmup", self.warmup, self.warmup >= 0 and self.warmup % 1 == 0, "a whole number of at least 0")
        for option in set(modifier_names()) - set(modifier_names(type(self.strategy))):
            default = getattr(type(self), option)
            rule = f"left to the strategy {self.strategy.name!r}, which has an option of this name"
            require(option, getattr(self, option), getattr(self, option) == default, rule)
        self._start_K = self.strategy.direction
        self._average_K = self._start_K
        self._steps = 0
        self._moves = False  # whether the direction still follows the strategy in this step
        self._held_K = self._modified(self._start_K)

    # What other classes say of themselves, in class variables, an object of this one says of the strategy that it
    # modifies: properties, which types do not allow in the place of class variables.
    @property
    def name(self) -> str:  # type: ignore[override]
        """The strategy's name."""
        return self.strategy.name

    @property
    def when(self) -> str:  # type: ignore[override]
        """When to use the strategy."""
        return self.strategy.when

    @property
    def needs_validation(self) -> bool:
        """Whether the strategy needs it."""
        return self.strategy.needs_validation

    @property
    def needs_gram(self) -> bool:
        """Whether the strategy needs it, in steps in which the direction may change."""
        return self.strategy.needs_gram and self._is_due(max(self._steps, 1))

    @property
    def reads_errors(self) -> bool:
        """As the strategy has it."""
        return self.strategy.reads_errors

    @property
    def scale_rewards(self) -> bool:
        """As the strategy has it."""
        return self.strategy.scale_rewards

    @property
    def moves_scale(self) -> bool:
        """As the strategy has it."""
        return self.strategy.moves_scale

    @property
    def weights(self) -> Weights:
        """The current weights (K,): the modified direction times the strategy's scale."""
        return self.scale * self.direction

    @property
    def scale(self) -> float:
        """The strategy's scale."""
        return self.strategy.scale

    @property
    def direction(self) -> Weights:
        """The modified direction (K,) of the present step; after a validation, still that of the step before it."""
        return self._modified(self._averaged()) if self._moves else self._held_K.copy()

    def on_rewards(self, rewards: ArrayLike) -> None:
        """Begin a step with rewards (P, G, K)."""
        self._end_step()
        self.strategy.on_rewards(rewards)
        self._steps += 1
        self._moves = self._is_due(self._steps)

    def on_validation(self, performance: ArrayLike, standard_error: ArrayLike | None = None) -> None:
        """Pass the performance (K,) on; it changes the direction of the steps after it."""
        self._end_step()
        if standard_error is None:
            self.strategy.on_validation(performance)
        else:
            self.strategy.on_validation(performance, standard_error)

    def on_gradients(self, gram: ArrayLike, lr: float) -> None:
        """Pass the Gram matrix (K, K) on."""
        self.strategy.on_gradients(gram, lr)

    def on_gram_estimate(self, estimate: GramEstimate, lr: float) -> None:
        """Pass the estimate on."""
        self.strategy.on_gram_estimate(estimate, lr)

    def diagnostics(self) -> dict[str, float | list[float]]:
        """Those of the strategy, and its direction (K,) before it is modified."""
        return {**self.strategy.diagnostics(), "unmodified": self.strategy.direction.tolist()}

    def options(self) -> dict[str, Any]:
        """The strategy's options, and the modifiers."""
        modifiers = {option: getattr(self, option) for option in modifier_names(type(self.strategy))}
        return {**self.strategy.options(), **modifiers}

    def state_dict(self) -> dict[str, Any]:
        """The strategy's state, the moving average, the direction held, and where in a step this is."""
        return {
            "strategy": self.strategy.state_dict(),
            "average": self._average_K.tolist(),
            "held": self._held_K.tolist(),
            "steps": self._steps,
            "moves": self._moves,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.strategy.load_state_dict(state["strategy"])
        self._average_K = np.array(state["average"], dtype=np.float64)
        self._held_K = np.array(state["held"], dtype=np.float64)
        self._steps = int(state["steps"])
        self._moves = bool(state["moves"])

    def _is_due(self, step: int) -> bool:
        return (step - 1) % self.every == 0

    def _end_step(self) -> None:
        """Keep the direction of the step that ends, before the strategy sees anything new."""
        if self._moves:
            self._average_K = self._averaged()
            self._held_K = self._modified(self._average_K)
            self._moves = False

    def _averaged(self) -> Weights:
        return self.average * self._average_K + (1 - self.average) * self.strategy.direction

    def _modified(self, average: Weights) -> Weights:
        mixed_K = (1 - self.prior) * average + self.prior * self._start_K
        if self.warmup:
            ramp = min(max(self._steps - 1, 0) / self.warmup, 1.0)
            mixed_K = (1 - ramp) * self._start_K + ramp * mixed_K
        return raise_to_floor(mixed_K, self.floor) if self.floor else mixed_K


def modifier_names(strategy: type[Weighting] | None = None) -> list[str]:
    """Return the names of the modifiers that a kind of strategy has no option of its own for, or of all."""
    own = set() if strategy is None else {field.name for field in fields(strategy)}
    return [field.name for field in fields(ModifiedWeighting) if field.name not in own | {"strategy"}]
