"""Texts that should keep their style: worths, shapes of the front, and the largest size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paretune.envs import StyleEnv, make_env
from paretune.envs.tokens.fronts import pareto_set
from paretune.envs.tokens.style import spread_on_simplex


def chosen_by_weights(front: list[np.ndarray]) -> set[int]:
    """Return which points of a front are best for one of 101 weightings of two objectives."""
    x = np.linspace(0, 1, 101)
    return set(np.argmax(np.array(front) @ np.stack([x, 1 - x]), axis=0).tolist())


def test_a_constant_text_earns_the_worth_of_its_style() -> None:
    env = StyleEnv(5, 7, shape="concave")
    np.testing.assert_allclose(env.returns(np.tile(np.arange(5)[:, None], 7)), env.worths)
    np.testing.assert_allclose(env.pareto_front(), env.worths)
    np.testing.assert_allclose(env.worths[2], 0.1 + 0.9 * 0.25)


def test_a_change_of_style_costs_what_it_says() -> None:
    env = StyleEnv(3, 4, shape="linear", change_cost=0.5)
    worths = [[0.1, 1.0], [0.55, 0.55], [1.0, 0.1]]
    np.testing.assert_allclose(env.worths, worths)
    np.testing.assert_allclose(env.rewards(0, 0, 2), [0.25, 0.025])  # the first token changes nothing
    np.testing.assert_allclose(env.rewards(1, 0, 2), [0.25 - 0.45, 0.025 - 0.45])
    np.testing.assert_allclose(env.returns([0, 0, 2, 2]), [0.55 - 0.45, 0.55 - 0.45])


def test_fixed_weights_reach_all_of_a_convex_front_and_the_ends_of_a_concave_one() -> None:
    convex = make_env("paretune/TokenConvex-v0").pareto_front()
    concave = make_env("paretune/TokenConcave-v0").pareto_front()
    assert len(convex) == len(concave) == 16
    assert chosen_by_weights(convex) == set(range(16))
    assert chosen_by_weights(concave) == {0, 15}


@pytest.mark.parametrize(
    ("name", "points", "corners"), [("Convex", 16, 16), ("Concave", 16, 2), ("Disconnected", 10, 6), ("Three", 21, 21)]
)
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_sizes_of_the_fronts(name: str, points: int, corners: int, gamma: float) -> None:
    env = make_env(f"paretune/Token{name}-v0")
    assert len(env.pareto_front(gamma)) == points
    assert len(env.convex_front(gamma)) == corners


def test_a_linear_front_has_two_corners_and_no_rounding_errors_between() -> None:
    env = StyleEnv(64, 32, shape="linear")
    np.testing.assert_allclose(env.convex_front(), [[0.1, 1.0], [1.0, 0.1]])
    assert len(env.pareto_front()) == 64


def test_a_disconnected_front_is_in_pieces() -> None:
    env = StyleEnv(240, 2, shape="disconnected")
    best = {tuple(point) for point in pareto_set(env.worths).round(9).tolist()}
    on_front = np.array([tuple(worth) in best for worth in env.worths.round(9).tolist()])
    pieces = int((np.diff(on_front.astype(int)) == 1).sum() + on_front[0])
    assert pieces == 5  # ZDT3 has five
    front = np.array(make_env("paretune/TokenDisconnected-v0").pareto_front())
    assert (np.diff(front[:, 0]) > 0.15).sum() == 3  # gaps that are four times as wide as the steps within pieces


@pytest.mark.parametrize("objectives", [2, 3])
@pytest.mark.parametrize("shape", ["convex", "linear", "concave"])
def test_worths_are_spread_over_the_simplex(shape: Any, objectives: int) -> None:
    worths = StyleEnv(30, 2, objectives, shape=shape).worths
    assert worths.shape == (30, objectives)
    assert (worths >= 0.1).all() and (worths <= 1).all()
    assert len(pareto_set(worths)) == 30
    shares = spread_on_simplex(30, objectives)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    corners = shares.max(axis=1) == 1
    assert corners.sum() == objectives
    gaps = np.linalg.norm(shares[:, None] - shares, axis=-1) + 9 * np.eye(30)
    assert gaps.min() > 0.02


@pytest.mark.parametrize(("objectives", "shape"), [(2, "disconnected"), (3, "concave")])
def test_the_largest_size(objectives: int, shape: Any) -> None:
    env = make_env("paretune/Token-v0", vocabulary=256, length=64, objectives=objectives, shape=shape)
    np.testing.assert_allclose(env.pareto_front(), pareto_set(env.worths), atol=1e-9)
    assert len(env.symbols) == 256


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": 1}, "objectives: must be from 2 to 8, got 1"),
        ({"objectives": 9}, "objectives: must be from 2 to 8, got 9"),
        ({"vocabulary": 3, "objectives": 4}, "vocabulary: must be at least objectives = 4, got 3"),
        ({"vocabulary": 257}, "vocabulary: must be from 2 to 256, got 257"),
        ({"length": 0}, "length: must be at least 1, got 0"),
        ({"length": 65}, "length: must be at most 64, got 65"),
        ({"shape": "convx"}, "unknown shape 'convx': did you mean 'convex'"),
        ({"shape": "disconnected", "objectives": 3}, "objectives: must be 2 for the shape 'disconnected', got 3"),
        ({"change_cost": -1.0}, "change_cost: must be a finite number of at least 0, got -1.0"),
        ({"change_cost": float("nan")}, "change_cost: must be a finite number of at least 0, got nan"),
        ({"change_cost": float("inf")}, "change_cost: must be a finite number of at least 0, got inf"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StyleEnv(**options)
