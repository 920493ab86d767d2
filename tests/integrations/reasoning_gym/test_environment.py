"""Reasoning Gym's own datasets as environments."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("reasoning_gym")

import reasoning_gym
from reasoning_gym.factory import DATASETS

from paretune.agents import GRPO
from paretune.envs import SPLITS, Accuracy, Clarity, Response, check_env
from paretune.envs.judging.pool import JudgePool
from paretune.integrations.reasoning_gym.environment import (
    MAX_ANSWER_CHARS,
    AnswerFormat,
    ReasoningGymEnv,
    TaskAccuracy,
    evaluates_answers,
    last_answer,
    packed,
)

FIVE = ["chain_sum", "leg_counting", "spell_backward", "knights_knaves", "simple_equations"]
HOSTILE = [
    "9**9**9**9",
    "__import__('os').abort()",
    "1e999999999999",
    "nan",
    "9" * 1_000_000,
    ", " * 500_000,
    "(" * 100_000,
    "\ud800\x00",
    "and " * 100_000,
    "{}[]" * 1000,
]


def task_accuracy(env: ReasoningGymEnv) -> TaskAccuracy:
    [accuracy, *_] = env._objectives
    assert isinstance(accuracy, TaskAccuracy)
    return accuracy


@pytest.fixture(scope="module", params=FIVE)
def env(request: pytest.FixtureRequest) -> Iterator[ReasoningGymEnv]:
    env = ReasoningGymEnv(request.param, train=20, held_out=5)
    task_accuracy(env).pool.workers = 1  # they take longer to start than to score
    yield env
    env.close()


@pytest.mark.xdist_group("reasoning_gym")
def test_a_dataset_is_an_environment(env: ReasoningGymEnv) -> None:
    check_env(env)
    assert env.objectives == ("accuracy", "conciseness", "format")
    texts = {split: {prompt.text for prompt in env.prompts(split)} for split in SPLITS}
    assert {split: len(found) for split, found in texts.items()} == {"train": 20, "validation": 5, "test": 5}
    assert len(set.union(*texts.values())) == 30
    prompts = env.prompts("test")
    right = [Response(f"So <answer> {prompt.answer} </answer>", tokens=64) for prompt in prompts]
    assert env.score(prompts, right).tolist() == [[1.0, 0.75, 1.0]] * 5
    wrong = [Response("<answer>?</answer>", tokens=256)] * 5
    assert env.score(prompts, wrong)[:, 0].max() < 0.5 and env.score(prompts, wrong)[:, 1:].tolist() == [[0.0, 1.0]] * 5


@pytest.mark.xdist_group("reasoning_gym")
def test_hostile_answers_are_wrong(env: ReasoningGymEnv) -> None:
    prompts = env.prompts("train", 1) * len(HOSTILE)
    scores = env.score(prompts, [f"<answer>{answer}</answer>" for answer in HOSTILE])
    assert np.isfinite(scores).all() and scores[:, 0].max() < 1
    assert env.score(prompts[:1], ["<answer>" * 100_000]).tolist() == [[0.0, 0.0, 0.0]]


def test_the_last_answer_counts() -> None:
    assert last_answer("<answer>1</answer> no <answer>\n2 </answer> really") == "2"
    for nothing in ("", "2", "<answer>2", "2</answer>", "</answer>2<answer>", "<answer> </answer>"):
        assert last_answer(nothing) == ""
    assert last_answer("<answer>1</answer><answer>2") == "1"


def test_the_format_is_one_answer_at_the_end() -> None:
    prompts = ReasoningGymEnv("chain_sum", train=1, held_out=1).prompts("train") * 5
    good, late, twice, empty, none = "a <answer>1</answer>\n", "<answer>1</answer>.", "<answer>1</answer>" * 2, "", "1"
    assert AnswerFormat()(prompts, [good, late, twice, empty, none]).tolist() == [1, 0, 0, 0, 0]


def test_partial_credit_and_what_fails_are_the_scorers_own() -> None:
    env = ReasoningGymEnv("spell_backward", train=1, held_out=1)
    [prompt] = env.prompts("train")
    half = prompt.answer[0] + "?" * (len(prompt.answer) - 1)
    assert 0 < env.score([prompt], [f"<answer>{half}</answer>"])[0, 0] < 1
    env.score([prompt], ["no answer"])
    assert env.counts() == {"accuracy/no_answer": 1, "accuracy/undecided": 0}
    assert env.score([prompt], [f"<answer>{'1' * (MAX_ANSWER_CHARS + 1)}</answer>"])[0, 0] == 0
    assert env.counts()["accuracy/undecided"] == 0  # the scorer saw nothing


def test_an_answer_that_keeps_its_scorer_busy_costs_seconds() -> None:
    env = ReasoningGymEnv("rubiks_cube", train=1, held_out=1)
    [prompt] = env.prompts("train")
    started = time.monotonic()
    scores = env.score([prompt] * 2, [f"<answer>{'9' * digits}</answer>" for digits in (9, 19)])  # that many moves
    assert time.monotonic() - started < 60 and scores[:, 0].max() < 0.1


def test_what_a_scorer_does_not_decide_is_wrong_and_counted(tmp_path: Path) -> None:
    judge = tmp_path / "judge.py"
    judge.write_text("def make_judge(argument):\n    return lambda entry, answer: eval(answer), ()\n")
    env = ReasoningGymEnv("chain_sum", train=1, held_out=1)
    accuracy, [prompt] = task_accuracy(env), env.prompts("train")
    accuracy.pool = JudgePool(judge, workers=1, time_limit=0.2)
    answers = ["2.5", "-1.0", "0.25", "None", "float('nan')", "1 / 0", "[0 for _ in iter(int, 1)]"]
    assert accuracy([prompt] * 7, [f"<answer>{text}</answer>" for text in answers]).tolist() == [1, 0, 0.25, 0, 0, 0, 0]
    assert accuracy.counts() == {"accuracy/no_answer": 0, "accuracy/undecided": 4}
    accuracy.close()


def test_scores_are_those_of_the_dataset_itself() -> None:
    names = [name for name in sorted(DATASETS)[::6] if name != "composite"]
    made = {name: reasoning_gym.create_dataset(name, seed=0, size=1) for name in names}
    envs = {
        name: ReasoningGymEnv(name, train=2, held_out=1)
        for name in names
        if not evaluates_answers(made[name].score_answer)
    }
    objectives = {name: task_accuracy(env) for name, env in envs.items()}
    arguments = {name: objective.pool.argument for name, objective in objectives.items()}
    [judge] = {objective.pool.judge for objective in objectives.values()}
    pool = JudgePool(Path(__file__).with_name("many_datasets_judge.py"), packed((str(judge), arguments)), workers=1)
    compared = 0
    for name, env in envs.items():
        objectives[name].pool = pool
        for prompt in env.prompts("train"):
            entry = objectives[name].entries[prompt.text]
            for answer in (str(entry["answer"]), str(entry["answer"])[:-1] or "?", "1", "[1, 2]"):
                found = objectives[name]([prompt], [f"<answer>{answer}</answer>"])[0]
                try:
                    expected = env.dataset.score_answer(answer.strip(), entry)
                except Exception:  # an answer that the scorer did not foresee
                    expected = 0.0
                assert found == pytest.approx(expected), (name, answer)
                compared += 1
    pool.close()
    assert compared > 100


def test_scorers_that_evaluate_answers_are_refused() -> None:
    for name in ("countdown", "puzzle24", "n_queens", "binary_matrix", "spiral_matrix", "string_insertion"):
        assert evaluates_answers(reasoning_gym.create_dataset(name, seed=0, size=1).score_answer)
        with pytest.raises(ValueError, match=rf"must not score answers with .* run code in them, got '{name}'"):
            ReasoningGymEnv(name, train=1, held_out=1)
    env = ReasoningGymEnv("countdown", train=2, held_out=1, objectives=[Accuracy("last_number"), Clarity()])
    assert env.objectives == ("accuracy", "clarity") and not evaluates_answers(last_answer)


def test_questions_that_repeat_stay_in_one_split() -> None:
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    env = ReasoningGymEnv("chain_sum", train=300, held_out=30, dataset_options=options)
    texts = [prompt.text for split in SPLITS for prompt in env.prompts(split)]
    assert len(texts) == len(set(texts)) < 360


def test_bad_arguments_are_told() -> None:
    with pytest.raises(ValueError, match="dataset of Reasoning Gym"):
        ReasoningGymEnv("chainsum")
    with pytest.raises(ValueError, match=r"dataset_options: must suit 'chain_sum'.*horns"):
        ReasoningGymEnv("chain_sum", dataset_options={"horns": 2})
    with pytest.raises(ValueError, match="held_out: must be at least 1, got 0"):
        ReasoningGymEnv("chain_sum", held_out=0)
    with pytest.raises(ValueError, match="prompt: must be one of the environment's own, got 'What"):
        ReasoningGymEnv("chain_sum", train=1, held_out=1).score(["What?"], ["1"])


def test_an_agent_trains_on_it() -> None:
    env = ReasoningGymEnv("chain_sum", train=4, held_out=2, instruction="", max_tokens=16)
    agent = GRPO(env, "tiny-math", "saw", prompts_per_step=2, group_size=2, eval_prompts=2)
    assert agent.train(1).steps == 1
