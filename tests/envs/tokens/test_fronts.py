"""Non-dominated points and convex coverage sets against slow and independent definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from paretune.envs import StyleEnv
from paretune.envs.tokens import fronts
from paretune.envs.tokens.fronts import convex_set, pareto_set

POINTS = st.integers(2, 4).flatmap(lambda k: st.lists(st.tuples(*[st.integers(-3, 3)] * k), min_size=1, max_size=12))
"""Small integers, so that ties and duplicates are common."""


def rows(points: np.ndarray) -> set[tuple[float, ...]]:
    return set(map(tuple, points.tolist()))


def beaten(point: tuple[int, ...], others: list[tuple[int, ...]]) -> bool:
    """Whether a mixture of the others is nowhere below the point: others' * shares - slack = point, sum shares = 1."""
    if not others:
        return False
    matrix = np.array(others, dtype=float).T
    equations = np.block([[matrix, -np.eye(len(point))], [np.ones((1, len(others))), np.zeros((1, len(point)))]])
    return linprog(np.zeros(equations.shape[1]), A_eq=equations, b_eq=np.append(point, 1.0)).status == 0


@given(POINTS)
def test_pareto_set_is_what_no_other_point_dominates(points: list[tuple[int, ...]]) -> None:
    expected = {p for p in points if not any(q != p and all(b >= a for a, b in zip(p, q, strict=True)) for q in points)}
    found = pareto_set(np.array(points, dtype=float))
    assert rows(found) == expected
    assert found.tolist() == sorted(found.tolist()) and len(found) == len(expected)


@settings(max_examples=60)
@example([(-1, 1, 1, 0), (-1, 1, -2, 1), (3, -2, 1, 0), (-3, 1, -3, 3)])
@given(POINTS)
def test_convex_set_is_what_no_mixture_of_others_reaches(points: list[tuple[int, ...]]) -> None:
    distinct = sorted(set(points))
    expected = {p for p in distinct if not beaten(p, [q for q in distinct if q != p])}
    found = convex_set(np.array(points, dtype=float))
    assert rows(found) == expected
    assert found.tolist() == sorted(found.tolist()) and len(found) == len(expected)


@settings(max_examples=60)
@given(POINTS, st.integers(0, 2**32 - 1))
def test_no_weights_prefer_a_point_outside_the_convex_set(points: list[tuple[int, ...]], seed: int) -> None:
    array = np.array(points, dtype=float)
    weights = np.random.default_rng(seed).dirichlet(np.full(array.shape[1], 0.3), size=50)
    np.testing.assert_allclose((convex_set(array) @ weights.T).max(axis=0), (array @ weights.T).max(axis=0))


@pytest.mark.parametrize("prune", [pareto_set, convex_set])
def test_rounding_errors_make_no_points(prune: fronts.Prune) -> None:
    points = np.array([[0.1 + 0.2, 1.0], [0.3, 1.0], [1.0, -0.0], [1.0, 0.0], [1.0, 1e-14]])
    found = prune(points)
    assert found.tolist() == [[0.3, 1.0], [1.0, 0.0]]
    assert not np.signbit(found).any()


def test_points_on_one_line_or_plane_leave_its_corners() -> None:
    line = np.stack([np.arange(64), np.arange(64)[::-1]], axis=1) / 63
    assert convex_set(line).tolist() == [[0, 1], [1, 0]]
    plane = np.random.default_rng(0).dirichlet(np.ones(3), size=30)
    assert convex_set(np.concatenate([np.eye(3), plane])).tolist() == np.eye(3)[::-1].tolist()


def test_a_front_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "MAX_COMPARED", 400)
    env = StyleEnv(4, 8, change_cost=0.1)
    with pytest.raises(
        ValueError,
        match=r"gamma: must leave at most 400 returns .*, got \d+ from position \d on",
    ):
        env.pareto_front(0.9)
