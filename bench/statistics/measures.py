"""What a run is judged by: numbers, each computed from its validations and from the policies that they chose.

Policies are chosen by their validation performance and judged by their test performance.

Shapes: F policies of the front, S validations, N preferences, K objectives, E points of an exact front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import qmc

from paretune.bench.outcome import Curve, Outcome, Point
from paretune.bench.statistics.budgets import EQUAL_TOKENS
from paretune.weighting.archive import hypervolume

Array = NDArray[np.float64]
Kind = Literal["volume", "run", "race", "cost"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A number that a run is judged by.

    Attributes:
        label: Short heading.
        explanation: What it is, in one sentence.
        larger_is_better: Whether more of it is better.
        kind: "volume" for hypervolumes, "run" for what else a run says by itself, "race" for what it takes to reach
            the baseline (infinitely much for a run that never does), "cost" for what the machine spends.
    """

    label: str
    explanation: str
    larger_is_better: bool
    kind: Kind = "run"


MAIN = "trained_front_hypervolume"
"""Name of the measure by which arms are ranked, unless another one is asked for."""

MEASURES: dict[str, Measure] = {
    MAIN: Measure(
        "trained front hypervolume",
        "Hypervolume, on test data, of the policies on the front of the validations after step 0: the untrained policy "
        "is left out, and those that it alone dominates are in.",
        True,
        "volume",
    ),
    "front_hypervolume": Measure(
        "front hypervolume",
        "Hypervolume, on test data, of the policies on the front of all validations, the untrained policy's (step 0) "
        "among them: what training adds to it, and never less than what was there before.",
        True,
        "volume",
    ),
    "final_hypervolume": Measure(
        "final hypervolume", "Hypervolume, on test data, of the last policy alone.", True, "volume"
    ),
    "hypervolume_auc": Measure(
        "mean hypervolume over training",
        "Area under the hypervolume of the validation archive over the training steps, divided by their number.",
        True,
        "volume",
    ),
    EQUAL_TOKENS: Measure(
        "hypervolume at equal tokens",
        "Hypervolume of the validation archive at as many tokens as the arm with the fewest has in all, same seed.",
        True,
        "volume",
    ),
    "expected_utility": Measure(
        "expected utility",
        "Mean over all preferences of the utility, on test data, of the policy that validation chooses for each.",
        True,
    ),
    "igd_plus": Measure(
        "IGD+", "Mean distance from the points of the exact front to what the front reaches on test data.", False
    ),
    "share_of_front": Measure(
        "share of the exact front", "Front hypervolume divided by the hypervolume of the exact front.", True
    ),
    "points": Measure("points", "Number of policies on the validation front.", True),
    "updates_to_baseline": Measure(
        "updates to baseline",
        "Optimizer updates until validation reaches the hypervolume that the baseline ends with.",
        False,
        "race",
    ),
    "tokens_to_baseline": Measure(
        "tokens to baseline",
        "Tokens sampled until validation reaches the hypervolume that the baseline ends with.",
        False,
        "race",
    ),
    "seconds": Measure("seconds", "Seconds of the run's timed parts together.", False, "cost"),
    "peak_memory_mb": Measure("peak memory (MB)", "Largest memory that the run's process held.", False, "cost"),
}
"""All measures by name. `measure` gives those of kind "volume" and "run" that do not depend on other arms."""


def measure(
    curve: Curve,
    front: Sequence[Point],
    final: Point,
    reference: ArrayLike,
    exact: ArrayLike | None,
    trained: Sequence[Point] | None = None,
) -> dict[str, float | None]:
    """Return the measures of kind "volume" and "run" that one run has, by name; None for what is not defined.

    Args:
        curve: The run at its validations.
        front: The policies that validation chose, at least one.
        final: The last policy.
        reference: Reference point (K,) of the hypervolumes.
        exact: The exact front (E, K), or None where it is not known.
        trained: The policies that validation chose among those after step 0; None where that is not known.

    Raises:
        ValueError: If `front` is empty.
    """
    if not front:
        raise ValueError("front: must hold at least one policy, got none")
    reference_K = np.asarray(reference, dtype=np.float64)
    validation_FK, test_FK = np.array([point.validation for point in front]), _tests(front)
    front_hypervolume = hypervolume(test_FK, reference_K)
    values: dict[str, float | None] = {
        MAIN: None if trained is None else hypervolume(_tests(trained), reference_K),
        "front_hypervolume": front_hypervolume,
        "final_hypervolume": hypervolume(np.array([final.test]), reference_K),
        "hypervolume_auc": mean_over_steps(curve.steps, curve.hypervolume),
        "expected_utility": expected_utility(validation_FK, test_FK),
        "igd_plus": None,
        "share_of_front": None,
        "points": float(len(front)),
    }
    if exact is not None:
        exact_EK = np.asarray(exact, dtype=np.float64)
        values["igd_plus"] = igd_plus(test_FK, exact_EK)
        whole = hypervolume(exact_EK, reference_K)
        values["share_of_front"] = front_hypervolume / whole if whole > 0 else None
    return values


def untrained_measures(start: Point, reference: ArrayLike, exact: ArrayLike | None) -> dict[str, float]:
    """Return the measures that the untrained policy has alone, by name.

    Args:
        start: The untrained policy.
        reference: Reference point (K,) of the hypervolumes.
        exact: The exact front (E, K), or None where it is not known.
    """
    alone = Curve(steps=[0], updates=[0], tokens=[0], performance=[start.validation], hypervolume=[0.0])
    values = measure(alone, [start], start, reference, exact)
    names = ("front_hypervolume", "final_hypervolume", "expected_utility", "igd_plus", "share_of_front")
    return {name: value for name in names if (value := values[name]) is not None}


def completed(outcome: Outcome) -> Outcome:
    """Return an outcome with the hypervolume without step 0, which those of older versions lack."""
    trained = outcome.trained_front
    if outcome.measures.get(MAIN) is not None or trained is None:
        return outcome
    volume = hypervolume(_tests(trained), np.asarray(outcome.reference, dtype=np.float64))
    return replace(outcome, measures=outcome.measures | {MAIN: volume})


def _tests(points: Sequence[Point]) -> Array:
    """The test performances (F, K) of policies."""
    return np.array([point.test for point in points], dtype=np.float64)


def mean_over_steps(steps: Sequence[float], values: Sequence[float]) -> float:
    """Return the area under a step function, divided by its width.

    A value holds from its step until the next one, as an archive keeps its hypervolume until the next validation; the
    last value has no width. A single value is its own mean.

    Example:
        >>> mean_over_steps([0, 5, 15], [0.0, 0.3, 0.9])
        0.2
    """
    if len(values) == 1:
        return float(values[0])
    return float(np.average(values[:-1], weights=np.diff(steps)))


def expected_utility(validation: ArrayLike, test: ArrayLike) -> float:
    """Return the mean over preferences w of w . f_test(p), where policy p has the largest w . f_validation(p).

    This is the expected utility metric of Zintgraf et al. (2015), "Quality Assessment of MORL Algorithms: A
    Utility-Based Approach" (see also Hayes et al. 2022, doi 10.1007/s10458-022-09552-y) for linear utilities, all
    preferences being equally likely. There, the best policy for a preference is found on the numbers that are
    reported; here on the validation split, so that chance on the test split is not taken for utility.

    Args:
        validation: Performances (F, K) to choose by.
        test: Performances (F, K) to report.

    Example:
        >>> round(expected_utility([[1, 0], [0, 1]], [[1, 0], [0, 1]]), 6)
        0.75
    """
    validation_FK, test_FK = np.asarray(validation, dtype=np.float64), np.asarray(test, dtype=np.float64)
    w_NK = uniform_preferences(validation_FK.shape[1])
    chosen_N = (w_NK @ validation_FK.T).argmax(axis=1)
    return float((w_NK * test_FK[chosen_N]).sum(axis=1).mean())


def igd_plus(points: ArrayLike, exact: ArrayLike) -> float:
    """Return the mean over the exact front's points z of the least |max(z - f, 0)| of any of the points f.

    Ishibuchi et al. (2015), "Modified distance calculation in generational distance and inverted generational
    distance", EMO 2015, as moocore computes it. In the objectives' own units; 0 if and only if nothing is missing.

    Args:
        points: (F, K).
        exact: (E, K).

    Example:
        >>> igd_plus([[0.5, 0.5]], [[1.0, 0.5], [0.5, 1.0]])
        0.5
    """
    points_FK, exact_EK = np.asarray(points, dtype=np.float64), np.asarray(exact, dtype=np.float64)
    return float(moocore.igd_plus(points_FK, ref=exact_EK, maximise=True))


@lru_cache(maxsize=16)
def uniform_preferences(objectives: int, log2_number: int = 10) -> Array:
    """Return preferences (2^log2_number, K), spread evenly and uniformly over the simplex; always the same.

    The gaps between K - 1 sorted numbers that are uniform in [0, 1] are uniform on the simplex; the numbers are a
    Sobol sequence, moved by half of its finest step. Unlike a lattice on the simplex this has as many preferences for
    every K, and none of them piled up on the border; unlike points that repel each other it costs nothing to find.

    Example:
        >>> uniform_preferences(2, 1).tolist()
        [[0.25, 0.75], [0.75, 0.25]]
    """
    number = 2**log2_number
    if objectives == 1:
        return np.ones((number, 1))
    cuts = qmc.Sobol(objectives - 1, scramble=False).random_base2(log2_number) + 0.5 / number
    edges = np.pad(np.sort(cuts, axis=1), ((0, 0), (1, 1)), constant_values=((0.0, 0.0), (0.0, 1.0)))
    return np.diff(edges, axis=1)


def value_of(outcome: Outcome, name: str) -> float | None:
    """Return what the outcome has for a measure: infinity for a race that it did not finish, None if not defined.

    Args:
        outcome: A finished cell; what depends on other cells is there once `summarise` has compared them.
        name: One of `MEASURES`.
    """
    if MEASURES[name].kind == "cost":
        return outcome.cost.get(name)
    if MEASURES[name].kind == "race" and name in outcome.measures and outcome.measures[name] is None:
        return float("inf")
    return outcome.measures.get(name)
