"""Token-level environments: fronts against enumeration, known answers, and the step interface."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from paretune.envs import DeceptiveEnv, StyleEnv, TokenEnv
from paretune.envs.fronts import convex_set, pareto_set

SMALL = [
    StyleEnv(4, 4, shape="convex"),
    StyleEnv(4, 4, shape="concave"),
    StyleEnv(5, 4, shape="concave", change_cost=0.2),
    StyleEnv(6, 3, shape="disconnected"),
    StyleEnv(5, 3, objectives=3, shape="convex", change_cost=0.1),
    DeceptiveEnv(5, 5),
]


def all_returns(env: TokenEnv, gamma: float) -> np.ndarray:
    return env.returns(list(product(range(env.vocabulary), repeat=env.length)), gamma)


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("env", SMALL, ids=lambda env: f"{type(env).__name__}{env.vocabulary}x{env.length}")
def test_fronts_equal_those_of_all_texts(env: TokenEnv, gamma: float) -> None:
    returns = all_returns(env, gamma)
    np.testing.assert_allclose(env.pareto_front(gamma), pareto_set(returns), atol=1e-9)
    np.testing.assert_allclose(env.convex_front(gamma), convex_set(returns), atol=1e-9)


def test_returns_are_those_of_stepping() -> None:
    env = DeceptiveEnv(5, 6)
    text = [0, 3, 3, 1, 4, 4]
    env.reset()
    rewards = [env.step(token)[1] for token in text]
    expected = sum(0.9**t * reward.astype(np.float64) for t, reward in enumerate(rewards))
    np.testing.assert_allclose(env.returns(text, 0.9), expected, atol=1e-6)


def test_a_constant_text_earns_the_worth_of_its_style() -> None:
    env = StyleEnv(5, 7, shape="concave")
    np.testing.assert_allclose(env.returns(np.tile(np.arange(5)[:, None], 7)), env.worths, atol=1e-6)
    np.testing.assert_allclose(env.pareto_front(), env.worths, atol=1e-6)
    np.testing.assert_allclose(env.worths[2], 0.1 + 0.9 * 0.25)
