"""From rows of any common layout to tasks: a question, or chat messages that ask one, and the reference answer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from paretune.envs.judging.answers import last_boxed
from paretune.envs.prompts import Message, Prompt, Split
from paretune.envs.suggest import unknown_name
from paretune.envs.text.sources import Skipped, Source

QUESTION_COLUMNS = ("question", "problem", "prompt", "query", "instruction", "input")
ANSWER_COLUMNS = ("reward_model.ground_truth", "final_answer", "answer", "ground_truth", "solution", "target", "output")
VERL_COLUMNS = ("prompt", "reward_model.ground_truth")
"""Where both exist they are taken, whatever other columns there are; otherwise the first of each list above."""

INSTRUCTION = "Solve the problem in numbered steps and put the final answer in \\boxed{}."
"""What is put behind plain questions; chat messages are taken to say what they want."""

SHOWN_ROWS = 5
"""How many unusable rows a message names one by one."""

LONGEST_ANSWER = 200  # characters
MOST_ANSWER_WORDS = 8
_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")


@dataclass(frozen=True, slots=True)
class Task:
    """A usable row.

    Attributes:
        source: The file or hub split that it came from.
        row: Its number there.
        question: A plain question, or chat messages.
        answer: The reference answer, not empty.
    """

    source: str
    row: int
    question: str | tuple[Message, ...]
    answer: str

    @property
    def key(self) -> str:
        """The question's text without differences in white space: what makes two questions the same."""
        text = self.question if isinstance(self.question, str) else Prompt(self.question).text
        return " ".join(text.split())

    def prompt(self, split: Split, system_prompt: str = "", instruction: str | None = None) -> Prompt:
        """Return the task as a prompt.

        Args:
            split: The split that it is put in.
            system_prompt: Content of a leading system message, instead of the row's own; empty keeps that.
            instruction: A line behind the question; None is `INSTRUCTION` for a plain question, nothing for messages.
        """
        if isinstance(self.question, str):
            instruction = INSTRUCTION if instruction is None else instruction
            return Prompt.from_question(
                self.question, self.answer, split=split, system_prompt=system_prompt, instruction=instruction
            )
        messages = list(self.question)
        if system_prompt:
            others = [message for message in messages if message["role"] != "system"]
            messages = [Message(role="system", content=system_prompt), *others]
        if instruction:
            content = f"{messages[-1]['content']}\n{instruction}"
            messages[-1] = Message(role=messages[-1]["role"], content=content)
        return Prompt(tuple(messages), self.answer, split)


class UnusableRowError(Exception):
    """Says why a row has no question or no answer."""


def read_tasks(
    source: Source, question_column: str | None = None, answer_column: str | None = None
) -> tuple[list[Task], list[Skipped]]:
    """Make tasks of rows.

    Args:
        source: The rows.
        question_column: Where questions are, a dot before each nested field; None looks for common layouts.
        answer_column: Where answers are, likewise. An answer may be a worked solution that ends in a box or `#### 42`.

    Returns:
        The tasks, at least one, and the rows that cannot be used, in the order of the source.

    Raises:
        ValueError: If the columns are not there, or no row can be used.
    """
    skipped = list(source.skipped)
    tasks = []
    if source.rows:
        question_column, answer_column = _find_columns(source, question_column, answer_column)
        for number, row in source.rows.items():
            try:
                question, answer = as_question(_field(row, question_column)), as_answer(_field(row, answer_column))
                tasks.append(Task(source.name, number, question, answer))
            except UnusableRowError as reason:
                skipped.append(Skipped(source.name, number, str(reason)))
    skipped.sort(key=lambda skip: skip.row)
    if not tasks:
        reasons = "".join(f"\n  row {skip.row}: {skip.reason}" for skip in skipped[:SHOWN_ROWS])
        raise ValueError(
            f"dataset: must have a usable row, got none among the {len(skipped)} of {source.name!r}{reasons}"
        )
    return tasks, skipped


def as_question(value: Any) -> str | tuple[Message, ...]:
    """Return a field's value as a plain question or as chat messages of which the user's is the last.

    Raises:
        UnusableRowError: If it is neither.
    """
    if isinstance(value, str):
        return _checked_text(value.strip(), "question")
    if not isinstance(value, Sequence) or not value:
        raise UnusableRowError("no question" if value is None or value == [] else f"the question is a {_kind(value)}")
    messages = []
    for turn in value:
        role, content = (turn.get("role"), turn.get("content")) if isinstance(turn, Mapping) else (None, None)
        if not isinstance(role, str) or not isinstance(content, str):
            raise UnusableRowError("the chat messages need a role and a content each, both text")
        messages.append(Message(role=role, content=content))
    if messages[-1]["role"] != "user":
        raise UnusableRowError(f"the last chat message is not the user's but the {messages[-1]['role']}'s")
    _checked_text(messages[-1]["content"].strip(), "question")
    return tuple(messages)


def as_answer(value: Any) -> str:
    r"""Return a field's value as a reference answer.

    Worked solutions are cut down to what their last `\boxed{...}` holds, else to what follows `####` on the last line.

    Raises:
        UnusableRowError: If there is no answer in it.

    Example:
        >>> as_answer("6 * 7 = <<6*7=42>>42\n#### 42"), as_answer(18.0)
        ('42', '18')
    """
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        raise UnusableRowError("no answer")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str | int | float):
        raise UnusableRowError(f"the answer is a {_kind(value)}")
    text = _checked_text(str(value).strip(), "answer")
    if "\\boxed" in text or "\\fbox" in text:
        boxed = last_boxed(text)
        if boxed is None:
            raise UnusableRowError("the last box of the answer is empty or not closed")
        return boxed
    _, mark, last = text.rpartition("####")
    if mark and "\n" not in last.strip():
        return _checked_text(last.strip(), "answer after ####")
    several_lines = "\n" in text and "\\begin" not in text
    if several_lines or len(text) > LONGEST_ANSWER or len(_WORD.findall(text)) > MOST_ANSWER_WORDS:
        raise UnusableRowError("the answer is a worked solution without a final \\boxed{...} or #### line")
    return text


def _checked_text(text: str, kind: str) -> str:
    if not text:
        raise UnusableRowError(f"no {kind}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UnusableRowError(f"the {kind} is not valid Unicode") from error
    return text


def _kind(value: Any) -> str:
    """Return what a value is called in JSON."""
    if isinstance(value, Mapping):
        return "object"
    return "list" if isinstance(value, Sequence) else type(value).__name__


def _find_columns(source: Source, question: str | None, answer: str | None) -> tuple[str, str]:
    """Return the paths of question and answer: those given, or the first of the common ones that exist."""
    found = list(dict.fromkeys(path for row in source.rows.values() for path in _paths(row)))
    for option, given in (("question_column", question), ("answer_column", answer)):
        if given is not None and given not in found:
            raise ValueError(f"dataset: {source.name!r}: {unknown_name(option, given, found)}")
    if question is None and answer is None and set(VERL_COLUMNS) <= set(found):
        return VERL_COLUMNS
    return (
        question or _first_known("question_column", QUESTION_COLUMNS, found, source.name),
        answer or _first_known("answer_column", ANSWER_COLUMNS, found, source.name),
    )


def _first_known(option: str, candidates: Sequence[str], found: Sequence[str], source: str) -> str:
    """Return the first of the candidates, in any case, that is found."""
    by_lower = {path.lower(): path for path in reversed(found)}
    for candidate in candidates:
        if candidate in by_lower:
            return by_lower[candidate]
    near = [path for path in found if get_close_matches(path.lower(), candidates, cutoff=0.75)]
    question = f"; did you mean {option}={near[0]!r}?" if near else f"; name it with {option}="
    raise ValueError(
        f"dataset: must have one of the columns {list(candidates)}, got {list(found)} in {source!r}{question}"
    )


def _paths(row: Mapping[str, Any], prefix: str = "", depth: int = 3) -> Iterable[str]:
    """Yield the dotted paths of a row's fields, nested ones down to `depth` levels."""
    for name, value in row.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping) and depth > 1:
            yield from _paths(value, f"{prefix}{name}.", depth - 1)


def _field(row: Mapping[str, Any], path: str) -> Any:
    """Return the field at a dotted path (a name that holds a dot itself comes first), None if it is not there."""
    if path in row:
        return row[path]
    name, dot, rest = path.partition(".")
    inner = row.get(name)
    return _field(inner, rest) if dot and isinstance(inner, Mapping) else None
