"""Rules of token-level environments: pure rewards, observations, and exact fronts.

Shapes: L positions, V tokens, K objectives, N of whatever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.envs.checks.conformance import Breach, Case, Rule, require, shown
from paretune.envs.tokens.fronts import Points, best_returns, pareto_set
from paretune.envs.tokens.token_env import TokenEnv, observe

DRAWS = 64
TEXTS = 512
WEIGHTS = 256
GRID = 4
GAMMAS = (1.0, 0.9)
TOLERANCE = 1e-6
MOST_COMPARED = 200_000
"""Points that computing a front may compare in all; costlier fronts are left out."""

MOST_COMPARED_HULL = 30_000
"""The same for convex fronts of three objectives and more, which take linear programs."""


def check_token_rewards(case: Case) -> None:
    """Require that `rewards` is pure, broadcasts, and stays within its bounds."""
    env = _token_env(case)
    positions, lasts, news = draws = _draw_steps(env, np.random.default_rng(case.seed))
    before = [array.copy() for array in draws]
    together = np.asarray(env.rewards(*draws))
    shape = DRAWS, env.reward_dim
    require(together.shape == shape, f"rewards of {DRAWS} steps have shape {together.shape}; return {shape}")
    require(np.array_equal(before, draws), "rewards wrote into its arguments; work on copies")
    require(np.array_equal(env.rewards(*draws), together), "rewards differs from call to call; make it a pure function")
    singly = np.array([env.rewards(int(p), int(u), int(v)) for p, u, v in zip(*draws, strict=True)])
    fix = "rewards must broadcast its arguments like NumPy: (...) to (..., K)"
    _require_close(together, singly, "arrays and of numbers", fix)
    rows = slice(0, GRID)
    grid = positions[rows, None, None], lasts[None, rows, None], news[None, None, rows]
    whole = np.asarray(env.rewards(*grid))
    broadcast = [array.reshape(-1) for array in np.broadcast_arrays(*grid)]
    _require_close(whole, np.reshape(env.rewards(*broadcast), (GRID, GRID, GRID, -1)), "a grid and of its cells", fix)
    row = env.rewards(int(positions[0]), int(lasts[0]), news)
    _require_close(row, env.rewards(positions[:1], lasts[:1], news), "all tokens and one by one", fix)
    stepped = env.step_rewards(*draws)
    low, high = env.reward_space.low, env.reward_space.high
    inside = ((stepped >= low) & (stepped <= high)).all(axis=1)
    bounds = f"[low, high] = [{low.tolist()}, {high.tolist()}]"
    require(bool(inside.all()), f"rewards {shown(stepped[~inside])} are outside {bounds}; widen low and high")


def _draw_steps(env: TokenEnv, rng: np.random.Generator) -> tuple[NDArray[np.int64], ...]:
    """Return positions, last and new tokens (N,) that occur; all positions above 0 if there are any."""
    positions = rng.integers(min(1, env.length - 1), env.length, DRAWS)
    lasts, news = rng.integers(env.vocabulary, size=(2, DRAWS))
    return positions, lasts * (positions > 0), news


def _require_close(a: Any, b: Any, what: str, fix: str) -> None:
    same = np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=0, atol=TOLERANCE)
    require(same, f"rewards of {what} differ: {shown(a)} and {shown(b)}; {fix}")


def check_token_steps(case: Case) -> None:
    """Require observations of position and last token, from index 0 on, and `returns` to add the steps up."""
    env = _token_env(case)
    rng = np.random.default_rng(case.seed)
    for _ in range(case.episodes):
        text = rng.integers(env.vocabulary, size=env.length)
        _check_observation(env, env.reset(seed=case.seed)[0], 0, 0)
        rewards = []
        for position, token in enumerate(text, start=1):
            observation, reward, terminated, _, _ = env.step(token)
            rewards.append(reward.astype(np.float64))
            _check_observation(env, observation, position, token)
            ended = "terminated" if terminated else "goes on"
            require(terminated == (position == env.length), f"the text {ended} after {position} of {env.length} tokens")
        for gamma in GAMMAS:
            total = gamma ** np.arange(env.length) @ rewards
            returns = env.returns(text, gamma)
            require(
                np.allclose(returns, total, rtol=0, atol=TOLERANCE),
                f"returns({text.tolist()}, {gamma}) is {shown(returns)}, the steps give {shown(total)}; "
                "step and returns must use the same rewards",
            )


def _check_observation(env: TokenEnv, observation: Any, position: int, last: int) -> None:
    expected = observe(np.array([position]), np.array([last]), env.vocabulary, env.length, env.observation)[0]
    if not np.array_equal(observation, expected):
        raise Breach(
            f"the observation at position {position} behind token {last} is {shown(observation)}; "
            f"as {env.observation} it is {shown(expected)}"
        )


def check_fronts(case: Case) -> None:
    """Require fronts that are minimal, that are those of the rewards, and that no random text beats."""
    env = _token_env(case)
    rng = np.random.default_rng(case.seed)
    random = rng.integers(env.vocabulary, size=(TEXTS, env.length))
    constant = np.tile(np.arange(env.vocabulary)[:, None], env.length)
    texts = np.concatenate([random, constant])
    for gamma in GAMMAS:
        exact, compared = _exact_front(env, gamma)
        returns = env.returns(texts, gamma)
        if exact is not None or type(env).pareto_front is not TokenEnv.pareto_front:
            _check_pareto_front(env, gamma, exact, texts, returns)
        hull_is_cheap = exact is not None and (env.reward_dim == 2 or compared <= MOST_COMPARED_HULL)
        if hull_is_cheap or type(env).convex_front is not TokenEnv.convex_front:
            _check_convex_front(env, gamma, texts, returns, rng.dirichlet(np.ones(env.reward_dim), WEIGHTS))


def _exact_front(env: TokenEnv, gamma: float) -> tuple[Points | None, int]:
    """Return the front computed from the rewards, None where that costs too much; and the points compared."""
    tokens = np.arange(env.vocabulary)
    compared = 0

    def prune(points: Points) -> Points:
        nonlocal compared
        compared += len(points)
        if compared > MOST_COMPARED:
            raise _TooCostly
        return pareto_set(points)

    def rewards(position: int, last: int) -> Points:
        return np.asarray(env.rewards(position, last, tokens), dtype=np.float64)

    try:
        return best_returns(rewards, env.vocabulary, env.length, gamma, prune), compared
    except (_TooCostly, ValueError):
        return None, compared


class _TooCostly(Exception):
    """A front takes more comparisons than allowed."""


def _check_pareto_front(
    env: TokenEnv, gamma: float, exact: Points | None, texts: NDArray[np.int64], returns: Points
) -> None:
    front = np.array(env.pareto_front(gamma))
    name = f"pareto_front({gamma})"
    fix = "leave out dominated and repeated points"
    require(len(front) > 0 and front.shape[1:] == (env.reward_dim,), f"{name} is {shown(front)}; return points (K,)")
    require(len(pareto_set(front)) == len(front), f"{name} holds {_dominated(front)}, which another covers; {fix}")
    reached = np.array([np.any(np.all(front >= value - TOLERANCE, axis=1)) for value in returns])
    if not reached.all():
        text, value = texts[~reached][0].tolist(), returns[~reached][0]
        raise Breach(f"the text {text} returns {shown(value)}, which no point of {name} covers; compute it exactly")
    if exact is not None:
        same = front.shape == exact.shape and np.allclose(pareto_set(front), exact, rtol=0, atol=TOLERANCE)
        require(same, f"{name} has {len(front)} points, dynamic programming over rewards finds {len(exact)} others")


def _dominated(front: Points) -> str:
    kept = {tuple(point) for point in pareto_set(front)}
    return shown(next((point for point in front.round(12).tolist() if tuple(point) not in kept), front[0]))


def _check_convex_front(
    env: TokenEnv, gamma: float, texts: NDArray[np.int64], returns: Points, weights: NDArray[np.float64]
) -> None:
    front = np.array(env.convex_front(gamma))
    name = f"convex_front({gamma})"
    require(len(front) > 0 and front.shape[1:] == (env.reward_dim,), f"{name} is {shown(front)}; return points (K,)")
    best = (front @ weights.T).max(axis=0)
    above = returns @ weights.T > best + TOLERANCE
    if above.any():
        n, w = np.argwhere(above)[0]
        text, value, weight = texts[n].tolist(), returns[n], weights[w]
        raise Breach(f"the text {text} returns {shown(value)}, for the weights {shown(weight)} more than all {name}")


def _token_env(case: Case) -> TokenEnv:
    assert isinstance(case.env, TokenEnv)
    return case.env


TOKEN_RULES: dict[str, Rule] = {
    "token rewards": check_token_rewards,
    "token steps": check_token_steps,
    "fronts": check_fronts,
}
