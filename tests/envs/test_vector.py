"""`gymnasium.make_vec` for everything that is registered."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

from paretune.envs import ArithmeticEnv, StyleEnv, TokenVectorEnv, list_envs, vector_of

IDS = [info.id for info in list_envs()]


@pytest.mark.parametrize("env_id", IDS)
def test_make_vec_makes_every_environment(env_id: str, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    options: dict[str, Any] = {}
    if env_id == "paretune/Math-v0":
        options["dataset"] = tmp_path / "sums.jsonl"
        rows = [{"question": f"What is {n} + 3?", "answer": n + 3} for n in range(12)]
        options["dataset"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    envs = gym.make_vec(env_id, num_envs=3, **options)
    token_level = env_id.startswith("paretune/Token") and env_id != "paretune/TokenText-v0"
    assert type(envs) is (TokenVectorEnv if token_level else MOSyncVectorEnv)
    assert envs.num_envs == 3
    assert envs.spec is not None and envs.spec.id == env_id
    observations, _ = envs.reset(seed=0)
    assert observations in envs.observation_space
    actions = envs.action_space.sample()
    _, rewards, terminations, truncations, _ = envs.step(actions)
    assert (rewards.shape, rewards.dtype) == ((3, envs.reward_space.shape[0]), np.float32)
    assert all(reward in envs.reward_space for reward in rewards)
    assert terminations.all() == (not token_level) and not truncations.any()
    envs.close()
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.parametrize("env_id", IDS)
def test_specs_can_be_stored(env_id: str) -> None:
    spec = gym.spec(env_id)
    assert pickle.loads(pickle.dumps(spec)) == spec
    assert gym.envs.registration.EnvSpec.from_json(spec.to_json()).vector_entry_point == spec.vector_entry_point


def test_options_reach_the_environments() -> None:
    envs = gym.make_vec("paretune/Token-v0", num_envs=2, vocabulary=5, length=4, objectives=3)
    assert envs.unwrapped.env.worths.shape == (5, 3)
    texts = gym.make_vec("paretune/Arithmetic-v0", num_envs=2, split="test")
    assert [env.split for env in texts.envs] == ["test", "test"]


def test_text_environments_draw_prompts_of_their_own() -> None:
    envs = vector_of(ArithmeticEnv)(num_envs=3, held_out=8)
    assert len({id(env) for env in envs.envs}) == 3
    prompts, _ = envs.reset(seed=3)
    assert prompts == tuple(ArithmeticEnv(held_out=8).reset(seed=3 + n)[0] for n in range(3))


@pytest.mark.parametrize("task", [StyleEnv, ArithmeticEnv])
def test_an_empty_vector_is_refused(task: Any) -> None:
    with pytest.raises(ValueError, match="num_envs: must be at least 1, got 0"):
        vector_of(task)(num_envs=0)
