"""What our agents and the trainers of others do alike: show validations to archive and weighting, and say what to log.

Shapes: P prompts, G responses per prompt, T decisions of a response that are judged separately, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def show_validation(performance: ArrayLike, step: int, weighting: Weighting, archive: ParetoArchive) -> float:
    """Show a validation performance (K,) to the archive, under its step, and to the weighting.

    Returns:
        The archive's hypervolume.
    """
    archive.add(performance, tag=step)
    weighting.on_validation(performance)
    return archive.hypervolume()


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
