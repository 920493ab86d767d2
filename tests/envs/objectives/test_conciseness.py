import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs import make_env
from paretune.envs.objectives.conciseness import Conciseness, RelativeConciseness, estimate_tokens
from paretune.envs.objectives.defaults import default_objectives
from paretune.envs.prompts import Prompt, Response

TRAIN = Prompt.from_question("What is 1 + 1?", "2")
TEST = Prompt.from_question("What is 1 + 1?", "2", split="test")


def of_lengths(*lengths):
    return [Response("x", tokens=length) for length in lengths]


def test_absolute_rule():
    scores = Conciseness(max_tokens=100)([TRAIN] * 5, of_lengths(0, 25, 100, 101, 10**9))
    assert scores.dtype == np.float32
    assert scores.tolist() == [1, 0.75, 0, 0, 0]


def test_plain_text_is_counted_or_estimated():
    assert estimate_tokens("") == 0
    assert estimate_tokens("abcde") == 2
    assert estimate_tokens("\N{EURO SIGN}\ud800") == 2  # three bytes each
    assert Conciseness(10)([TRAIN] * 2, ["abcde", "a"]).tolist() == pytest.approx([0.8, 0.9])
    words = Conciseness(10, count_tokens=lambda text: len(text.split()))
    assert words([TRAIN] * 2, ["a b c", Response("a b c", tokens=5)]).tolist() == pytest.approx([0.7, 0.5])


SILENT = ["", " \n\t", Response("", tokens=0), Response(" ", tokens=1)]


def test_silence_is_not_concise_unless_asked_for():
    assert Conciseness(10)([TRAIN] * 5, [*SILENT, "a"]).tolist() == pytest.approx([0, 0, 0, 0, 0.9])
    assert Conciseness(10, answers=None)([TRAIN] * 4, SILENT).tolist() == pytest.approx([1, 0.9, 1, 0.9])
    relative = RelativeConciseness(10)
    assert relative([TRAIN] * 3, [Response("", tokens=0), *of_lengths(1, 9)]).tolist() == [0, 1, 0]
    assert relative.state_dict() == {"responses": 3, "tokens": 10}  # it counts in the mean
    assert RelativeConciseness(10, answers=None)([TRAIN] * 2, [Response("", tokens=0), *of_lengths(4)]).tolist() == [
        1,
        0,
    ]


@pytest.mark.parametrize(("silence_is_concise", "expected"), [(False, [0.9, 0.9, 0, 0]), (True, [0.9, 0.9, 0.9, 1])])
@pytest.mark.parametrize("conciseness", ["absolute", "relative"])
def test_in_mathematics_tasks_a_final_answer_is_what_counts(silence_is_concise, expected, conciseness):
    _, objective, _ = default_objectives(10, "last_number", conciseness, silence_is_concise)
    responses = [Response(r"\boxed{4}", tokens=1), Response("so 4", tokens=1), Response("so four", tokens=1), SILENT[2]]
    assert objective([TEST] * 4, responses).tolist() == pytest.approx(expected)
    env = make_env(
        "paretune/Arithmetic-v0", max_tokens=10, conciseness=conciseness, silence_is_concise=silence_is_concise
    )
    assert env.score([TEST] * 4, responses)[:, 1].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", [Conciseness, RelativeConciseness])
def test_max_tokens_must_be_positive(kind):
    with pytest.raises(ValueError, match="max_tokens: must be at least 1, got 0"):
        kind(0)


def test_relative_rule_compares_with_earlier_training_responses():
    objective = RelativeConciseness(max_tokens=100)
    assert objective([TRAIN] * 3, of_lengths(10, 20, 30)).tolist() == [1, 0, 0]  # the batch's own mean, 20
    assert objective([TRAIN] * 2, of_lengths(19, 99)).tolist() == [1, 0]  # mean 20
    assert objective([TRAIN] * 2, of_lengths(35, 36)).tolist() == [1, 0]  # mean 178 / 5 = 35.6


def test_relative_rule_leaves_evaluation_absolute():
    objective = RelativeConciseness(max_tokens=100)
    assert objective([TRAIN, TEST, TRAIN], of_lengths(10, 50, 30)).tolist() == [1, 0.5, 0]
    before = objective.state_dict()
    assert objective([TEST] * 2, of_lengths(5, 95)).tolist() == pytest.approx([0.95, 0.05])
    assert objective.state_dict() == before == {"responses": 2, "tokens": 40}
    assert objective([], []).shape == (0,)


@given(st.lists(st.lists(st.integers(0, 3000), min_size=1, max_size=6), min_size=2, max_size=6))
def test_relative_rule_resumes_exactly(batches):
    through, resumed = RelativeConciseness(3000), RelativeConciseness(3000)
    for batch in batches:
        expected = through([TRAIN] * len(batch), of_lengths(*batch))
        restored = RelativeConciseness(3000)
        restored.load_state_dict(json.loads(json.dumps(resumed.state_dict())))
        resumed = restored
        assert resumed([TRAIN] * len(batch), of_lengths(*batch)).tolist() == expected.tolist()


@given(st.lists(st.integers(0, 10_000), min_size=2), st.integers(1, 5000))
def test_absolute_rule_is_monotone_and_bounded(lengths, max_tokens):
    scores = Conciseness(max_tokens)([TRAIN] * len(lengths), of_lengths(*sorted(lengths))).tolist()
    assert all(1 >= shorter >= longer >= 0 for shorter, longer in pairwise(scores))
