"""From observations to the numbers that a network reads.

Shapes: N observations, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

Array = NDArray[np.float32]
Observations = Sequence[Any] | NDArray[Any]
Encoder = Callable[[Observations], Array]

LARGEST_ONE_HOT = 64
"""Whole numbers of at most so many values are coded one-hot."""


def make_encoder(space: spaces.Space[Any]) -> tuple[Encoder, int]:
    """Return a function from N observations to features (N, D), and D.

    Discrete and MultiDiscrete spaces, and integer Boxes of at most 64 values a component, are coded one-hot; bounded
    components of other Boxes are scaled to [0, 1], unbounded ones stay as they are; Dict and Tuple spaces are the
    parts' features side by side.

    Raises:
        ValueError: If there is no code for the space.

    Example:
        >>> encode, width = make_encoder(spaces.MultiDiscrete([2, 3]))
        >>> encode([np.array([1, 2])]).tolist()
        [[0.0, 1.0, 0.0, 0.0, 1.0]]
    """
    if isinstance(space, spaces.Dict):
        return _side_by_side([(itemgetter(key), part) for key, part in space.spaces.items()])
    if isinstance(space, spaces.Tuple):
        return _side_by_side([(itemgetter(i), part) for i, part in enumerate(space.spaces)])
    if isinstance(space, spaces.Discrete):
        return _one_hot(np.array([space.start]), np.array([space.n]))
    if isinstance(space, spaces.MultiDiscrete):
        return _one_hot(np.ravel(space.start), np.ravel(space.nvec))
    if isinstance(space, spaces.MultiBinary):
        return _scaled(np.zeros(space.shape), np.ones(space.shape))
    if isinstance(space, spaces.Box):
        if np.issubdtype(space.dtype, np.integer) and space.is_bounded():
            low, high = space.low.ravel(), space.high.ravel()
            if (high.astype(np.float64) - low < LARGEST_ONE_HOT).all():  # as integers they may overflow
                return _one_hot(low.astype(np.int64), (high - low).astype(np.int64) + 1)
        return _scaled(space.low, space.high)
    raise ValueError(
        "env: must have observations of a Discrete, MultiDiscrete, MultiBinary, Box, Dict or Tuple space for a network "
        f"policy, got {space}"
    )


def _one_hot(starts: NDArray[Any], sizes: NDArray[Any]) -> tuple[Encoder, int]:
    offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]) - starts
    width = int(sizes.sum())

    def encode(observations: Observations) -> Array:
        columns = np.asarray(observations).reshape(len(observations), -1).astype(np.int64) + offsets
        features = np.zeros((len(observations), width), dtype=np.float32)
        features[np.arange(len(observations))[:, None], columns] = 1.0
        return features

    return encode, width


def _scaled(low: NDArray[Any], high: NDArray[Any]) -> tuple[Encoder, int]:
    low, high = low.ravel().astype(np.float64), high.ravel().astype(np.float64)
    bounded = np.isfinite(low) & np.isfinite(high) & (high > low) & (high - low < np.finfo(np.float32).max)
    shift = np.where(bounded, low, 0.0)
    size = np.where(bounded, high - np.where(bounded, low, 0.0), 1.0)

    def encode(observations: Observations) -> Array:
        flat = np.asarray(observations, dtype=np.float64).reshape(len(observations), -1)
        return ((flat - shift) / size).astype(np.float32)

    return encode, low.size


def _side_by_side(parts: Sequence[tuple[Callable[[Any], Any], spaces.Space[Any]]]) -> tuple[Encoder, int]:
    encoders = [(get, *make_encoder(space)) for get, space in parts]

    def encode(observations: Observations) -> Array:
        return np.concatenate([code([get(x) for x in observations]) for get, code, _ in encoders], axis=1)

    return encode, sum(width for _, _, width in encoders)
