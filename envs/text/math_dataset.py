"""Mathematics problems out of a dataset: a file, a folder of splits, or the Hugging Face hub."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence

from paretune.envs.objectives.base import Objective
from paretune.envs.objectives.combining import ObjectiveFunction
from paretune.envs.objectives.defaults import DEFAULT_OBJECTIVES, ConcisenessRule, default_objectives
from paretune.envs.prompts import SPLITS, Prompt, Split
from paretune.envs.text.partition import drop_overlap, partition
from paretune.envs.text.response import MAX_PROMPT_CHARS, ResponseEnv, check_split
from paretune.envs.text.rows import SHOWN_ROWS, Task, read_tasks
from paretune.envs.text.sources import Skipped, load_sources
from paretune.envs.text.spaces import UnicodeText


class MathEnv(ResponseEnv):
    r"""Mathematics problems from a JSONL, CSV or Parquet file, a folder of splits, or the Hugging Face hub.

    Two layouts are recognised without help: verl's, with chat messages in `prompt` and the answer in
    `reward_model.ground_truth`, and plain columns such as question and answer or problem and solution. Splits that the
    dataset lacks are held out of its train split; no question is ever in two splits.

    Attributes:
        skipped: The rows that were left out, with the reason; there has been a warning if there are any.

    Example:
        >>> import json, pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "sums.jsonl"
        >>> rows = [{"question": f"What is {n} + 1?", "answer": n + 1} for n in range(20)]
        >>> _ = file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        >>> env = MathEnv(file)
        >>> len(env.prompts("train")), len(env.prompts("validation")), len(env.prompts("test"))
        (16, 2, 2)
    """

    default_objectives = DEFAULT_OBJECTIVES

    def __init__(
        self,
        dataset: str | os.PathLike[str],
        *,
        config_name: str | None = None,
        revision: str | None = None,
        question_column: str | None = None,
        answer_column: str | None = None,
        validation_fraction: float = 0.1,
        test_fraction: float = 0.1,
        partition_seed: int = 0,
        split: Split = "train",
        max_tokens: int = 1024,
        conciseness: ConcisenessRule = "absolute",
        silence_is_concise: bool = False,
        fallback: str = "none",
        objectives: Sequence[Objective | ObjectiveFunction] | None = None,
        evaluation_only: Sequence[Objective | ObjectiveFunction | str] = (),
        system_prompt: str = "",
        instruction: str | None = None,
        max_prompt_chars: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        r"""Read the dataset.

        Args:
            dataset: A .jsonl, .json, .csv or .parquet file; or a folder of such files named train, validation (or val,
                valid, dev) and test; or the id of a dataset on the hub.
            config_name: Configuration of a dataset on the hub.
            revision: Branch, tag or commit of a dataset on the hub.
            question_column: Where questions (texts or chat messages) are; dots lead into nested fields. None looks for
                a common name.
            answer_column: Where answers are, likewise: the answer itself, or a worked solution that ends in
                `\boxed{...}` or `#### 42`.
            validation_fraction: Share of train's questions held out if the dataset has no validation split.
            test_fraction: Share of train's questions held out if the dataset has no test split.
            partition_seed: Which questions are held out.
            split: The split that `reset` and `sample_prompts` draw from.
            max_tokens: The longest response, in tokens, that a policy should write.
            conciseness: "absolute" is 1 - tokens / max_tokens, "relative" is whether a response is shorter than the
                running mean of all training responses.
            silence_is_concise: Whether a response without a final answer may be concise, as in arXiv 2509.11452.
            fallback: What counts as the final answer of a response without a box.
            objectives: Objectives or named functions instead of accuracy, conciseness and clarity.
            evaluation_only: Objectives that evaluations report and training never sees: names of objectives above, such
                as "clarity", or further ones.
            system_prompt: A system message before each problem, instead of the dataset's own.
            instruction: A line after each problem; None asks for numbered steps and a box after plain questions, and
                leaves chat messages as they are.
            max_prompt_chars: Longest prompt in characters; rows with longer ones are left out. None takes all.
            render_mode: "ansi" or None.

        Raises:
            ValueError: If the dataset cannot be read, has no usable row in a file, lacks a column, or has nothing in
                `split`; or if another option breaks its rule.
        """
        fractions = _checked_fractions(validation_fraction, test_fraction)
        if objectives is None:
            objectives = default_objectives(max_tokens, fallback, conciseness, silence_is_concise)
        super().__init__(
            objectives, max_tokens=max_tokens, evaluation_only=evaluation_only, split=split, render_mode=render_mode
        )
        self._dataset = os.fspath(dataset)
        tasks, self.skipped = _load_tasks(dataset, config_name, revision, question_column, answer_column)
        if max_prompt_chars is not None:
            tasks, long = _leave_long_out(tasks, max_prompt_chars, system_prompt, instruction)
            self.skipped += long
            if not any(tasks.values()):
                raise ValueError(
                    f"max_prompt_chars: must let prompts of {self._dataset!r} through, got {max_prompt_chars}"
                )
        self._prompts: dict[Split, list[Prompt]] = {
            name: [task.prompt(name, system_prompt, instruction) for task in chosen]
            for name, chosen in _fill_splits(tasks, fractions, partition_seed).items()
        }
        longest = max(len(prompt.text) for prompts in self._prompts.values() for prompt in prompts)
        self.observation_space = UnicodeText(max(MAX_PROMPT_CHARS, longest))
        self.prompts(split)
        if self.skipped:
            warnings.warn(_summary(self._dataset, self.skipped), stacklevel=2)

    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        """Return the prompts of a split (the first `limit` of them), in the dataset's order.

        Raises:
            ValueError: If there is no such split, or nothing in it.
        """
        prompts = self._prompts[check_split(split)]
        if not prompts:
            sizes = {name: len(prompts) for name, prompts in self._prompts.items()}
            raise ValueError(
                f"dataset: must have prompts in split {split!r}, got {sizes} in {self._dataset!r}; add rows or a file "
                "for it, or hold some of train out with validation_fraction or test_fraction"
            )
        return prompts[:limit]


def _checked_fractions(validation: float, test: float) -> dict[Split, float]:
    """Return the fractions by split."""
    for name, fraction in (("validation_fraction", validation), ("test_fraction", test)):
        if not 0 <= fraction < 1:
            raise ValueError(f"{name}: must be at least 0 and below 1, got {fraction}")
    if validation + test >= 1:
        raise ValueError(f"validation_fraction + test_fraction: must be below 1, got {validation} + {test}")
    return {"validation": validation, "test": test}


def _load_tasks(
    dataset: str | os.PathLike[str],
    config_name: str | None,
    revision: str | None,
    question_column: str | None,
    answer_column: str | None,
) -> tuple[dict[Split, list[Task]], list[Skipped]]:
    """Return the tasks of the splits that the dataset has, none of them in two, and the rows left out."""
    tasks: dict[Split, list[Task]] = {}
    skipped = []
    for split, source in load_sources(dataset, config_name=config_name, revision=revision).items():
        tasks[split], unusable = read_tasks(source, question_column, answer_column)
        skipped += unusable
    distinct, repeated = drop_overlap(tasks)
    return {split: distinct[split] for split in tasks}, skipped + repeated


def _leave_long_out(
    tasks: Mapping[Split, list[Task]], longest: int, system_prompt: str, instruction: str | None
) -> tuple[dict[Split, list[Task]], list[Skipped]]:
    """Return the tasks whose prompts have at most `longest` characters, and the rows of the others."""
    kept: dict[Split, list[Task]] = {split: [] for split in tasks}
    left_out = []
    for split, chosen in tasks.items():
        for task in chosen:
            size = len(task.prompt(split, system_prompt, instruction).text)
            if size <= longest:
                kept[split].append(task)
            else:
                reason = f"the prompt has {size} characters, more than max_prompt_chars={longest}"
                left_out.append(Skipped(task.source, task.row, reason))
    return kept, left_out


def _fill_splits(tasks: dict[Split, list[Task]], fractions: dict[Split, float], seed: int) -> dict[Split, list[Task]]:
    """Return all three splits; those that the dataset lacks are held out of train."""
    lacking = {split: fraction for split, fraction in fractions.items() if split not in tasks}
    train = tasks.get("train", [])
    keys = [task.key for task in train]
    split_of = partition(keys, lacking, seed)
    filled: dict[Split, list[Task]] = {split: [] if split == "train" else tasks.get(split, []) for split in SPLITS}
    for key, task in zip(keys, train, strict=True):
        filled[split_of[key]].append(task)
    return filled


def _summary(dataset: str, skipped: Sequence[Skipped]) -> str:
    """Return one text about all rows that were left out, of which the first are named."""
    lines = [f"dataset {dataset!r}: number of rows left out: {len(skipped)}", *map(str, skipped[:SHOWN_ROWS])]
    if len(skipped) > SHOWN_ROWS:
        lines.append(f"... and {len(skipped) - SHOWN_ROWS} more (see the environment's attribute skipped)")
    return "\n  ".join(lines)
