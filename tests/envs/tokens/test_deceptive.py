"""Texts whose beginning rewards what their end has to pay for: values by hand, and the trap."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from paretune.envs import DeceptiveEnv


@pytest.mark.parametrize(
    ("text", "returns"),
    [
        ([0] * 6, [1.0, 0.3, 0.3]),  # the trap
        ([1] * 6, [0.75, 0.15, 0.15]),
        ([2] * 6, [0.5, 0.0, 0.0]),  # the bottom of the valley
        ([3] * 6, [0.25, 0.5, 1.0]),
        ([4] * 6, [0.0, 1.0, 0.0]),
        ([0, 0, 4, 4, 4, 4], [1.0 - 0.25, 1.0 - 0.25, -0.25]),
        ([0, 0, 3, 3, 4, 4], [1.0 - 0.25, 0.75 - 0.25, 0.5 - 0.25]),
        ([0, 1, 0, 0, 0, 0], [0.875 - 0.125, 0.3 - 0.125, 0.3 - 0.125]),
    ],
)
def test_returns_by_hand(text: list[int], returns: list[float]) -> None:
    np.testing.assert_allclose(DeceptiveEnv(5, 6).returns(text), returns, atol=1e-12)


def test_discounted_return_by_hand() -> None:
    late = (1 / 4 + 1 / 8 + 1 / 16 + 1 / 32) / 4
    np.testing.assert_allclose(DeceptiveEnv(5, 6).returns([0] * 6, 0.5), [0.75, 0.3 * late, 0.3 * late])


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 1, 0), (1, 0, 1), (0, 1, 0), (0, 0, 1), (0, 1, 1)])
def test_small_steps_out_of_the_trap_lose(weights: tuple[int, int, int]) -> None:
    env = DeceptiveEnv()
    trap = env.returns([0] * 12) @ weights
    for position in range(12):
        for length in range(1, 13 - position):
            text = [0] * 12
            text[position : position + length] = [1] * length
            assert env.returns(text) @ weights < trap
    assert (env.convex_front() @ np.array(weights)).max() > trap + 0.1


def test_the_trap_is_one_of_many_best_texts() -> None:
    env = DeceptiveEnv()
    front = np.array(env.pareto_front())
    assert np.isclose(front, env.returns([0] * 12)).all(axis=1).any()
    assert len(front) > 100
    assert front[:, 1].max() == pytest.approx(1.0) and front[:, 2].max() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 1}, "length: must be from 2 to 64, got 1"),
        ({"length": 65}, "length: must be from 2 to 64, got 65"),
        ({"vocabulary": 1}, "vocabulary: must be from 2 to 256, got 1"),
        ({"change_cost": -0.1}, "change_cost: must be a finite number of at least 0, got -0.1"),
        ({"observation": "text"}, "unknown observation 'text'"),
        ({"render_mode": "rgb_array"}, "render_mode: must be 'ansi' or None, got 'rgb_array'"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeceptiveEnv(**options)
