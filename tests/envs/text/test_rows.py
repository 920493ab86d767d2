from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs.text.rows import INSTRUCTION, Task, UnusableRowError, as_answer, as_question, read_tasks
from paretune.envs.text.sources import Skipped, Source

USER = {"role": "user", "content": "What is 1 + 1?"}
SYSTEM = {"role": "system", "content": "Be brief."}


def source(*rows: dict[str, Any]) -> Source:
    return Source("rows.jsonl", dict(enumerate(rows, start=1)))


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"question": "1 + 1?", "answer": 2}, "2"),
        ({"Question": "1 + 1?", "Answer": "2"}, "2"),
        ({"problem": "1 + 1?", "solution": "It is \\boxed{2}.", "answer": "2.0"}, "2.0"),
        ({"problem": "1 + 1?", "solution": "It is \\boxed{2}."}, "2"),
        ({"prompt": "1 + 1?", "answer": "two"}, "two"),
        ({"question": "1 + 1?", "answer": "1 + 1 = <<1+1=2>>2\nSo\n#### 1,002"}, "1,002"),
        ({"problem": "other", "answer": "3", "prompt": "1 + 1?", "reward_model": {"ground_truth": "2"}}, "2"),
    ],
)
def test_common_layouts(row: dict[str, Any], answer: str) -> None:
    assert read_tasks(source(row)) == ([Task("rows.jsonl", 1, "1 + 1?", answer)], [])


def test_named_columns_and_nested_fields() -> None:
    rows = source({"question": "no", "answer": "no", "data": {"ask": "1 + 1?", "to": {"say": "2"}}, "a.b": "3"})
    [task], _ = read_tasks(rows, "data.ask", "data.to.say")
    assert (task.question, task.answer) == ("1 + 1?", "2")
    assert read_tasks(rows, "data.ask", "a.b")[0][0].answer == "3"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"question_column": "questoin"}, "unknown question_column 'questoin': did you mean 'question'"),
        ({"answer_column": "meta.anser"}, "unknown answer_column 'meta.anser': did you mean 'meta.answer'"),
    ],
)
def test_named_columns_that_are_not_there(options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_tasks(source({"question": "1", "answer": "2", "meta": {"answer": "3"}}), **options)


def test_missing_columns_name_what_is_there_and_what_is_wanted() -> None:
    with pytest.raises(ValueError, match=r"one of the columns \['question', .* got \['questions', 'answer'\]") as e:
        read_tasks(source({"questions": "1 + 1?", "answer": "2"}))
    assert "did you mean question_column='questions'?" in str(e.value)
    with pytest.raises(ValueError, match=r"got \['question', 'zzz'\] in .*; name it with answer_column="):
        read_tasks(source({"question": "1 + 1?", "zzz": "2"}))


def test_unusable_rows_are_reported_in_order() -> None:
    rows = source(
        {"question": "  ", "answer": "1"},
        {"question": "1 + 1?", "answer": "2"},
        {"question": "1 + 2?"},
        {"question": ["1 + 3?"], "answer": "4"},
    )
    rows.skipped.append(Skipped("rows.jsonl", 2, "not a valid JSON object"))
    tasks, skipped = read_tasks(rows)
    assert [task.answer for task in tasks] == ["2"]
    assert [(skip.row, skip.reason) for skip in skipped] == [
        (1, "no question"),
        (2, "not a valid JSON object"),
        (3, "no answer"),
        (4, "the chat messages need a role and a content each, both text"),
    ]


def test_a_file_without_usable_rows() -> None:
    with pytest.raises(ValueError, match=r"got none among the 9 of 'rows.jsonl'\n  row 1: no answer\n"):
        read_tasks(source(*[{"question": "1 + 1?", "answer": None}] * 9))
    with pytest.raises(ValueError, match="must have a usable row, got none among the 0 of"):
        read_tasks(source())


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (18, "18"),
        (18.0, "18"),
        (0.5, "0.5"),
        (" 42 ", "42"),
        (r"So \boxed{1}, no, \boxed{\frac{1}{2}}. Done.", r"\frac{1}{2}"),
        ("#### Step 1\nAdd.\n#### 7", "7"),
        ("#### Step 1\nAdd to \\boxed{7}", "7"),
        ("\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\\n2 \\end{pmatrix}"),
        (r"\text{even, and all of them}", r"\text{even, and all of them}"),
    ],
)
def test_answers(value: Any, answer: str) -> None:
    assert as_answer(value) == answer


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no answer"),
        ("", "no answer"),
        (float("nan"), "no answer"),
        ("So\n#### ", "no answer after ####"),
        ([2], "the answer is a list"),
        ({"value": 2}, "the answer is a object"),
        (r"So \boxed{}", "last box of the answer is empty or not closed"),
        (r"So \boxed{2", "last box of the answer is empty or not closed"),
        ("First add.\nIt is 4.", "worked solution without a final"),
        ("First we add the two numbers, which makes the answer four.", "worked solution without a final"),
        ("1" * 201, "worked solution without a final"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_values_without_an_answer(value: Any, reason: str) -> None:
    with pytest.raises(UnusableRowError, match=re.escape(reason)):
        as_answer(value)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())))
def test_any_value_has_an_answer_or_a_reason(value: Any) -> None:
    try:
        answer = as_answer(value)
    except UnusableRowError as reason:
        assert str(reason)
    else:
        assert answer == answer.strip() != ""


def test_chat_messages() -> None:
    assert as_question([SYSTEM, USER | {"name": "me"}]) == (SYSTEM, USER)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no question"),
        ([], "no question"),
        ("", "no question"),
        (7, "the question is a int"),
        ([USER, {"role": "user"}], "need a role and a content"),
        ([USER, {"role": "user", "content": None}], "need a role and a content"),
        ([USER, {"role": "assistant", "content": "2"}], "the last chat message is not the user's but the assistant's"),
        ([{"role": "user", "content": " \n"}], "no question"),
        ([{"role": "user", "content": "\ud800"}], "not valid Unicode"),
        ("\ud800", "not valid Unicode"),
    ],
)
def test_values_without_a_question(value: Any, reason: str) -> None:
    with pytest.raises(UnusableRowError, match=re.escape(reason)):
        as_question(value)


def test_prompts_of_plain_questions() -> None:
    task = Task("rows.jsonl", 1, "1 + 1?", "2")
    prompt = task.prompt("test")
    assert prompt.messages == ({"role": "user", "content": f"1 + 1?\n{INSTRUCTION}"},)
    assert (prompt.answer, prompt.split) == ("2", "test")
    assert task.prompt("train", "Be brief.", "").text == "Be brief.\n\n1 + 1?"


def test_prompts_of_chat_messages() -> None:
    task = Task("rows.jsonl", 1, (SYSTEM, USER), "2")
    assert task.prompt("train").messages == (SYSTEM, USER)
    assert task.prompt("train", "Think.", "Box it.").messages == (
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "What is 1 + 1?\nBox it."},
    )
    assert USER["content"] == "What is 1 + 1?"


def test_key_ignores_white_space_only() -> None:
    plain = Task("a", 1, " What is\n1 + 1? ", "2")
    assert plain.key == Task("b", 2, (USER,), "3").key == "What is 1 + 1?"
    assert plain.key != Task("a", 1, "what is 1 + 1?", "2").key
