from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from paretune.envs.prompts import Prompt
from paretune.envs.text.arithmetic import ArithmeticEnv
from paretune.envs.text.problems import Problem
from tests.examples.scripts import Run, load_script

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\n"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    with pytest.MonkeyPatch.context() as monkeypatch:
        return load_script("pretrain_tiny", monkeypatch)


def test_worked_steps_are_right_but_for_the_slips(script: ModuleType) -> None:
    problem, rng = Problem((12, 7, 3), "+-"), np.random.default_rng(0)
    drawn = [script.worked_steps(problem, rng) for _ in range(2000)]
    assert sum(answer == 16 for _, answer in drawn) / 2000 == pytest.approx(1 - script.SLIPS, abs=0.03)
    assert {answer for _, answer in drawn} == {16, 17, 18, 26}
    assert (["12+7=19", "19-3=16"], 16) in drawn
    assert (["12+7=20", "20-3=17"], 17) in drawn
    assert (["12+7=19", "19-3=18"], 18) in drawn


def test_styles_read_as_documented(script: ModuleType) -> None:
    problem, rng = Problem((12, 7, 3), "+-"), np.random.default_rng(0)
    texts = {name: {style.write(problem, rng) for _ in range(200)} for name, style in script.STYLES.items()}
    assert "1. 12+7=19\n2. 19-3=16\n\\boxed{16}" in texts["steps"]
    assert "1. 12+7=20\n2. 20-3=17\n\\boxed{17}" in texts["steps"]
    assert "We have 12+7=19, 19-3=16." in texts["working"]
    assert "1. +7\n2. -3\n\\boxed{16}" in texts["plan"]
    assert "\\boxed{16}" in texts["terse"]
    assert {"It is 16.", "The answer is 16.", "It is 17."} <= texts["prose"]
    assert all(script.style_of(text) == style for style, written in texts.items() for text in written)
    assert script.style_of("12+7-3 is 16") == script.OTHER


def test_short_styles_are_unclear_and_clear_ones_long(script: ModuleType) -> None:
    env, rng = ArithmeticEnv(), np.random.default_rng(0)
    problems = env.sample_problems(3000, rng)
    questions = [env.word(problem, rng) for problem in problems]
    demonstrations = [script.demonstrate(*pair, rng) for pair in zip(problems, questions, strict=True)]
    prompts = [Prompt.from_question("", str(problem.answer)) for problem in problems]
    rewards = env.score(prompts, demonstrations)
    styles = np.array([script.style_of(text) for text in demonstrations])
    accuracy, conciseness, clarity = (
        {style: rewards[styles == style, k].mean() for style in script.STYLES} for k in range(3)
    )
    assert set(styles) == set(script.STYLES)
    assert all(0.75 < mean < 0.95 for mean in accuracy.values())
    assert conciseness["steps"] < conciseness["plan"] < conciseness["terse"]
    assert conciseness["steps"] < conciseness["working"] < conciseness["terse"]
    assert {style for style in script.STYLES if clarity[style] == 1} == {"steps", "plan"}
    env.close()


@given(text=TEXT)
def test_tokenizer_has_one_token_per_character(script: ModuleType, text: str) -> None:
    tokenizer = script.make_tokenizer()
    tokens = tokenizer.encode(text)
    assert len(tokens) == len(text)
    assert tokenizer.decode(tokens) == text
    assert not set(tokens) & set(tokenizer.all_special_ids)


@pytest.mark.slow
def test_script_teaches_and_saves_a_model(tmp_path: Path, script: ModuleType, run: Run) -> None:
    out = tmp_path / "model"
    small = ["--out", out, "--steps", "12", "--batch", "32", "--report-every", "2", "--eval-prompts", "8"]
    done = run("pretrain_tiny", *small)
    assert done.returncode == 0
    losses = [float(loss) for loss in re.findall(r"loss (\d+\.\d+)", done.stdout)]
    assert len(losses) == 6
    assert losses[-1] < losses[0] - 0.5
    assert re.search(r"accuracy .* \d\.\d{3} .* \d\.\d{3}", done.stdout)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    assert model.num_parameters() == script.make_model(tokenizer).num_parameters() <= 1_200_000
    assert tokenizer.decode(tokenizer.encode("12+7-3=?\n")) == "12+7-3=?\n"
