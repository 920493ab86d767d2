from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import mo_gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from mo_gymnasium.wrappers import LinearReward, MOClipReward, MONormalizeReward, MORecordEpisodeStatistics
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

import paretune.envs  # noqa: F401 (registers the environments)

Make = Callable[[], gym.Env]
ANSWER = "1. Add.\n2. It is \\boxed{7}."


@pytest.fixture(params=["paretune/Arithmetic-v0", "paretune/Math-v0"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Makes one of the environments, with Gymnasium's own wrappers around it."""
    options = {}
    if request.param == "paretune/Math-v0":
        options["dataset"] = tmp_path / "sums.jsonl"
        rows = [{"question": f"What is {n} + 3?", "answer": n + 3} for n in range(12)]
        options["dataset"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    return lambda: mo_gymnasium.make(request.param, **options)


def rewards_of(env: gym.Env, action: str = ANSWER) -> np.ndarray:
    env.reset(seed=0)
    return env.step(action)[1]


def test_checker(make: Make) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(make().unwrapped)
    assert [str(item.message) for item in caught if "must be a float, int" not in str(item.message)] == []


def test_checker_with_a_scalar_reward(make: Make) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(LinearReward(make(), weight=np.array([0.5, 0.25, 0.25])))
    assert [str(item.message) for item in caught if "different from the unwrapped" not in str(item.message)] == []


def test_linear_reward(make: Make) -> None:
    weight = np.array([0.5, 0.25, 0.25])
    env = LinearReward(make(), weight=weight)
    env.reset(seed=0)
    _, reward, _, _, info = env.step(ANSWER)
    assert reward == pytest.approx(weight @ rewards_of(make()))
    assert info["vector_reward"].tolist() == rewards_of(make()).tolist()


def test_normalize_reward_changes_one_objective(make: Make) -> None:
    plain = rewards_of(make())
    normalised = rewards_of(MONormalizeReward(make(), idx=1))
    assert normalised[[0, 2]].tolist() == plain[[0, 2]].tolist()
    assert normalised[1] != plain[1]
    assert np.isfinite(normalised).all()


def test_clip_reward_changes_one_objective_of_one_step(make: Make) -> None:
    env = make()
    plain = rewards_of(env)
    clipped = rewards_of(MOClipReward(env, idx=1, min_r=0, max_r=0.25))
    assert clipped.tolist() == [plain[0], 0.25, plain[2]]
    assert rewards_of(env).tolist() == plain.tolist()


def test_record_episode_statistics(make: Make) -> None:
    env = MORecordEpisodeStatistics(make(), gamma=0.9)
    env.reset(seed=0)
    _, rewards, _, _, info = env.step(ANSWER)
    assert info["episode"]["r"].tolist() == info["episode"]["dr"].tolist() == rewards.tolist()
    assert info["episode"]["l"] == 1


def test_wrappers_stack(make: Make) -> None:
    env = MOClipReward(MONormalizeReward(MORecordEpisodeStatistics(make()), idx=0), idx=2, min_r=0, max_r=0.5)
    env = LinearReward(env, weight=np.ones(3))
    for seed in range(3):
        env.reset(seed=seed)
        assert np.isfinite(env.step(ANSWER)[1])


def test_vector_of_environments(make: Make) -> None:
    envs = MOSyncVectorEnv([make] * 3)
    texts, infos = envs.reset(seed=5)
    assert texts in envs.observation_space
    assert texts == tuple(make().reset(seed=5 + index)[0] for index in range(3))
    assert infos["messages"][1][-1]["role"] == "user"

    actions = (ANSWER, "", "\\boxed{1} \U0001f642")
    same, rewards, terminated, truncated, infos = envs.step(actions)
    assert same == texts
    assert (rewards.shape, rewards.dtype) == ((3, 3), np.float32)
    for index, action in enumerate(actions):
        env = make()
        env.reset(seed=5 + index)
        assert env.step(action)[1].tolist() == rewards[index].tolist()
    assert terminated.tolist() == [True] * 3
    assert truncated.tolist() == [False] * 3
    assert infos["objectives"]["clarity"].tolist() == rewards[:, 2].tolist()
    assert infos["tokens"].tolist()[1] == 0

    fresh, rewards, terminated, _, _ = envs.step(actions)  # one-step episodes spend every other step on a reset
    assert fresh in envs.observation_space
    assert rewards.tolist() == [[0] * 3] * 3
    assert not terminated.any()
    assert envs.step(actions)[2].all()
    envs.close()


def test_vector_takes_its_own_samples(make: Make) -> None:
    envs = MOSyncVectorEnv([make] * 2)
    envs.action_space.seed(0)
    envs.reset(seed=0)
    _, rewards, *_ = envs.step(envs.action_space.sample())
    assert ((rewards >= 0) & (rewards <= 1)).all()
    envs.close()
