from __future__ import annotations

import json
import pickle
import warnings
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from paretune.envs import Clarity, MathEnv, Prompt, ResponseEnv, make_env
from paretune.envs.prompts import SPLITS
from paretune.envs.text.rows import INSTRUCTION

MATH500 = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "math500"
needs_math500 = pytest.mark.skipif(not MATH500.is_dir(), reason=f"needs the dataset folder {MATH500}")


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def sums(numbers: range) -> list[dict[str, Any]]:
    return [{"question": f"What is {n} + 1?", "answer": n + 1} for n in numbers]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "sums.jsonl", sums(range(40)))


def questions(env: ResponseEnv, split: Any) -> list[str]:
    return [prompt.text for prompt in env.prompts(split)]


def test_a_file_is_parted_into_disjoint_splits(file: Path) -> None:
    env = MathEnv(file, instruction="")
    splits = [questions(env, split) for split in SPLITS]
    assert [len(split) for split in splits] == [32, 4, 4]
    assert sorted(question for split in splits for question in split) == sorted(
        row["question"] for row in sums(range(40))
    )
    assert all(prompt.split == split for split in SPLITS for prompt in env.prompts(split))
    assert env.skipped == []


def test_the_parting_depends_on_questions_and_seed_alone(file: Path, tmp_path: Path) -> None:
    backwards = write(tmp_path / "backwards.jsonl", sums(range(40))[::-1])
    held_out = {split: set(questions(MathEnv(file, instruction=""), split)) for split in SPLITS}
    other = MathEnv(backwards, instruction="", split="test", system_prompt="", max_tokens=5)
    assert {split: set(questions(other, split)) for split in SPLITS} == held_out
    assert set(questions(MathEnv(file, instruction="", partition_seed=1), "test")) != held_out["test"]


def test_fractions(file: Path) -> None:
    env = MathEnv(file, validation_fraction=0.25, test_fraction=0)
    assert len(env.prompts("validation")) == 10
    with pytest.raises(ValueError, match=r"in split 'test', got \{'train': 30, 'validation': 10, 'test': 0"):
        env.prompts("test")
    with pytest.raises(ValueError, match="must have prompts in split 'test'"):
        MathEnv(file, test_fraction=0, split="test")


def test_a_folder_with_all_splits_is_taken_as_it_is(tmp_path: Path) -> None:
    for name, numbers in (("train", range(5)), ("dev", range(5, 7)), ("test", range(7, 10))):
        write(tmp_path / f"{name}.jsonl", sums(numbers))
    env = MathEnv(tmp_path, instruction="")
    assert questions(env, "train") == [row["question"] for row in sums(range(5))]
    assert [prompt.answer for prompt in env.prompts("validation")] == ["6", "7"]
    assert [prompt.answer for prompt in env.prompts("test", limit=2)] == ["8", "9"]


def test_only_splits_that_are_lacking_are_held_out(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", sums(range(20)))
    write(tmp_path / "test.jsonl", sums(range(20, 23)))
    env = MathEnv(tmp_path)
    assert [len(env.prompts(split)) for split in SPLITS] == [18, 2, 3]


def test_train_loses_questions_that_are_in_other_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", sums(range(5)))
    write(tmp_path / "test.jsonl", sums(range(4, 6)))
    with pytest.warns(UserWarning, match="row 5: the question is in test as well"):
        env = MathEnv(tmp_path, validation_fraction=0)
    assert (len(env.prompts("train")), len(env.prompts("test"))) == (4, 2)


def test_a_folder_without_train_can_be_evaluated_on(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", sums(range(3)))
    assert len(MathEnv(tmp_path, split="test").prompts("test")) == 3
    with pytest.raises(ValueError, match="must have prompts in split 'train'"):
        MathEnv(tmp_path)


def test_rows_left_out_are_reported_once_and_summarised(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", [*sums(range(5)), *[{"question": "?", "answer": None}] * 7])
    with pytest.warns(UserWarning) as caught:
        env = MathEnv(file)
    [warning] = caught
    assert warning.filename == __file__
    lines = str(warning.message).splitlines()
    assert lines[0].endswith("rows.jsonl': number of rows left out: 7")
    assert [line.split(", ")[-1] for line in lines[1:6]] == [f"row {row}: no answer" for row in range(6, 11)]
    assert lines[6] == "  ... and 2 more (see the environment's attribute skipped)"
    assert len(lines) == 7
    assert [(skip.row, skip.reason) for skip in env.skipped] == [(row, "no answer") for row in range(6, 13)]


def test_one_usable_row_is_enough(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", [*sums(range(1)), {"question": ""}])
    with pytest.warns(UserWarning, match="row 2: no question"):
        assert len(MathEnv(file).prompts("train")) == 1


def test_instruction_and_system_prompt(file: Path, tmp_path: Path) -> None:
    prompt = MathEnv(file, system_prompt="Be brief.").prompts("train")[0]
    assert [message["role"] for message in prompt.messages] == ["system", "user"]
    assert prompt.text.startswith("Be brief.\n\nWhat is ")
    assert prompt.text.endswith(f"?\n{INSTRUCTION}")
    chat = [{"prompt": [{"role": "user", "content": "1 + 1?"}], "reward_model": {"ground_truth": "2", "style": "rule"}}]
    assert MathEnv(write(tmp_path / "chat.jsonl", chat)).prompts("train")[0].text == "1 + 1?"


def test_rewards(file: Path) -> None:
    env = MathEnv(file, max_tokens=100)
    [prompt] = env.prompts("train", 1)
    good = f"1. Add one.\n2. That makes \\boxed{{{prompt.answer}}}."
    rewards = env.score([prompt] * 3, [good, f"\\boxed{{{prompt.answer}}}", "Nothing."])
    assert env.objectives == ("accuracy", "conciseness", "clarity")
    assert rewards[:, 0].tolist() == [1, 1, 0]
    assert rewards[:, 2].tolist() == [1, 0, 0]
    assert rewards[1, 1] > rewards[0, 1] > 0.8
    assert env.counts()["accuracy/no_answer"] == 1


def test_options_reach_the_objectives(file: Path) -> None:
    env = MathEnv(file, fallback="last_number", conciseness="relative")
    [prompt] = env.prompts("train", 1)
    assert env.score([prompt], [f"It is {prompt.answer}"])[0, 0] == 1
    assert env.state_dict()["conciseness"]["responses"] == 1
    assert MathEnv(file, objectives=[Clarity()]).objectives == ("clarity",)


def test_long_questions_are_observations(tmp_path: Path) -> None:
    file = write(tmp_path / "long.jsonl", [{"question": "1 + " * 50_000 + "1", "answer": 50_001}])
    env = MathEnv(file)
    assert len(env.reset(seed=0)[0]) > 200_000
    assert env.reset(seed=0)[0] in env.observation_space


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "tset"}, "unknown split 'tset': did you mean 'test'"),
        ({"conciseness": "relativ"}, "unknown conciseness 'relativ': did you mean 'relative'"),
        ({"fallback": "first"}, "fallback"),
        ({"max_tokens": 0}, "max_tokens: must be at least 1"),
        ({"validation_fraction": 1.0}, "validation_fraction: must be at least 0 and below 1, got 1.0"),
        ({"test_fraction": -0.1}, "test_fraction: must be at least 0 and below 1, got -0.1"),
        ({"test_fraction": 0.5, "validation_fraction": 0.5}, r"must be below 1, got 0.5 \+ 0.5"),
        ({"question_column": "text"}, "unknown question_column 'text'"),
        ({"render_mode": "human"}, "render_mode"),
        ({"objectives": []}, "at least one"),
    ],
)
def test_refuses_options(file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MathEnv(file, **options)


def test_unknown_split(file: Path) -> None:
    with pytest.raises(ValueError, match="unknown split 'val'"):
        MathEnv(file).prompts("val")


@pytest.mark.parametrize("copy", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_where_the_original_is(file: Path, copy: Any) -> None:
    env = MathEnv(file)
    env.reset(seed=0)
    twin = copy(env)
    assert twin.step("\\boxed{3}")[1].tolist() == env.step("\\boxed{3}")[1].tolist()
    assert [twin.reset()[0] for _ in range(5)] == [env.reset()[0] for _ in range(5)]


def test_draws_follow_the_generator(file: Path) -> None:
    env = MathEnv(file, split="validation")
    drawn = env.sample_prompts(6, np.random.default_rng(3))
    assert drawn == env.sample_prompts(6, np.random.default_rng(3))
    assert {prompt.split for prompt in drawn} == {"validation"}


@needs_math500
def test_math500() -> None:
    env = make_env("paretune/Math-v0", dataset=MATH500)
    assert isinstance(env, MathEnv)
    assert [len(env.prompts(split)) for split in SPLITS] == [300, 100, 100]
    assert env.skipped == []
    assert len({prompt.text for split in SPLITS for prompt in env.prompts(split)}) == 500
    assert all(prompt.answer and INSTRUCTION not in prompt.text for prompt in env.prompts("train"))
    prompts = [Prompt(prompt.messages, prompt.answer) for prompt in env.prompts("test", 20)]
    assert env.score(prompts, [f"\\boxed{{{prompt.answer}}}" for prompt in prompts])[:, 0].tolist() == [1] * 20
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
    assert [text for text in map(str, caught) if "must be a float, int" not in text] == []  # rewards are vectors
    env.close()


def test_long_prompts_can_be_left_out(tmp_path: Path) -> None:
    rows = [*sums(range(20)), {"question": "What is 1 + 1? " * 9, "answer": 2}]
    file = write(tmp_path / "long.jsonl", rows)
    with pytest.warns(UserWarning, match="row 21: the prompt has 134 characters, more than max_prompt_chars=60"):
        env = MathEnv(file, instruction="", max_prompt_chars=60)
    assert sum(len(env.prompts(split)) for split in SPLITS) == 20 and len(env.skipped) == 1
    with pytest.raises(ValueError, match=r"max_prompt_chars: must let prompts .* through, got 5"):
        MathEnv(file, max_prompt_chars=5)
