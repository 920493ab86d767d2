"""The conformance checker: our environments pass, and each broken one fails by the rule that it breaks."""

from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import mo_gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv

from paretune.envs import ArithmeticEnv, ConformanceError, StyleEnv, check_env, list_envs, make_env
from paretune.envs.checks.checker import ALL_RULES
from tests.envs import broken_texts, broken_tokens, broken_walks
from tests.envs.broken_walks import Walk

BROKEN = [*broken_walks.BROKEN, *broken_texts.BROKEN, *broken_tokens.BROKEN]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    file = tmp_path / "sums.jsonl"
    rows = [{"question": f"What is {n} + 3?", "answer": n + 3} for n in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("env_id", [info.id for info in list_envs()])
def test_registered_environments_pass_without_a_warning(env_id: str, dataset: Path) -> None:
    options = {"dataset": dataset} if "Math" in env_id else {}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make_env(env_id, **options))


@pytest.mark.parametrize(
    "env",
    [
        ArithmeticEnv(conciseness="relative"),
        ArithmeticEnv(split="test", render_mode="ansi", held_out=8),
        StyleEnv(3, 1, observation="multi_discrete", render_mode="ansi"),
        StyleEnv(12, 12, 4, change_cost=0.1),
    ],
    ids=["learns", "test-split", "one-token", "front-too-large"],
)
def test_options_pass(env: gym.Env) -> None:
    check_env(env)


def test_environments_of_mo_gymnasium() -> None:
    check_env(mo_gymnasium.make("deep-sea-treasure-v0"))
    with pytest.raises(ConformanceError, match=r"BreakableBottles: the reward is \[.*\] of type list"):
        check_env(mo_gymnasium.make("breakable-bottles-v0"))  # it returns lists, on which the wrappers fail


def test_the_smallest_environment_passes() -> None:
    check_env(Walk())
    check_env(Walk(), seed=7, episodes=1, max_steps=1)


@pytest.mark.parametrize(("make", "rule", "message"), BROKEN)
def test_a_broken_environment_is_named(make: Callable[[], gym.Env], rule: str, message: str) -> None:
    env = make()
    with pytest.raises(ConformanceError, match=message) as caught:
        check_env(env)
    assert caught.value.rule == rule
    assert str(caught.value).startswith(f"{rule}: {type(env).__name__}")


def test_every_rule_has_a_broken_environment() -> None:
    assert {rule for _, rule, _ in BROKEN} == set(ALL_RULES)


def test_every_rule_is_described() -> None:
    assert all(f"\n        {rule}  " in (check_env.__doc__ or "") for rule in ALL_RULES)


def test_rules_can_be_skipped() -> None:
    class Local(Walk):
        """Cannot be pickled: it is defined in a function."""

    with pytest.raises(ConformanceError, match=r"pickle: Local: pickling failed: .*top level of a module"):
        check_env(Local())
    check_env(Local(), skip=["pickle"])


def test_learned_state_is_put_back() -> None:
    env = ArithmeticEnv(conciseness="relative")
    env.score(env.prompts("train", 3), ["a", "some more words", ""])
    before = env.state_dict()
    check_env(env)
    assert env.state_dict() == before


def test_errors_can_be_pickled() -> None:
    error = pickle.loads(pickle.dumps(ConformanceError("spaces", "no space")))
    assert (error.rule, error.message, str(error)) == ("spaces", "no space", "spaces: no space")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"env": "paretune/Token-v0"}, "env: must be a gymnasium.Env, got 'paretune/Token-v0'"),
        ({"episodes": 0}, "episodes: must be at least 1, got 0"),
        ({"max_steps": 0}, "max_steps: must be at least 1, got 0"),
        ({"skip": ["pickel"]}, "skip: unknown rule 'pickel': did you mean 'pickle'"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_env(**{"env": Walk()} | arguments)


class HalfRewards(MOSyncVectorEnv):
    def step(self, actions: Any) -> Any:
        observations, rewards, *rest = super().step(actions)
        return observations, rewards / 2, *rest


def make_walks(num_envs: int, kind: type[MOSyncVectorEnv] = MOSyncVectorEnv) -> MOSyncVectorEnv:
    return kind([Walk] * num_envs)


def make_half_walks(num_envs: int) -> MOSyncVectorEnv:
    return make_walks(num_envs, HalfRewards)


def test_vector_entry_points_are_compared() -> None:
    def make(vector_entry_point: Any) -> Walk:
        env = Walk()
        env.spec = EnvSpec("test/Walk-v0", entry_point=Walk, vector_entry_point=vector_entry_point)
        return env

    check_env(make(make_walks))
    with pytest.raises(ConformanceError, match="vectors: Walk: make_vec returns the rewards and ends"):
        check_env(make(make_half_walks))
