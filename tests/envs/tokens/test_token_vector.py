"""The vector of token-level environments against MO-Gymnasium's, step by step."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from mo_gymnasium.wrappers.vector import MORecordEpisodeStatistics, MOSyncVectorEnv

from paretune.envs import DeceptiveEnv, StyleEnv, TokenEnv, TokenVectorEnv, make_env
from paretune.envs.tokens import token_vector


def make(num_envs: int = 3, **options: Any) -> TokenVectorEnv:
    return TokenVectorEnv(StyleEnv(4, 3, **options), num_envs)


def assert_same(ours: tuple[Any, ...], theirs: tuple[Any, ...]) -> None:
    for mine, other in zip(ours[:-1], theirs[:-1], strict=True):
        np.testing.assert_array_equal(mine, other)
        assert mine.dtype == other.dtype
    assert ours[-1] == theirs[-1] == {}


@pytest.mark.parametrize("observation", ["one_hot", "multi_discrete"])
@pytest.mark.parametrize("name", ["TokenConcave", "TokenThree", "TokenDeceptive", "Token"])
def test_steps_equal_those_of_mo_gymnasium(name: str, observation: str) -> None:
    env_id = f"paretune/{name}-v0"
    ours = gym.make_vec(env_id, num_envs=3, observation=observation)
    theirs = MOSyncVectorEnv([lambda: make_env(env_id, observation=observation)] * 3)
    assert isinstance(ours, TokenVectorEnv)
    for attribute in ("single_observation_space", "observation_space", "single_action_space", "action_space"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)
    assert ours.reward_space == theirs.reward_space
    assert ours.metadata == theirs.metadata
    assert_same(ours.reset(seed=7), theirs.reset(seed=7))
    theirs.action_space.seed(0)
    ends = 0
    for step in range(3 * (ours.env.length + 1) + 4):
        if step == 4:
            assert_same(ours.reset(), theirs.reset())
        actions = theirs.action_space.sample()
        result = ours.step(actions)
        assert_same(result, theirs.step(actions))
        assert result[0] in ours.observation_space
        ends += int(result[2].sum())
    assert ends == 9


def test_rewards_without_a_table_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with_table = TokenVectorEnv(DeceptiveEnv(5, 4), 6)
    monkeypatch.setattr(token_vector, "TABLE_BYTES", 0)
    without = TokenVectorEnv(DeceptiveEnv(5, 4), 6)
    assert with_table._table is not None and without._table is None
    assert_same(with_table.reset(), without.reset())
    for actions in np.random.default_rng(0).integers(5, size=(11, 6)):
        assert_same(with_table.step(actions), without.step(actions))


def test_memory_of_the_largest_task_is_bounded() -> None:
    table = token_vector.reward_table(StyleEnv(256, 64, 3))
    assert table is None
    default = token_vector.reward_table(StyleEnv())
    assert default is not None and default.nbytes == 4 * 32 * 64 * 64 * 2 <= token_vector.TABLE_BYTES


def test_a_step_behind_the_end_begins_a_text_and_ignores_its_action() -> None:
    envs = make(2)
    first, _ = envs.reset()
    for _ in range(3):
        observations, rewards, terminations, truncations, _ = envs.step([1, 3])
    assert terminations.tolist() == [True, True] and truncations.tolist() == [False, False]
    assert (rewards != 0).all()
    observations, rewards, terminations, _, _ = envs.step([2, 2])
    assert observations.tolist() == first.tolist()
    assert rewards.tolist() == [[0, 0], [0, 0]] and not terminations.any()
    assert envs.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP


def test_arrays_are_fresh() -> None:
    envs = make(2)
    kept = [*envs.reset()[:1], *envs.step([0, 1])[:4]]
    before = copy.deepcopy(kept)
    for array in envs.step([3, 3])[:4]:
        array[...] = 1
    np.testing.assert_equal(kept, before)
    envs.reset()
    np.testing.assert_equal(envs.step([0, 1])[:4], before[1:])


def test_a_mask_resets_some() -> None:
    envs = make(3, observation="multi_discrete")
    envs.reset()
    envs.step([1, 2, 3])
    observations, _ = envs.reset(options={"reset_mask": np.array([True, False, True])})
    assert observations.tolist() == [[0, 0], [1, 2], [0, 0]]
    envs.step([1, 1, 1])
    *_, terminations, _, _ = envs.step([1, 1, 1])
    assert terminations.tolist() == [False, True, False]
    observations, rewards, *_ = envs.step([3, 3, 3])
    assert observations.tolist() == [[3, 3], [0, 0], [3, 3]]
    assert rewards[1].tolist() == [0, 0] and (rewards[0] != 0).all()


def test_fronts_and_names_are_those_of_the_task() -> None:
    envs = make(change_cost=0.25)
    assert envs.unwrapped.objectives == ("style_0", "style_1") and envs.reward_dim == 2
    np.testing.assert_array_equal(envs.pareto_front(0.9), envs.env.pareto_front(0.9))
    np.testing.assert_array_equal(envs.convex_front(), envs.env.convex_front())


def test_render_shows_each_text() -> None:
    envs = make(2, shape="linear", render_mode="ansi")
    envs.reset()
    envs.step([0, 3])
    envs.step([0, 3])
    assert envs.render() == (
        "aa·  2/3  style_0 0.067, style_1 0.667",
        "dd·  2/3  style_0 0.667, style_1 0.067",
    )
    envs.step([0, 3])
    envs.step([0, 3])
    assert envs.render() == ("···  0/3  style_0 0.000, style_1 0.000",) * 2
    assert make().render() is None


def test_mo_gymnasium_records_its_episodes() -> None:
    envs = MORecordEpisodeStatistics(make(2), gamma=0.5)
    envs.reset()
    for _ in range(3):
        *_, infos = envs.step([0, 3])
    task = StyleEnv(4, 3)
    np.testing.assert_allclose(infos["episode"]["r"], task.returns([[0] * 3, [3] * 3]), atol=1e-6)
    np.testing.assert_allclose(infos["episode"]["dr"], task.returns([[0] * 3, [3] * 3], 0.5), atol=1e-6)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda envs: pickle.loads(pickle.dumps(envs))])
def test_copies_go_on_by_themselves(duplicate: Any) -> None:
    envs = make(2)
    envs.reset()
    envs.step([1, 2])
    other = duplicate(envs)
    expected = envs.step([2, 2])
    assert_same(other.step([2, 2]), expected)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 1], r"actions: must have shape \(3,\), got \(2,\)"),
        ([[0], [1], [2]], r"actions: must have shape \(3,\), got \(3, 1\)"),
        ([0, 1, 4], r"actions: must be a token, an integer from 0 to 3, got \[0, 1, 4\]"),
        ([0, -1, 1], "actions: must be a token, an integer from 0 to 3"),
        ([0.0, 1.0, 2.0], "an integer from 0 to 3, got"),
    ],
)
def test_wrong_actions_are_refused_and_change_nothing(actions: Any, message: str) -> None:
    envs = make(3, observation="multi_discrete")
    envs.reset()
    with pytest.raises(ValueError, match=message):
        envs.step(actions)
    assert envs.step([1, 1, 1])[0].tolist() == [[1, 1]] * 3


def test_other_mistakes_are_named() -> None:
    with pytest.raises(ResetNeeded, match="call reset"):
        make().step([0, 0, 0])
    with pytest.raises(ValueError, match="num_envs: must be at least 1, got 0"):
        make(0)
    with pytest.raises(ValueError, match="unknown option of reset 'reset_masks': did you mean 'reset_mask'"):
        make().reset(options={"reset_masks": 1})
    with pytest.raises(ValueError, match=r"must be booleans of shape \(3,\), got shape \(2,\) of bool"):
        make().reset(options={"reset_mask": np.array([True, False])})
    with pytest.raises(ValueError, match="seed: must be one number or num_envs = 3 of them, got 2"):
        make().reset(seed=[1, 2])
    make().reset(seed=[1, None, 3])


def test_a_task_of_ones_own() -> None:
    class Repeat(TokenEnv):
        def rewards(self, position: Any, last: Any, new: Any) -> np.ndarray:
            position, last, new = np.broadcast_arrays(position, last, new)
            return np.stack([new == last, new == position], axis=-1) * 1.0

    envs = TokenVectorEnv(Repeat(3, 3, ["same", "counted"], low=0.0, high=1.0), 2)
    envs.reset()
    assert envs.step([0, 1])[1].tolist() == [[1, 1], [0, 0]]
    assert envs.step([0, 1])[1].tolist() == [[1, 0], [1, 1]]
