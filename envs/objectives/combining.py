"""Objectives made of others: functions, weighted sums, products and gates.

Shapes: B responses, K objectives.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.prompts import Prompt

ObjectiveFunction = Callable[[Sequence[Prompt], Sequence[str]], ArrayLike]
"""What can be turned into an objective: scores in [0, 1], shape (B,), from B prompts and B responses."""


class FunctionObjective(Objective):
    """An objective that calls a function, and checks what it returns.

    Example:
        >>> polite = FunctionObjective("polite", lambda prompts, responses: ["please" in text for text in responses])
        >>> polite([Prompt.from_question("Ask for tea.")] * 2, ["Tea, please.", "Tea!"])
        array([1., 0.], dtype=float32)
    """

    def __init__(self, name: str, function: ObjectiveFunction) -> None:
        """Name a function.

        Args:
            name: The objective's name.
            function: Takes B prompts and B responses, returns B scores in [0, 1].
        """
        self.name = name
        self.function = function

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Return the function's scores (B,).

        Raises:
            ValueError: If they have another shape, are not finite or leave [0, 1].
        """
        scores_B = np.array(self.function(prompts, responses), dtype=np.float32)
        if scores_B.shape != (len(responses),):
            raise ValueError(
                f"objective {self.name!r}: must return one score per response, shape ({len(responses)},), "
                f"got shape {scores_B.shape}"
            )
        outside = np.flatnonzero(~((scores_B >= 0) & (scores_B <= 1)))
        if outside.size:
            raise ValueError(
                f"objective {self.name!r}: must return scores in [0, 1], "
                f"got {scores_B[outside[0]]} for response {outside[0]}"
            )
        return scores_B


def as_objective(objective: Objective | ObjectiveFunction) -> Objective:
    """Return an objective as it is, and a function as an objective of the function's name.

    Raises:
        ValueError: If it cannot be called, or is a function without a name.
    """
    if isinstance(objective, Objective):
        return objective
    if not callable(objective):
        raise ValueError(f"objectives: must be Objectives or functions of prompts and responses, got {objective!r}")
    name = getattr(objective, "__name__", "<none>")
    if not name.isidentifier():
        raise ValueError(
            f"objectives: must have names, got {objective!r}; give it one with FunctionObjective(name, function)"
        )
    return FunctionObjective(name, objective)


def evaluate(objectives: Sequence[Objective], prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
    """Score responses under several objectives; a part that they share is evaluated once.

    Args:
        objectives: K objectives, combined ones among them.
        prompts: B prompts.
        responses: B responses.

    Returns:
        Scores in [0, 1], shape (B, K), float32.

    Raises:
        ValueError: If an objective does not return one score per response.
    """
    scores = {id(leaf): leaf(prompts, responses) for leaf in leaves(objectives)}
    for leaf in leaves(objectives):
        if np.shape(scores[id(leaf)]) != (len(responses),):
            shape = np.shape(scores[id(leaf)])
            raise ValueError(f"objective {leaf.name!r}: must return shape ({len(responses)},), got {shape}")
    return np.stack([_combine(objective, scores) for objective in objectives], axis=1, dtype=np.float32)


def leaves(objectives: Sequence[Objective]) -> list[Objective]:
    """Return the objectives that are no combinations, each once, in the order in which they are met."""

    def walk(objective: Objective) -> Iterator[Objective]:
        if isinstance(objective, Combination):
            for part in objective.parts:
                yield from walk(part)
        else:
            yield objective

    return list({id(leaf): leaf for objective in objectives for leaf in walk(objective)}.values())


def _combine(objective: Objective, scores: dict[int, Scores]) -> NDArray[np.floating]:
    """Return the scores (B,) of an objective, given those of all leaves."""
    if isinstance(objective, Combination):
        return objective.combine(np.stack([_combine(part, scores) for part in objective.parts], axis=1))
    return scores[id(objective)]


class Combination(Objective):
    """An objective computed from the scores of others.

    Its counts, state and processes are those of its leaves; a leaf that occurs twice is evaluated once.

    Attributes:
        parts: The objectives that it combines.
    """

    def __init__(self, name: str, parts: Sequence[Objective | ObjectiveFunction]) -> None:
        """Name a combination of objectives or functions.

        Raises:
            ValueError: If there are no parts.
        """
        self.name = name
        self.parts = tuple(as_objective(part) for part in parts)
        if not self.parts:
            raise ValueError(f"objectives: must be at least one for {name!r} to combine, got none")

    @abstractmethod
    def combine(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return scores (B,), given those of the parts (B, number of parts)."""

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Return scores in [0, 1], shape (B,), float32."""
        return evaluate([self], prompts, responses)[:, 0]

    def counts(self) -> dict[str, int]:
        """Return the counts of all parts."""
        return {name: count for leaf in leaves([self]) for name, count in leaf.counts().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the states of all leaves."""
        return {"leaves": [leaf.state_dict() for leaf in leaves([self])]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for leaf, leaf_state in zip(leaves([self]), state["leaves"], strict=True):
            leaf.load_state_dict(leaf_state)

    def close(self) -> None:
        """Close all parts."""
        for leaf in leaves([self]):
            leaf.close()


class WeightedSum(Combination):
    """sum_i w_i r_i / sum_i w_i.

    Example:
        >>> short = FunctionObjective("short", lambda prompts, responses: [0.5] * len(responses))
        >>> right = FunctionObjective("right", lambda prompts, responses: [1.0] * len(responses))
        >>> WeightedSum("quality", [short, right], [1, 3])([Prompt.from_question("1 + 1?")], ["2"])
        array([0.875], dtype=float32)
    """

    def __init__(
        self, name: str, objectives: Sequence[Objective | ObjectiveFunction], weights: Sequence[float]
    ) -> None:
        """Weigh objectives.

        Args:
            name: The sum's name.
            objectives: At least one objective or function.
            weights: As many weights, not negative and not all zero; they are normalised to sum 1.

        Raises:
            ValueError: If the weights are not like that.
        """
        super().__init__(name, objectives)
        given = np.array(weights, dtype=np.float64)
        if given.shape != (len(self.parts),):
            raise ValueError(
                f"weights: must be {len(self.parts)} numbers, one per objective of {name!r}, got {weights}"
            )
        if not (np.isfinite(given).all() and (given >= 0).all() and given.sum() > 0):
            raise ValueError(f"weights: must be finite, not negative and not all zero, got {weights}")
        self.weights = given / given.sum()

    def combine(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the weighted mean (B,), clipped to [0, 1] against rounding."""
        return np.clip(scores @ self.weights, 0, 1)


class Product(Combination):
    """prod_i r_i: all objectives at once.

    Example:
        >>> half = FunctionObjective("half", lambda prompts, responses: [0.5] * len(responses))
        >>> Product("quarter", [half, half])([Prompt.from_question("1 + 1?")], ["2"])
        array([0.25], dtype=float32)
    """

    def combine(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the product (B,)."""
        return scores.prod(axis=1)


def reaches(scores: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """Return which scores (B,) are at least the threshold, both as float32, so that 0.7 reaches 0.7."""
    return scores.astype(np.float32) >= np.float32(threshold)


class Gated(Combination):
    """An objective that counts only where another reaches a threshold, and is 0 elsewhere.

    Example:
        >>> kind = FunctionObjective("kind", lambda prompts, responses: [0.9] * len(responses))
        >>> brief = FunctionObjective("brief", lambda prompts, responses: [len(text) < 4 for text in responses])
        >>> Gated(kind, by=brief)([Prompt.from_question("1 + 1?")] * 2, ["2", "It is 2."])
        array([0.9, 0. ], dtype=float32)
    """

    def __init__(
        self,
        objective: Objective | ObjectiveFunction,
        by: Objective | ObjectiveFunction,
        threshold: float = 0.5,
        name: str | None = None,
    ) -> None:
        """Put a gate before an objective.

        Args:
            objective: What counts.
            by: What must reach the threshold.
            threshold: In (0, 1].
            name: The gated objective's name; None keeps that of `objective`.

        Raises:
            ValueError: If the threshold is outside (0, 1].
        """
        if not 0 < threshold <= 1:
            raise ValueError(f"threshold: must be in (0, 1], got {threshold}")
        inner = as_objective(objective)
        super().__init__(name or inner.name, (inner, by))
        self.threshold = threshold

    def combine(self, scores: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the scores (B,) of the first part where the second reaches the threshold, else 0."""
        return np.where(reaches(scores[:, 1], self.threshold), scores[:, 0], 0)
