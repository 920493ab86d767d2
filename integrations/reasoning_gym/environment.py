"""Any dataset of Reasoning Gym as a text environment: accuracy, conciseness and format.

Reasoning Gym (Stojanovski et al., arXiv 2505.24760) generates tasks and scores answers. Responses are hostile text, and
some of its scorers evaluate answers as Python or with a parser that does: datasets whose scorer can reach such a
function are refused. Answers are bounded in length before a scorer sees them, and scorers run in worker processes with
limits of time and memory: one of them turns an answer of "9999999999" into that many moves.

Shapes: B responses.
"""

from __future__ import annotations

import base64
import pickle
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from paretune.envs import SPLITS, Conciseness, Objective, Prompt, ResponseEnv, Scores, Split
from paretune.envs.judging.pool import JudgePool
from paretune.envs.suggest import unknown_name
from paretune.envs.text.response import check_split

try:
    import reasoning_gym
    from reasoning_gym.factory import DATASETS
except ImportError as error:
    raise ImportError(
        'paretune.integrations.reasoning_gym needs the extra "reasoning-gym": pip install "paretune[reasoning-gym]"'
    ) from error

__all__ = ["AnswerFormat", "ReasoningGymEnv", "TaskAccuracy", "evaluates_answers", "last_answer"]

OPEN, CLOSE = "<answer>", "</answer>"
INSTRUCTION = f"Think step by step, then write your final answer between {OPEN} and {CLOSE}."
MAX_ANSWER_CHARS = 2000
"""Longer answers are wrong, unless the reference answer is longer itself: a scorer sees at most twice its length."""
EVALUATORS = frozenset(
    {"eval", "exec", "compile", "__import__", "parse_expr", "sympify", "parse_latex", "literal_eval", "system", "run"}
)
"""Names of functions that no text of a policy may reach."""


def last_answer(response: str) -> str:
    """Return what stands in the last `<answer>...</answer>` of a response, stripped; "" if there is none.

    Example:
        >>> last_answer("Perhaps <answer>3</answer>, no: <answer> 4 </answer>")
        '4'
    """
    end = response.rfind(CLOSE)
    start = response.rfind(OPEN, 0, max(end, 0))
    return response[start + len(OPEN) : end].strip() if 0 <= start < end else ""


class TaskAccuracy(Objective):
    """The dataset's own score of the answer, in [0, 1]; many give partial credit.

    Answers that its scorer fails on, or takes too long over, are wrong, and counted: `counts()` gives
    `accuracy/undecided` and `accuracy/no_answer` since the objective was made.

    Attributes:
        pool: What runs the dataset's scorer.
        entries: The dataset's entries by the prompts' texts.
    """

    name = "accuracy"

    def __init__(self, dataset: str, options: Mapping[str, Any], entries: Mapping[str, dict[str, Any]]) -> None:
        """Set up; no process starts yet.

        Args:
            dataset: The dataset's name.
            options: Its options.
            entries: Its entries by the prompts' texts.
        """
        self.pool = JudgePool(Path(__file__).with_name("judge.py"), packed((dataset, dict(options))))
        self.entries = entries
        self._no_answer = self._undecided = 0

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Score responses to prompts of the environment, (B,).

        Raises:
            ValueError: If a prompt is not one of the environment's.
        """
        entries = {prompt.text: self._entry(prompt) for prompt in prompts}
        texts = {text: packed(entry) for text, entry in entries.items()}
        answers = [last_answer(response) for response in responses]
        pairs = {
            number: (texts[prompt.text], answer)
            for number, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
            if answer and len(answer) <= max(MAX_ANSWER_CHARS, 2 * len(str(entries[prompt.text]["answer"])))
        }
        verdicts = self.pool.verdicts(pairs.values())
        scores = np.zeros(len(prompts), dtype=np.float32)
        for number, pair in pairs.items():
            score = verdicts.get(pair)
            if score is None or not np.isfinite(score):
                self._undecided += 1
            else:
                scores[number] = min(max(score, 0.0), 1.0)
        self._no_answer += answers.count("")
        return scores

    def counts(self) -> dict[str, int]:
        """Return the numbers of responses without an answer, and of answers that the scorer failed on."""
        return {"accuracy/no_answer": self._no_answer, "accuracy/undecided": self._undecided}

    def close(self) -> None:
        """End the processes; they start again when needed."""
        self.pool.close()

    def _entry(self, prompt: Prompt) -> dict[str, Any]:
        entry = self.entries.get(prompt.text)
        if entry is None:
            raise ValueError(f"prompt: must be one of the environment's own, got {prompt.text[:80]!r}")
        return entry


def packed(thing: Any) -> str:
    """Return something as text for `judge.py`, which trusts this process."""
    return base64.b64encode(pickle.dumps(thing)).decode()


class AnswerFormat(Objective):
    """1 where a response ends with its one answer between `<answer>` and `</answer>`, else 0.

    Example:
        >>> AnswerFormat()([Prompt.from_question("1 + 1?")] * 2, ["It is <answer>2</answer>", "It is 2."])
        array([1., 0.], dtype=float32)
    """

    name = "format"

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Score responses, (B,)."""
        return np.array(
            [
                response.count(OPEN) == response.count(CLOSE) == 1
                and response.rstrip().endswith(CLOSE)
                and last_answer(response) != ""
                for response in responses
            ],
            dtype=np.float32,
        )


class ReasoningGymEnv(ResponseEnv):
    """A dataset of Reasoning Gym; objectives are accuracy, conciseness and format.

    Splits are ranges of the dataset's indices; a question that comes twice stays in one split only: test keeps it, then
    validation.

    Attributes:
        dataset: Reasoning Gym's dataset.

    Example:
        >>> from paretune.envs import Response
        >>> env = ReasoningGymEnv("leg_counting", train=4, held_out=2)
        >>> prompt = env.prompts("train")[0]
        >>> response = Response(f"<answer>{prompt.answer}</answer>", tokens=64)
        >>> env.score([prompt], [response]).tolist()
        [[1.0, 0.75, 1.0]]
    """

    def __init__(
        self,
        dataset: str,
        *,
        dataset_options: Mapping[str, Any] | None = None,
        train: int = 1000,
        held_out: int = 100,
        seed: int = 0,
        max_tokens: int = 256,
        objectives: Sequence[Objective] | None = None,
        evaluation_only: Sequence[Objective | str] = (),
        system_prompt: str = "",
        instruction: str = INSTRUCTION,
        split: Split = "train",
        render_mode: str | None = None,
    ) -> None:
        """Generate the tasks.

        Args:
            dataset: Its name, such as "leg_counting".
            dataset_options: Options of the dataset, such as {"max_animals": 4}.
            train: How many training tasks are generated, at least 1; fewer are left where questions repeat.
            held_out: How many tasks of validation and of test, at least 1.
            seed: Seed of the dataset.
            max_tokens: The longest response, in tokens, that a policy should write.
            objectives: Objectives instead of accuracy, conciseness and format; needed for datasets whose own scorer is
                refused.
            evaluation_only: Objectives that evaluations report and training never sees.
            system_prompt: A system message before each question.
            instruction: A line after each question.
            split: The split that `reset` and `sample_prompts` draw from.
            render_mode: "ansi" or None.

        Raises:
            ValueError: If there is no such dataset, it does not know an option, its scorer evaluates answers, or
                another argument breaks its rule.
        """
        for name, count in (("train", train), ("held_out", held_out)):
            if count < 1:
                raise ValueError(f"{name}: must be at least 1, got {count}")
        counts: dict[Split, int] = {"train": train, "validation": held_out, "test": held_out}
        options = {"seed": seed, "size": sum(counts.values())} | dict(dataset_options or {})
        self.dataset = _make_dataset(dataset, options)
        entries: dict[str, dict[str, Any]] = {}
        if objectives is None:
            _refuse_evaluators(dataset, self.dataset.score_answer)
            objectives = [TaskAccuracy(dataset, options, entries), Conciseness(max_tokens), AnswerFormat()]
        super().__init__(
            objectives, max_tokens=max_tokens, evaluation_only=evaluation_only, split=split, render_mode=render_mode
        )
        self._prompts: dict[Split, list[Prompt]] = {}
        end = sum(counts.values())
        for name in reversed(SPLITS):  # the one that comes first keeps a question
            start = end - counts[name]
            self._prompts[name] = self._take(range(start, end), name, entries, system_prompt, instruction)
            end = start

    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        """Return the prompts of a split (the first `limit` of them), no question twice."""
        return self._prompts[check_split(split)][:limit]

    def _take(
        self, indices: Iterable[int], split: Split, entries: dict[str, Any], system_prompt: str, instruction: str
    ) -> list[Prompt]:
        """Return the prompts of tasks whose questions are not among `entries`, and put them there."""
        prompts = []
        for entry in map(self.dataset.__getitem__, indices):
            question, answer = str(entry["question"]), str(entry["answer"])
            prompt = Prompt.from_question(
                question, answer, split=split, system_prompt=system_prompt, instruction=instruction
            )
            if prompt.text not in entries:
                entries[prompt.text] = entry
                prompts.append(prompt)
        if not prompts:
            raise ValueError(
                f"dataset: must have enough different questions, got none that is left for {split}; ask for fewer tasks"
            )
        return prompts


def evaluates_answers(scorer: Callable[..., Any]) -> str:
    """Return the name of a function that evaluates text and that a scorer can reach in its package, or "".

    Names are followed through the code of functions and methods, so that it errs on the side of caution.
    """
    owner = type(getattr(scorer, "__self__", None))
    seen: set[types.CodeType] = set()
    waiting = [getattr(scorer, "__func__", scorer)]
    while waiting:
        function = waiting.pop()
        code = getattr(function, "__code__", None)
        if code is None or code in seen:
            continue
        seen.add(code)
        for name in _names(code):
            if name in EVALUATORS:
                return name
            for found in (function.__globals__.get(name), getattr(owner, name, None)):
                if getattr(found, "__module__", "").startswith("reasoning_gym"):
                    waiting.append(found)
    return ""


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _make_dataset(name: str, options: dict[str, Any]) -> Any:
    if name not in DATASETS:
        raise ValueError(unknown_name("dataset of Reasoning Gym", name, DATASETS))
    try:
        return reasoning_gym.create_dataset(name, **options)
    except (TypeError, AssertionError) as error:
        raise ValueError(f"dataset_options: must suit {name!r}, got {options}: {error}") from error


def _refuse_evaluators(dataset: str, scorer: Callable[..., Any]) -> None:
    found = evaluates_answers(scorer)
    if found:
        raise ValueError(
            f"dataset: must not score answers with a function that can run code in them, got {dataset!r}, which does "
            f"({found}); give objectives of your own, such as paretune.envs.Accuracy, or choose another dataset"
        )
