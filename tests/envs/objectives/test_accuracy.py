import copy
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet
import pytest

from paretune.envs.judging import math_judge
from paretune.envs.judging.answers import last_boxed
from paretune.envs.judging.verifier import AnswerVerifier
from paretune.envs.objectives.accuracy import Accuracy
from paretune.envs.prompts import Prompt

MATH500 = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "math500"
needs_math500 = pytest.mark.skipif(not MATH500.is_dir(), reason=f"needs the dataset folder {MATH500}")


def prompt(answer):
    return Prompt.from_question("How many?", answer)


@pytest.fixture(scope="module")
def accuracy():
    with AnswerVerifier() as verifier:
        yield Accuracy(verifier=verifier)


@pytest.fixture(scope="module")
def math500():
    """The 500 problems: reference solutions and answers."""
    rows = [row for split in ("train", "val", "test") for row in read(MATH500 / f"{split}.parquet")]
    assert len(rows) == 500
    return [row["solution"] for row in rows], [row["reward_model"]["ground_truth"] for row in rows]


def read(path):
    return pyarrow.parquet.read_table(path, columns=["solution", "reward_model"]).to_pylist()


def another(answers, i):
    """The answer of the next problem whose letters and digits are not those of problem `i`'s answer."""
    spelling = [sorted(filter(str.isalnum, answer)) for answer in answers]
    order = [*range(i + 1, len(answers)), *range(i)]
    return answers[next(j for j in order if spelling[j] != spelling[i])]


def test_the_last_box_decides(accuracy):
    responses = [r"\boxed{3}, no, \boxed{\frac{34}{2}}", r"\boxed{17}, no, \boxed{3}", "17", r"\boxed{17", ""]
    scores = accuracy([prompt("17")] * 5, responses)
    assert scores.dtype == np.float32
    assert scores.tolist() == [1, 0, 0, 0, 0]


def test_the_reference_may_be_a_solution(accuracy):
    assert accuracy([prompt(r"As 2 + 3 = 5, it is \boxed{x + 5}.")], [r"\boxed{5 + x}"]).tolist() == [1]


def test_the_declared_fallback_applies_without_a_box():
    by_number = Accuracy(fallback="last_number")
    responses = ["It is 3, no, 17.", r"\boxed{3}, not 17", r"\boxed{17}, not 3", "none"]
    assert by_number([prompt("17")] * 4, responses).tolist() == [1, 0, 1, 0]
    assert by_number.counts() == {"accuracy/no_answer": 1, "accuracy/undecided": 0}
    with pytest.raises(ValueError, match=r"unknown fallback 'best'\. Known: 'none', 'last_number'"):
        Accuracy(fallback="best")


def test_what_cannot_be_decided_is_wrong_and_counted():
    with AnswerVerifier(workers=1) as verifier:
        accuracy = Accuracy(verifier=verifier)
        responses = [r"\boxed{9^{9^{9^{9}}}}", rf"\boxed{{{'1+' * 200}1}}", r"\boxed{17}", "17"]
        for times in (1, 2):
            assert accuracy([prompt("17")] * 4, responses).tolist() == [0, 0, 1, 0]
            assert accuracy.counts() == {"accuracy/no_answer": times, "accuracy/undecided": 2 * times}


def test_a_prompt_without_reference_is_an_error(accuracy):
    with pytest.raises(ValueError, match=r"prompts: must have a reference answer each, .* got none for number 1"):
        accuracy([prompt("17"), prompt(" ")], ["17", "17"])
    with pytest.raises(ValueError, match="shorter"):
        accuracy([prompt("17"), prompt("17")], ["17"])
    assert accuracy([], []).shape == (0,)


def test_integers_start_no_process():
    with AnswerVerifier() as verifier:
        before = psutil.Process().children()
        responses = [r"\boxed{17}", r"\boxed{18}", r"\boxed{1,017}", "no"]
        assert Accuracy(verifier=verifier)([prompt("17")] * 4, responses).tolist() == [1, 0, 0, 0]
        assert psutil.Process().children() == before


def test_it_works_from_threads_and_counts_right():
    accuracy = Accuracy()
    with ThreadPoolExecutor(4) as threads:
        batch = [r"\boxed{17}", r"\boxed{34/2}", r"\boxed{(17)}", "no"]
        scores = list(threads.map(lambda _: accuracy([prompt("17")] * 4, batch).tolist(), range(16)))
    assert scores == [[1, 1, 1, 0]] * 16
    assert accuracy.counts()["accuracy/no_answer"] == 16
    accuracy.close()


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda objective: pickle.loads(pickle.dumps(objective))])
@pytest.mark.parametrize("verifier", [None, AnswerVerifier(workers=1)])
def test_it_can_be_copied(make_copy, verifier):
    original = Accuracy(fallback="last_number", verifier=verifier)
    twin = make_copy(original)
    assert twin.fallback == "last_number"
    assert twin([prompt("2x")], [r"\boxed{x+x}"]).tolist() == [1]
    twin.close()


@needs_math500
def test_every_reference_solution_of_math500_is_right(accuracy, math500):
    solutions, answers = math500
    assert accuracy([prompt(answer) for answer in answers], solutions).tolist() == [1] * 500
    assert accuracy([prompt(solution) for solution in solutions], solutions).tolist() == [1] * 500


@needs_math500
def test_every_reference_answer_equals_itself_without_the_shortcut_for_equal_strings(math500):
    _, answers = math500
    assert [answer for answer in answers if not math_judge.equal(answer, answer)] == []


@needs_math500
def test_another_problems_answer_in_the_box_is_wrong(accuracy, math500):
    solutions, answers = math500
    wrong = [
        solution.replace(rf"\boxed{{{last_boxed(solution)}}}", rf"\boxed{{{another(answers, i)}}}")
        for i, solution in enumerate(solutions)
    ]
    assert [last_boxed(text) for text in wrong] == [another(answers, i).strip() for i in range(500)]
    assert accuracy([prompt(answer) for answer in answers], wrong).tolist() == [0] * 500


@needs_math500
def test_an_ordinary_batch_of_512_is_quick(math500):
    """The limit is 3 s on two free cores; here it is generous, and the workers are warm."""
    _, answers = math500
    prompts = [prompt(answers[i % 500]) for i in range(512)]
    responses = [rf"\boxed{{{answers[(i + i % 2) % 500]}}}" for i in range(512)]
    with AnswerVerifier() as verifier:
        verifier.equal(["x", "y"], ["2x/2", "2y/2"])
        start = time.monotonic()
        scores = Accuracy(verifier=verifier)(prompts, responses)
        assert time.monotonic() - start < 15
    assert scores[::2].tolist() == [1] * 256
