"""Rules of every environment with vector rewards: copies, MO-Gymnasium's wrappers, and vectors of environments.

Shapes: K objectives, N steps.
"""

from __future__ import annotations

import pickle
from copy import deepcopy
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array, iterate
from mo_gymnasium.wrappers import LinearReward, MOClipReward, MONormalizeReward, MORecordEpisodeStatistics
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv
from numpy.typing import NDArray

from paretune.envs.checks.conformance import RESET, Breach, Case, Moment, Rule, require, require_same, shown
from paretune.envs.text.response import ResponseEnv

GAMMA = 0.9
VECTOR_SIZE = 2


def check_pickle(case: Case) -> None:
    """Require that a pickled copy behaves alike."""
    try:
        copy = pickle.loads(pickle.dumps(case.env))
    except Exception as error:
        raise Breach(
            f"pickling failed: {error}; define classes and functions at the top level of a module, keep no open files"
        ) from error
    _require_alike(case, copy, "in a pickled copy")


def check_deepcopy(case: Case) -> None:
    """Require that a deep copy behaves alike, and leaves the environment alone."""
    _require_alike(case, deepcopy(case.env), "in a deep copy")


def _require_alike(case: Case, copy: gym.Env[Any, Any], how: str) -> None:
    if case.is_deterministic:
        fix = "take the whole state along (__getstate__, __deepcopy__, EzPickle), and share none of it"
        require_same(case.play(copy), case.played, how, fix)
        require_same(case.play(case.env), case.played, f"{how}'s original, after playing the copy", fix)


def check_wrappers(case: Case) -> None:
    """Require that MO-Gymnasium's wrappers run, and do what they say."""
    env: Any = case.env
    k = env.reward_space.shape[0]
    weight = np.arange(1, k + 1) / k
    linear = _rewards(_play(case, LinearReward(env, weight=weight)))
    normalised = _rewards(_play(case, MONormalizeReward(env, idx=k - 1)))
    clipped = _rewards(_play(case, MOClipReward(env, idx=0, min_r=0.0, max_r=0.25)))
    statistics = _play(case, MORecordEpisodeStatistics(env, gamma=GAMMA))
    if not case.is_deterministic:
        return
    plain = _rewards(case.played)
    _require_close("LinearReward", linear, plain @ weight)
    _require_close("MONormalizeReward", normalised[:, :-1], plain[:, :-1])
    _require_close("MOClipReward", clipped, np.column_stack([np.clip(plain[:, 0], 0.0, 0.25), plain[:, 1:]]))
    for summary, rewards_TK in zip(_summaries(statistics), _complete_episodes(case.played), strict=True):
        discounts = GAMMA ** np.arange(len(rewards_TK))
        _require_close("MORecordEpisodeStatistics", summary["r"], rewards_TK.sum(axis=0))
        _require_close("MORecordEpisodeStatistics", summary["dr"], discounts @ rewards_TK)


def _play(case: Case, wrapped: gym.Env[Any, Any]) -> list[Moment]:
    try:
        return case.play(wrapped)
    except Exception as error:
        name = type(wrapped).__name__
        raise Breach(f"MO-Gymnasium's {name} raised {type(error).__name__}: {error}; make it run") from error


def _require_close(wrapper: str, seen: NDArray[Any], expected: NDArray[Any]) -> None:
    require(
        np.shape(seen) == np.shape(expected) and np.allclose(seen, expected, rtol=1e-4, atol=1e-5),
        f"MO-Gymnasium's {wrapper} gives {shown(seen)} instead of {shown(expected)}; return new float32 rewards (K,)",
    )


def _rewards(moments: list[Moment]) -> NDArray[Any]:
    """Return the rewards of all steps, (N, K) or (N,)."""
    return np.array([moment.reward for moment in moments if moment.reward is not RESET])


def _summaries(moments: list[Moment]) -> list[dict[str, Any]]:
    return [moment.info["episode"] for moment in moments if moment.terminated or moment.truncated]


def _complete_episodes(moments: list[Moment]) -> list[NDArray[Any]]:
    """Return the rewards (T, K) of each episode that came to its end."""
    episodes: list[list[Any]] = []
    complete = []
    for moment in moments:
        if moment.reward is RESET:
            episodes.append([])
        else:
            episodes[-1].append(moment.reward)
        if moment.terminated or moment.truncated:
            complete.append(np.array(episodes[-1], dtype=np.float64))
    return complete


def check_vectors(case: Case) -> None:
    """Require that vectors of environments act like single ones, until the first episode ends."""
    case.restore(case.env)
    copies = [deepcopy(case.env) for _ in range(VECTOR_SIZE)]
    makers: Any = [partial(_itself, env) for env in copies]
    _compare(case, MOSyncVectorEnv(makers), "MOSyncVectorEnv")
    spec = case.env.spec
    if spec is not None and spec.vector_entry_point is not None and _knows_nothing(case, spec):
        _compare(case, gym.make_vec(spec, num_envs=VECTOR_SIZE, vectorization_mode="vector_entry_point"), "make_vec")


def _itself(env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
    return env


def _knows_nothing(case: Case, spec: EnvSpec) -> bool:
    """Return whether objectives have learned nothing that newly made environments do not know."""
    if not isinstance(case.env, ResponseEnv):
        return True
    new: Any = gym.make(spec, disable_env_checker=True).unwrapped
    return new.state_dict() == case.learned


def _compare(case: Case, vector: VectorEnv[Any, Any, Any], how: str) -> None:
    """Step a vector and single environments with the same actions."""
    fix = "use one seed per environment, and nothing that environments share"
    singles = [deepcopy(case.env) for _ in range(VECTOR_SIZE)]
    vector_observations, _ = vector.reset(seed=case.seed)
    observations = [env.reset(seed=case.seed + i)[0] for i, env in enumerate(singles)]
    _require_equal(list(iterate(vector.observation_space, vector_observations)), observations, how, "observations", fix)
    space: Any = deepcopy(case.env.action_space)
    space.seed(case.seed)
    for _ in range(case.max_steps):
        actions = [space.sample() for _ in singles]
        empty: Any = create_empty_array(space, VECTOR_SIZE)
        batch = concatenate(space, actions, empty)
        vector_observations, rewards, terminated, truncated, _ = vector.step(batch)
        steps = [env.step(action) for env, action in zip(singles, actions, strict=True)]
        ours = [np.array([step[i] for step in steps]) for i in (1, 2, 3)]
        _require_equal([rewards, terminated, truncated], ours, how, "rewards and ends", fix)
        if terminated.any() or truncated.any():
            break
        seen = list(iterate(vector.observation_space, vector_observations))
        _require_equal(seen, [step[0] for step in steps], how, "observations", fix)


def _require_equal(seen: list[Any], expected: list[Any], how: str, what: str, fix: str) -> None:
    same = data_equivalence(seen, expected, exact=True)
    require(same, f"{how} returns the {what} {shown(seen)}, single environments {shown(expected)}; {fix}")


COPY_RULES: dict[str, Rule] = {
    "pickle": check_pickle,
    "deepcopy": check_deepcopy,
    "wrappers": check_wrappers,
    "vectors": check_vectors,
}
