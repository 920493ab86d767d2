"""What our agents and the trainers of others do alike: show validations to archive and weighting, and say what to log.

Shapes: P prompts, G responses per prompt, T decisions of a response that are judged separately, K objectives.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.weighting.advantages import conflict, zero_variance_groups
from paretune.weighting.archive import ParetoArchive
from paretune.weighting.base import Weighting
from paretune.weighting.gram_estimate import GramEstimate

Array = NDArray[np.float64]
Metrics = dict[str, Any]
"""Numbers by name, JSON-able; what belongs together is a dictionary in it."""


def show_validation(
    performance: ArrayLike,
    step: int,
    weighting: Weighting,
    archive: ParetoArchive,
    standard_error: ArrayLike | None = None,
) -> float:
    """Show a validation performance (K,) to the archive, under its step, and to the weighting.

    The archive takes performances as they were measured: what a run reports is all that it saw.

    Returns:
        The archive's hypervolume.
    """
    archive.add(performance, tag=step)
    move_weights(performance, weighting, standard_error)
    return archive.hypervolume()


def move_weights(performance: ArrayLike, weighting: Weighting, standard_error: ArrayLike | None = None) -> None:
    """Show a validation performance (K,) to the weighting, with its standard errors (K,) if they are known and used.

    NaN, such as of a single prompt, counts as unknown.
    """
    known = standard_error is not None and bool(np.isfinite(np.asarray(standard_error, dtype=np.float64)).all())
    if known and weighting.reads_errors:
        weighting.on_validation(performance, standard_error)
    else:
        weighting.on_validation(performance)


def standard_error_over_prompts(scores: Array, prompts: Sequence[Hashable]) -> Array:
    """Return the standard error (K,) of the mean of scores, over prompts; NaN where there is one prompt alone.

    Responses to the same prompt are alike, so the prompts are what was drawn independently:

        u_p = sum of (score_b - mean) over the responses b to prompt p        se = sqrt(P / (P - 1) * sum_p u_p^2) / B

    Args:
        scores: (B, K), of one response or several to each prompt.
        prompts: Which prompt a response answers (B,), by any name.

    Example:
        >>> standard_error_over_prompts(np.array([[1.0], [0.0], [1.0], [1.0]]), ["a", "a", "b", "b"])  # means 0.5 and 1
        array([0.25])
    """
    numbers = {prompt: number for number, prompt in enumerate(dict.fromkeys(prompts))}
    sums_PK = np.zeros((len(numbers), scores.shape[1]))
    np.add.at(sums_PK, [numbers[prompt] for prompt in prompts], scores - scores.mean(axis=0))
    if len(numbers) < 2:
        return np.full(scores.shape[1], np.nan)
    return np.sqrt(len(numbers) / (len(numbers) - 1) * (sums_PK**2).sum(axis=0)) / len(scores)


def show_gradients(gram: ArrayLike | GramEstimate, lr: float, weighting: Weighting) -> None:
    """Show a weighting a Gram matrix (K, K), or an estimate of one with its errors, and the learning rate."""
    if isinstance(gram, GramEstimate):
        weighting.on_gram_estimate(gram, lr)
    else:
        weighting.on_gradients(gram, lr)


def weighting_metrics(weighting: Weighting, objectives: Sequence[str]) -> Metrics:
    """Return the weights by objective, their sum, and what else the strategy reports (lists by objective).

    Example:
        >>> from paretune.weighting import FixedWeighting
        >>> weighting_metrics(FixedWeighting([3, 1]), ["accuracy", "clarity"])
        {'weights': {'accuracy': 0.75, 'clarity': 0.25}, 'scale': 1.0}
    """
    return {
        "weights": by_objective(weighting.weights, objectives),
        "scale": weighting.scale,
        **{
            name: by_objective(value, objectives) if isinstance(value, list) else value
            for name, value in weighting.diagnostics().items()
        },
    }


def reward_statistics(rewards: Array, objectives: Sequence[str]) -> Metrics:
    """Return mean, standard deviation, minimum and maximum of each objective over rewards (P, G, K)."""
    flat_BK = rewards.reshape(-1, rewards.shape[-1])
    return {
        name: {"mean": float(r.mean()), "std": float(r.std()), "min": float(r.min()), "max": float(r.max())}
        for name, r in zip(objectives, flat_BK.T, strict=True)
    }


def batch_metrics(rewards: Array, judged: Array, direction: Array) -> Metrics:
    """Return how far a batch's objectives agree, and in which share of its groups there is nothing to learn.

    Args:
        rewards: Vector rewards (P, G, K).
        judged: Each objective's advantages (P, G, K), or (P, G, T, K).
        direction: Weights (K,) that sum to 1.
    """
    return {
        "advantage_conflict": conflict(judged, direction),
        "zero_variance_groups": zero_variance_groups(rewards),
    }


def by_objective(values: Sequence[float] | Array, objectives: Sequence[str]) -> dict[str, float]:
    """Return K values by the objectives' names."""
    return {name: float(value) for name, value in zip(objectives, values, strict=True)}


def flatten(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of nested metrics under names joined by "/", without those that are None.

    Example:
        >>> flatten({"loss": 0.5, "weights": {"accuracy": 1.0}})
        {'loss': 0.5, 'weights/accuracy': 1.0}
    """
    flat: dict[str, float] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat
