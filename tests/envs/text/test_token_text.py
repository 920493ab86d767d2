"""Token-level tasks as texts: scores against stepping, prompts, fronts, and training on one."""

from __future__ import annotations

import string
import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs import DeceptiveEnv, StyleEnv, TokenEnv, TokenText, list_envs, make_env
from paretune.envs.prompts import SPLITS
from paretune.envs.tokens.fronts import convex_set, pareto_set

TASKS = [info.id for info in list_envs() if info.id.startswith("paretune/Token") and "observation" in info.options]


def write(task: TokenEnv, tokens: Any) -> str:
    return "".join(task.symbols[token] for token in tokens)


@pytest.mark.parametrize("task_id", TASKS)
def test_scores_equal_stepping(task_id: str) -> None:
    env = TokenText(task_id)
    texts = np.random.default_rng(0).integers(env.task.vocabulary, size=(20, env.task.length))
    texts[0] = env.task.vocabulary - 1
    scores = env.score(["anything"] * 20, [write(env.task, text) for text in texts])
    assert (scores.shape, scores.dtype) == ((20, env.reward_dim), np.float32)
    for text, score in zip(texts, scores, strict=True):
        env.task.reset()
        stepped = sum(env.task.step(token)[1].astype(np.float64) for token in text)
        np.testing.assert_allclose(score, np.clip(stepped, 0, 1), atol=1e-6)
    assert scores.any()


def test_what_is_no_text_of_the_task_scores_0() -> None:
    env = TokenText(StyleEnv(4, 3, shape="linear"))
    good = ["aaa", " ddd\n", "\t\u00a0add "]
    bad = ["", "aa", "aaaa", "aae", "a a", "AAA", "a" * 1_000_000, " " * 1_000_000, "\x00aa", "\ud800aa", "aá"]
    scores = env.score(["?"] * 14, good + bad)
    np.testing.assert_allclose(scores[:2], [[0.1, 1.0], [1.0, 0.1]], atol=1e-6)
    assert scores[2].tolist() == [0.0, pytest.approx(0.0, abs=1e-6)]  # a change costs all that could be earned
    assert not scores[3:].any()
    assert env.score([], []).shape == (0, 2)


@given(st.lists(st.text(max_size=8) | st.text("abcd ", min_size=2, max_size=5), max_size=5))
def test_any_text_gets_scores_in_the_unit_cube(responses: list[str]) -> None:
    env = TokenText(StyleEnv(4, 3, change_cost=9.0))
    scores = env.score(["?"] * len(responses), responses)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_a_small_cost_lets_random_texts_score() -> None:
    texts = np.random.default_rng(0).integers(16, size=(500, 10))
    for change_cost, least, most, points in ((1.0, 0.0, 0.01, 16), (0.1, 0.8, 0.95, 31)):
        env = TokenText(task_options={"change_cost": change_cost})
        scores = env.score(["?"] * 500, [write(env.task, text) for text in texts])
        assert least <= scores.any(axis=1).mean() <= most
        assert len(env.pareto_front()) == points


@pytest.mark.parametrize(
    "task",
    [
        StyleEnv(4, 3),
        StyleEnv(3, 4, shape="concave", change_cost=0.05),
        StyleEnv(3, 3, 3, change_cost=0.2),
        DeceptiveEnv(5, 5),
        DeceptiveEnv(4, 6, change_cost=0.6),
    ],
)
def test_fronts_are_those_of_all_rewards(task: TokenEnv) -> None:
    env = TokenText(task)
    rewards = np.clip(task.returns(list(product(range(task.vocabulary), repeat=task.length))), 0, 1)
    np.testing.assert_allclose(env.pareto_front(), pareto_set(rewards), atol=1e-9)
    np.testing.assert_allclose(env.convex_front(0.5), convex_set(rewards), atol=1e-9)
    kept = [point for point in task.pareto_front() if (point > 0).all()]
    assert all(np.isclose(env.pareto_front(), point).all(axis=1).any() for point in kept)


@pytest.mark.parametrize("name", ["Convex", "Concave", "Disconnected", "Three"])
def test_fronts_in_the_unit_cube_are_those_of_the_task(name: str) -> None:
    env = TokenText(f"paretune/Token{name}-v0")
    np.testing.assert_array_equal(env.pareto_front(), env.task.pareto_front())
    np.testing.assert_array_equal(env.convex_front(), env.task.convex_front())


def test_prompts_are_fixed_disjoint_and_readable() -> None:
    env = make_env("paretune/TokenText-v0", held_out=20)
    texts = {split: [prompt.text for prompt in env.prompts(split)] for split in SPLITS}
    assert texts["train"][0] == "Text 1: write 10 letters from a to p."
    assert texts["test"][-1] == "Text 60: write 10 letters from a to p."
    assert len({text for split in SPLITS for text in texts[split]}) == 60
    assert [prompt.text for prompt in env.prompts("validation", 2)] == texts["validation"][:2]
    assert all(prompt.split == split for split in SPLITS for prompt in env.prompts(split))
    rng = np.random.default_rng(0)
    assert {prompt.text for prompt in env.sample_prompts(20, rng)} == set(texts["train"])
    assert env.max_tokens == 11


@pytest.mark.parametrize("task_id", TASKS)
def test_prompts_and_symbols_are_ascii_at_default_sizes(task_id: str) -> None:
    env = TokenText(task_id)
    printable = set(string.ascii_letters + string.digits + string.punctuation + " ")
    assert set(env.prompts("train")[0].text + env.task.symbols) <= printable


@pytest.mark.parametrize(
    ("vocabulary", "length", "said"),
    [
        (2, 1, "1 letter from a to b"),
        (26, 5, "5 letters from a to z"),
        (27, 5, "5 letters from a to z, A"),
        (62, 5, "5 letters from a to z, A to Z, 0 to 9"),
        (64, 5, '5 letters from a to z, A to Z, 0 to 9, ! to "'),
        (256, 5, "5 letters from a to z, A to Z, 0 to 9, ! to ~, Ā to ơ"),
    ],
)
def test_prompts_say_the_letters(vocabulary: int, length: int, said: str) -> None:
    env = TokenText(StyleEnv(vocabulary, length))
    assert env.prompts("train")[0].text == f"Text 1: write {said}."
    assert len(set(env.task.symbols)) == vocabulary
    assert not any(symbol.isspace() for symbol in env.task.symbols)


def test_checker() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(make_env("paretune/TokenText-v0"))
    assert [str(item.message) for item in caught if "must be a float, int" not in str(item.message)] == []


def test_options_choose_the_task() -> None:
    env = make_env("paretune/TokenText-v0", task="paretune/TokenThree-v0", task_options={"vocabulary": 5, "length": 2})
    assert env.objectives == ("style_0", "style_1", "style_2")
    assert (env.task.vocabulary, env.task.length, env.max_tokens) == (5, 2, 3)
    task = DeceptiveEnv()
    assert TokenText(task).task is task


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "paretune/TokenConcav-v0"}, "unknown environment .* did you mean 'paretune/TokenConcave-v0'"),
        ({"task": "paretune/Arithmetic-v0"}, "task: must be a TokenEnv or the id of one, got 'paretune/Arithmetic-v0'"),
        ({"task_options": {"size": 3}}, "unknown option of paretune/TokenConcave-v0 'size'"),
        ({"task_options": {"length": 0}}, "length: must be at least 1, got 0"),
        ({"task": StyleEnv(), "task_options": {"length": 3}}, "task_options: must be empty when task is not an id"),
        ({"held_out": 0}, "held_out: must be from 1 to 100000, got 0"),
        ({"split": "dev"}, "unknown split 'dev'"),
        ({"render_mode": "human"}, "render_mode: must be 'ansi' or None, got 'human'"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenText(**options)


def test_a_language_model_trains_on_it(tmp_path: Any) -> None:
    from paretune.agents import GRPO

    settings: dict[str, Any] = {"prompts_per_step": 2, "group_size": 2, "eval_prompts": 2, "pictures": False}
    agent = GRPO("paretune/TokenText-v0", "tiny-math", "fixed", out=tmp_path / "run", **settings)
    agent.train(1)
    assert np.isfinite(agent.evaluate("test")).all()
