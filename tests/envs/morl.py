"""What the tests with morl-baselines share: small environments, a share of the front, and points inside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import mo_gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.weighting.archive import hypervolume

REFERENCE = np.zeros(2)
STEPS = 2000
"""Environment steps that the agents with a goal may take."""


def small_env(shape: str = "Convex", vocabulary: int = 4, length: int = 4, seed: int = 0, **options: Any) -> Any:
    """Return TokenConvex-v0 or another, made the way a user of morl-baselines does, its random actions seeded."""
    env = mo_gymnasium.make(f"paretune.envs:paretune/Token{shape}-v0", vocabulary=vocabulary, length=length, **options)
    env.action_space.seed(seed)
    return env


def share(env: Any, points: Iterable[ArrayLike]) -> float:
    """Return the hypervolume of points (N, K) over zero as a share of that of the exact front."""
    return hypervolume(np.array(list(points)), REFERENCE) / hypervolume(
        np.array(env.unwrapped.pareto_front()), REFERENCE
    )


def random_share(env: Any, seed: int) -> float:
    """Return the share that random texts reach in as many steps."""
    task = env.unwrapped
    texts = np.random.default_rng(seed).integers(task.vocabulary, size=(STEPS // task.length, task.length))
    return share(env, task.returns(texts))


def assert_inside(env: Any, points: Iterable[ArrayLike], *, mixed: bool = False) -> NDArray[np.float64]:
    """Check that there are points (N, K) and that the exact front bounds them all; return them.

    Returns of single episodes are at most a point of the front. Means over episodes (`mixed`) are at most a mixture of
    such points: for any weights they are worth no more than the best corner.
    """
    array = np.array(list(points), dtype=np.float64)
    front = np.array(env.unwrapped.pareto_front())
    assert array.ndim == 2 and len(array) and array.shape[1] == front.shape[1] and np.isfinite(array).all()
    if mixed:
        weights = np.linspace([0.0, 1.0], [1.0, 0.0], 101)
        assert ((weights @ array.T).max(axis=1) <= (weights @ front.T).max(axis=1) + 1e-5).all()
    else:
        assert (array[:, None] <= front[None] + 1e-5).all(axis=2).any(axis=1).all()
    return array
