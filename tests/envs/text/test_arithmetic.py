from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from paretune.envs.prompts import SPLITS, Prompt
from paretune.envs.text.arithmetic import ArithmeticEnv
from paretune.envs.text.problems import Problem
from paretune.envs.text.word_problems import STORIES

SIGNS = {
    "+": {"gets", "buys", "picks up", "gains", "bakes", "receives", "finds", "earns", "welcomes", "adds", "wins"},
    "-": {"gives away", "sells", "drops off", "loses", "eats", "drops", "spends", "misses", "removes", "forfeits"},
    "*": {"ends up with"},
}
OPTIONS = st.fixed_dictionaries(
    {
        "terms": st.integers(3, 6),
        "largest": st.integers(8, 1000),
        "operations": st.sampled_from(["+", "+-", "+*", "+-*", "-+"]),
        "word_problems": st.sampled_from([0.0, 0.5, 1.0]),
        "held_out": st.integers(1, 20),
    }
)


def read(question: str) -> tuple[list[int], str]:
    """Read the numbers and operations out of a question's text, by another route than the environment's."""
    numbers = [int(number) for number in re.findall(r"\d+", question)]
    if question.endswith("=?"):
        return numbers, "".join(re.findall(r"[-+*]", question))
    changes = question.split(". ")[1]
    phrases = re.findall(r"(?:^[A-Z]\w+ |, |then )((?!then )[a-z][a-z ]*?) \d+", changes)
    return numbers, "".join(sign for phrase in phrases for sign, known in SIGNS.items() if phrase in known)


def solve(question: str) -> int:
    """Compute a question's answer from its text."""
    (total, *numbers), signs = read(question)
    for sign, number in zip(signs, numbers, strict=True):
        total = {"+": total + number, "-": total - number, "*": total * number}[sign]
        assert total >= 0
    assert question[0].isalpha() or total == eval(question[:-2])
    return total


def problem_of(prompt: Prompt) -> tuple[tuple[int, ...], str]:
    """The problem behind a prompt, whatever its wording."""
    numbers, signs = read(prompt.text)
    return tuple(numbers), signs


def test_formula_and_story_by_hand() -> None:
    problem = Problem((12, 7, 3), "+-")
    assert (problem.expression, problem.totals, problem.answer) == ("12+7-3", (12, 19, 16), 16)
    story = STORIES[0].tell(problem.numbers, problem.operations)
    assert story == "Ann has 12 pens. She gets 7 more, then gives away 3. How many pens now?"
    assert STORIES[1].tell((1, 2), "*") == "Ben owns 1 card. He ends up with 2 times as many. How many cards now?"


@pytest.mark.parametrize(
    ("numbers", "operations", "expression", "answer"),
    [
        ((2, 3, 4), "+*", "(2+3)*4", 20),
        ((2, 3, 4), "*+", "2*3+4", 10),
        ((9, 3, 4, 1, 2), "-*+*", "((9-3)*4+1)*2", 50),
        ((2, 3, 4), "**", "2*3*4", 24),
    ],
)
def test_brackets_keep_the_order_of_the_changes(
    numbers: tuple[int, ...], operations: str, expression: str, answer: int
) -> None:
    problem = Problem(numbers, operations)
    assert problem.expression == expression
    assert problem.answer == answer == eval(expression)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.opening)
@pytest.mark.parametrize("operations", ["+", "-", "*", "+-", "-+*", "++--*"])
def test_stories_tell_the_operations(story: Any, operations: str) -> None:
    problem = Problem((90, 7, 5, 4, 3, 2)[: len(operations) + 1], operations)
    text = story.tell(problem.numbers, operations)
    assert solve(text) == problem.answer
    assert re.findall(r"\d+", text) == [str(number) for number in problem.numbers]
    assert text.isascii() and "{" not in text


@settings(max_examples=40, deadline=None)
@given(options=OPTIONS, seed=st.integers(0, 2**32))
def test_prompts_obey_the_options_and_answers_are_right(options: dict[str, Any], seed: int) -> None:
    env = ArithmeticEnv(**options)
    prompts = env.sample_prompts(20, np.random.default_rng(seed))
    prompts += [prompt for split in SPLITS for prompt in env.prompts(split)]
    for prompt in prompts:
        numbers, signs = read(prompt.text)
        assert set(signs) <= set(options["operations"])
        assert len(numbers) == options["terms"]
        assert all(1 <= number <= options["largest"] for number in numbers)
        assert solve(prompt.text) == int(prompt.answer) >= 0
        assert prompt.text.endswith("=?") is not prompt.text[0].isalpha()
    if options["word_problems"] in (0.0, 1.0):
        assert {prompt.text[0].isalpha() for prompt in prompts} == {options["word_problems"] == 1.0}


def test_splits_are_disjoint_and_without_duplicates() -> None:
    env = ArithmeticEnv()
    held = {split: {problem_of(prompt) for prompt in env.prompts(split)} for split in ("validation", "test")}
    train = {problem_of(prompt) for prompt in env.sample_prompts(4000, np.random.default_rng(0))}
    assert {split: len(problems) for split, problems in held.items()} == {"validation": 256, "test": 256}
    assert not held["validation"] & held["test"]
    assert not train & (held["validation"] | held["test"])
    assert {prompt.split for prompt in env.prompts("test")} == {"test"}


@given(seed=st.integers(0, 2**32), terms=st.integers(2, 6), largest=st.integers(2, 10**6))
def test_split_follows_the_problem_and_not_the_environment(seed: int, terms: int, largest: int) -> None:
    problem = Problem.draw(np.random.default_rng(seed), terms, largest, "+-*")
    assume(problem is not None)
    assert problem.split == Problem(problem.numbers, problem.operations).split
    assert min(problem.totals) >= 0
    assert eval(problem.expression) == problem.answer == problem.totals[-1]


def test_split_shares() -> None:
    rng = np.random.default_rng(0)
    splits = [Problem.draw(rng, 4, 100, "+").split for _ in range(8000)]
    assert splits.count("test") / 8000 == pytest.approx(1 / 8, abs=0.015)
    assert splits.count("validation") / 8000 == pytest.approx(1 / 8, abs=0.015)


def test_same_seeds_give_the_same_prompts() -> None:
    first, second = ArithmeticEnv(), ArithmeticEnv(split="test")
    assert first.prompts("validation") == second.prompts("validation")
    assert first.prompts("validation", limit=5) == first.prompts("validation")[:5]
    draws = [env.sample_prompts(10, np.random.default_rng(3)) for env in (first, ArithmeticEnv(), second)]
    assert draws[0] == draws[1] != draws[2]
    assert first.sample_prompts(10, np.random.default_rng(4)) != draws[0]
    assert all(prompt in second.prompts("test") for prompt in draws[2])
    assert first.reset(seed=5)[0] == ArithmeticEnv().reset(seed=5)[0]


def test_share_of_stories() -> None:
    prompts = ArithmeticEnv(word_problems=0.3).sample_prompts(4000, np.random.default_rng(0))
    stories = [prompt.text for prompt in prompts if prompt.text[0].isalpha()]
    assert len(stories) / 4000 == pytest.approx(0.3, abs=0.03)
    assert len({text.split()[0] + text.split()[1] for text in stories}) >= len(STORIES) - 1


def test_system_prompt_and_instruction_surround_the_problem() -> None:
    env = ArithmeticEnv(system_prompt="You add.", instruction="Use a box.", word_problems=0)
    system, user = env.prompts("test")[0].messages
    assert system == {"role": "system", "content": "You add."}
    assert re.fullmatch(r"[-+0-9]+=\?\nUse a box\.", user["content"])


def test_rewards_of_typical_answers() -> None:
    env = ArithmeticEnv(word_problems=0)
    assert list(env.objectives) == ["accuracy", "conciseness", "clarity"]
    prompt = Prompt.from_question("12+7-3=?", "16")
    responses = ["1. 12+7=19\n2. 19-3=16\n\\boxed{16}", "\\boxed{16}", "It is 16.", "We have 12+7=19, 19-3=15.", ""]
    rewards = env.score([prompt] * 5, responses)
    np.testing.assert_array_equal(rewards[:, 0], [1, 1, 1, 0, 0])
    np.testing.assert_array_equal(rewards[:, 2], [1, 0, 0, 0, 0])
    assert rewards[0, 1] < rewards[1, 1]
    env.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"terms": 1}, r"terms: must be a whole number from 2 to 6, got 1"),
        ({"terms": 7}, r"terms: .* got 7"),
        ({"terms": 2.5}, r"terms: .* got 2\.5"),
        ({"largest": 1}, r"largest: must be .* from 2 to 1000000, got 1"),
        ({"held_out": 0}, r"held_out: must be .* got 0"),
        ({"operations": ""}, r"operations: must be .* got ''"),
        ({"operations": "+/"}, r"operations: must be .* got '\+/'"),
        ({"word_problems": 1.5}, r"word_problems: must be from 0 to 1, got 1\.5"),
        ({"word_problems": float("nan")}, r"word_problems: .* got nan"),
        ({"conciseness": "short"}, r"unknown conciseness 'short'"),
        ({"fallback": "guess"}, r"fallback .*'guess'"),
        ({"split": "dev"}, r"split .*'dev'"),
        ({"max_tokens": 0}, r"max_tokens: .* 0"),
        (
            {"terms": 6, "largest": 2, "operations": "-"},
            r"held_out: must be at most .* got .* the 0 found for train",
        ),
        ({"terms": 2, "largest": 3}, r"held_out: must be at most .* lower held_out, or raise terms or largest"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArithmeticEnv(**options)
