"""Token-level environments: fronts against enumeration, the step interface, and what every one must hold."""

from __future__ import annotations

import copy
import pickle
import warnings
from itertools import product
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.utils.env_checker import check_env

from paretune.envs import DeceptiveEnv, StyleEnv, TokenEnv, list_envs, make_env
from paretune.envs.tokens.fronts import convex_set, pareto_set
from paretune.weighting.archive import hypervolume

IDS = [info.id for info in list_envs() if info.id.startswith("paretune/Token") and "observation" in info.options]
SMALL = [
    StyleEnv(4, 4, shape="convex"),
    StyleEnv(4, 4, shape="concave"),
    StyleEnv(5, 4, shape="concave", change_cost=0.2),
    StyleEnv(6, 3, shape="disconnected"),
    StyleEnv(5, 3, objectives=3, shape="convex", change_cost=0.1),
    DeceptiveEnv(5, 5),
]


class Alternate(TokenEnv):
    """Earns for tokens unlike the last, and for zeros."""

    def __init__(self, vocabulary: int = 3, length: int = 4, objectives: Any = ("varied", "zeros"), **options: Any):
        super().__init__(vocabulary, length, objectives, **{"low": 0.0, "high": 1.0} | options)

    def rewards(self, position: Any, last: Any, new: Any) -> np.ndarray:
        position, last, new = np.broadcast_arrays(position, last, new)
        return np.stack([new != last, new == 0], axis=-1) / self.length


def all_returns(env: TokenEnv, gamma: float) -> np.ndarray:
    return env.returns(list(product(range(env.vocabulary), repeat=env.length)), gamma)


@pytest.mark.parametrize("gamma", [1.0, 0.9, 0.5, 0.0])
@pytest.mark.parametrize("env", SMALL, ids=lambda env: f"{type(env).__name__}{env.vocabulary}x{env.length}")
def test_fronts_equal_those_of_all_texts(env: TokenEnv, gamma: float) -> None:
    returns = all_returns(env, gamma)
    np.testing.assert_allclose(env.pareto_front(gamma), pareto_set(returns), atol=1e-9)
    np.testing.assert_allclose(env.convex_front(gamma), convex_set(returns), atol=1e-9)


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("env_id", IDS)
def test_no_random_text_is_beyond_the_fronts(env_id: str, gamma: float) -> None:
    env = make_env(env_id)
    rng = np.random.default_rng(0)
    texts = rng.integers(env.vocabulary, size=(2000, env.length))
    texts[1000:] = np.sort(texts[1000:], axis=1)  # fewer changes, hence better texts
    texts[1500:, : env.length // 2] = texts[1500:, :1]
    returns = env.returns(texts, gamma)
    front = np.array(env.pareto_front(gamma))
    assert all((front >= point - 1e-9).all(axis=1).any() for point in returns)
    weights = rng.dirichlet(np.ones(env.reward_dim), size=200)
    assert ((returns @ weights.T).max(axis=0) <= (env.convex_front(gamma) @ weights.T).max(axis=0) + 1e-9).all()


@pytest.mark.parametrize("env_id", IDS)
def test_random_search_is_no_match(env_id: str) -> None:
    env = make_env(env_id)
    texts = np.random.default_rng(0).integers(env.vocabulary, size=(2000 // env.length, env.length))
    reference = np.zeros(env.reward_dim)
    known = hypervolume(np.array(env.pareto_front()), reference)
    assert hypervolume(pareto_set(env.returns(texts)), reference) < 0.7 * known
    constant = np.tile(np.arange(env.vocabulary)[:, None], env.length)
    assert hypervolume(pareto_set(env.returns(constant)), reference) > 0.2 * known  # zeros are no hopeless reference


@pytest.mark.parametrize("env_id", IDS)
def test_registered_environments_pass_the_checker(env_id: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for observation in ("one_hot", "multi_discrete"):
            check_env(make_env(env_id, observation=observation), skip_render_check=True)
    said = [str(item.message) for item in caught]
    assert [text for text in said if "must be a float, int" not in text] == []


@pytest.mark.parametrize("env", [*SMALL, Alternate()])
def test_rewards_are_in_their_space(env: TokenEnv) -> None:
    for position, last, new in product(range(env.length), range(env.vocabulary), range(env.vocabulary)):
        reward = env.step_rewards(position, 0 if position == 0 else last, new)
        assert reward in env.reward_space
        assert reward.dtype == np.float32 and reward.base is None


def test_returns_are_those_of_stepping() -> None:
    env = DeceptiveEnv(5, 6)
    text = [0, 3, 3, 1, 4, 4]
    env.reset()
    steps = [env.step(token) for token in text]
    assert [step[2] for step in steps] == [False] * 5 + [True]
    assert all(step[3] is False and step[4] == {} for step in steps)
    expected = sum(0.9**t * step[1].astype(np.float64) for t, step in enumerate(steps))
    np.testing.assert_allclose(env.returns(text, 0.9), expected, atol=1e-6)
    np.testing.assert_array_equal(env.returns([[text], [text]])[1, 0], env.returns(text))


def test_observations_one_hot() -> None:
    env = Alternate(3, 2)
    assert env.observation_space == Box(0, 1, (6,), np.float32)
    assert env.action_space == Discrete(3)
    first, info = env.reset(seed=4)
    assert (first.tolist(), info) == ([1, 0, 0, 1, 0, 0], {})
    assert env.step(2)[0].tolist() == [0, 1, 0, 0, 0, 1]
    last = env.step(1)[0]
    assert last.tolist() == [0, 0, 1, 0, 1, 0]
    assert last in env.observation_space
    assert env.reset()[0].tolist() == first.tolist()


def test_observations_multi_discrete() -> None:
    env = Alternate(3, 2, observation="multi_discrete")
    assert env.observation_space == MultiDiscrete([3, 3])
    first, _ = env.reset()
    assert first.tolist() == [0, 0]  # index 0, where tables of states begin
    assert first in env.observation_space
    assert env.step(2)[0].tolist() == [1, 2]
    assert env.step(1)[0].tolist() == [2, 1]


def test_rewards_of_a_task_of_ones_own() -> None:
    env = Alternate(3, 4)
    env.reset()
    assert [env.step(token)[1].tolist() for token in (0, 1, 1, 0)] == [[0, 0.25], [0.25, 0], [0, 0], [0.25, 0.25]]
    assert env.objectives == ("varied", "zeros") and env.reward_dim == 2


def test_render() -> None:
    env = Alternate(3, 4, render_mode="ansi")
    env.reset()
    assert env.render() == "····  0/4  varied 0.000, zeros 0.000"
    for token in (0, 1, 0):
        env.step(token)
    assert env.render() == "aba·  3/4  varied 0.500, zeros 0.500"
    env.step(np.int64(2))
    assert env.render() == "abac  4/4  varied 0.750, zeros 0.500"
    assert Alternate().render() is None


def test_fronts_are_copies() -> None:
    env = Alternate()
    env.pareto_front()[0][:] = 9
    assert max(point.max() for point in env.pareto_front()) <= 1


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_by_themselves(duplicate: Any) -> None:
    env = DeceptiveEnv(5, 6)
    env.reset()
    env.step(3)
    env.pareto_front()
    other = duplicate(env)
    expected = env.step(1)
    result = other.step(1)
    np.testing.assert_array_equal(result[0], expected[0])
    np.testing.assert_array_equal(result[1], expected[1])
    assert other.tokens == env.tokens == [3, 1]
    env.step(0)
    assert other.tokens == [3, 1]
    np.testing.assert_array_equal(other.pareto_front(), env.pareto_front())


def test_specs_make_equal_environments() -> None:
    env = gym.make("paretune/TokenThree-v0", disable_env_checker=True)
    assert env.spec is not None
    again = gym.make(pickle.loads(pickle.dumps(env.spec)))
    np.testing.assert_array_equal(env.unwrapped.worths, again.unwrapped.worths)


def test_steps_outside_an_episode_are_refused() -> None:
    env = Alternate(3, 2)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)
    env.reset()
    env.step(0)
    env.step(0)
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step(0)
    env.reset()
    env.step(0)


@pytest.mark.parametrize("action", [3, -1, 1.0, "a", None, [0, 1], np.array([[0], [1]]), True])
def test_what_is_no_token_is_refused_and_changes_nothing(action: Any) -> None:
    env = Alternate(3, 2)
    env.reset()
    with pytest.raises(ValueError, match="action: must"):
        env.step(action)
    assert env.tokens == []


@pytest.mark.parametrize("action", [2, np.int64(2), np.uint8(2), np.array(2), np.array([2])])
def test_tokens_of_any_integer_type_are_taken(action: Any) -> None:
    env = Alternate(3, 2)
    env.reset()
    env.step(action)
    assert env.tokens == [2] and type(env.tokens[0]) is int


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": 1}, "vocabulary: must be from 2 to 256, got 1"),
        ({"vocabulary": 257}, "vocabulary: must be from 2 to 256, got 257"),
        ({"length": 0}, "length: must be at least 1, got 0"),
        ({"objectives": ()}, r"objectives: must be at least one name, all different, got \[\]"),
        ({"objectives": ("a", "a")}, r"objectives: must be at least one name, all different, got \['a', 'a'\]"),
        ({"observation": "onehot"}, "unknown observation 'onehot': did you mean 'one_hot'"),
        ({"render_mode": "human"}, "render_mode: must be 'ansi' or None, got 'human'"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Alternate(**options)


@pytest.mark.parametrize("gamma", [-0.1, 1.1, float("nan")])
def test_a_discount_out_of_range_is_refused(gamma: float) -> None:
    for front in (Alternate().pareto_front, Alternate().convex_front):
        with pytest.raises(ValueError, match="gamma: must be from 0 to 1, got"):
            front(gamma)


def test_other_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown option of reset 'prompt'"):
        Alternate().reset(options={"prompt": "x"})
    with pytest.raises(ValueError, match="texts: must have from 1 to 4 tokens, got 5"):
        Alternate().returns([0] * 5)
    with pytest.raises(ValueError, match=r"texts: must be a token, an integer from 0 to 2, got \[0, 3\]"):
        Alternate().returns([0, 3])


def test_construction_warns_of_nothing(recwarn: pytest.WarningsRecorder) -> None:
    for env_id in IDS:
        make_env(env_id)
    StyleEnv(4, 4, change_cost=np.float64(0.3))
    DeceptiveEnv(4, 4, change_cost=1)
    Alternate(low=np.zeros(2), high=np.ones(2))
    assert [str(warning.message) for warning in recwarn] == []
