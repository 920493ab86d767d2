"""Splits that never share a question."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

from paretune.envs.prompts import SPLITS, Split
from paretune.envs.text.rows import Task
from paretune.envs.text.sources import Skipped


def drop_overlap(tasks: Mapping[Split, Sequence[Task]]) -> tuple[dict[Split, list[Task]], list[Skipped]]:
    """Leave each question in one split only: test keeps it, then validation.

    Args:
        tasks: Tasks by split.

    Returns:
        The tasks that stay, and what was left out.
    """
    stay: dict[Split, list[Task]] = {}
    skipped = []
    owner: dict[str, Split] = {}
    for split in reversed(SPLITS):
        stay[split] = []
        for task in tasks.get(split, ()):
            other = owner.setdefault(task.key, split)
            if other == split:
                stay[split].append(task)
            else:
                skipped.append(Skipped(task.source, task.row, f"the question is in {other} as well"))
    return stay, skipped


def partition(keys: Iterable[str], fractions: Mapping[Split, float], seed: int = 0) -> dict[str, Split]:
    """Hold questions out of a training set, by the order of a hash of their text.

    The order of the questions and repetitions do not matter. Each fraction above 0 gets at least one question, as long
    as one is left for train.

    Args:
        keys: The questions.
        fractions: The share of the questions that goes to each split to be filled; the rest is train.
        seed: Another seed is another partition.

    Returns:
        The split of every question.

    Example:
        >>> sorted(partition(["1+1", "1+2", "1+3", "1+4"], {"validation": 0.25, "test": 0.25}).values())
        ['test', 'train', 'train', 'validation']
    """
    order = sorted(set(keys), key=lambda key: hashlib.blake2b(f"{seed}\n{key}".encode(), digest_size=16).digest())
    held: dict[str, Split] = {}
    for split, fraction in fractions.items():
        count = max(1, round(fraction * len(order))) if fraction > 0 else 0
        held |= dict.fromkeys(order[len(held) : -1][:count], split)
    return {key: held.get(key, "train") for key in order}
