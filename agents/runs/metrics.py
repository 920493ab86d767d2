"""One line of metrics per step.

Shapes: P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.weighting import Weighting

Line = dict[str, Any]


class Clock:
    """Adds up the seconds spent in named blocks."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.times: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Add the time of the block to `name`."""
        start = time.perf_counter()
        yield
        self.times[name] = self.times.get(name, 0.0) + time.perf_counter() - start


def reward_statistics(rewards: NDArray[np.float64], objectives: Sequence[str]) -> Line:
    """Return mean, standard deviation, minimum and maximum of each objective over rewards (P, G, K)."""
    flat_BK = rewards.reshape(-1, rewards.shape[-1])
    return {
        name: {"mean": float(r.mean()), "std": float(r.std()), "min": float(r.min()), "max": float(r.max())}
        for name, r in zip(objectives, flat_BK.T, strict=True)
    }


def weighting_metrics(weighting: Weighting, objectives: Sequence[str]) -> Line:
    """Return the weights by objective, their sum, and what else the strategy reports (lists by objective)."""
    return {
        "weights": by_objective(weighting.weights, objectives),
        "scale": weighting.scale,
        **{
            name: by_objective(value, objectives) if isinstance(value, list) else value
            for name, value in weighting.diagnostics().items()
        },
    }


def by_objective(values: Sequence[float] | NDArray[np.float64], objectives: Sequence[str]) -> dict[str, float]:
    """Return K values by the objectives' names."""
    return {name: float(value) for name, value in zip(objectives, values, strict=True)}


def increase(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """Return by how much running counts grew."""
    return {name: count - before.get(name, 0) for name, count in after.items()}


def flatten(line: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return the numbers of a nested line under names joined by "/", as trackers take them.

    Example:
        >>> flatten({"loss": 0.5, "weights": {"accuracy": 1.0}})
        {'loss': 0.5, 'weights/accuracy': 1.0}
    """
    flat: dict[str, float] = {}
    for name, value in line.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        elif value is not None:
            flat[f"{prefix}{name}"] = value
    return flat
