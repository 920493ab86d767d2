from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs.text.partition import drop_overlap, partition
from paretune.envs.text.rows import Task


def task(question: str, source: str = "rows.jsonl") -> Task:
    return Task(source, 1, question, "0")


FRACTIONS = st.fixed_dictionaries({"validation": st.floats(0, 0.45), "test": st.floats(0, 0.45)})


@given(st.lists(st.text(max_size=5), max_size=40), FRACTIONS, st.integers(0, 3), st.randoms())
def test_partition_is_a_function_of_the_set_of_questions(keys: list[str], fractions: dict, seed: int, random) -> None:
    splits = partition(keys, fractions, seed)
    shuffled = keys + keys[: len(keys) // 2]
    random.shuffle(shuffled)
    assert partition(shuffled, fractions, seed) == splits
    assert set(splits) == set(keys)
    counts = {split: list(splits.values()).count(split) for split in ("train", "validation", "test")}
    assert counts["train"] >= 1 or not keys
    if len(set(keys)) >= 3:
        for split, fraction in fractions.items():
            expected = max(1, round(fraction * len(set(keys)))) if fraction else 0
            assert counts[split] == expected or counts["train"] == 1


@pytest.mark.parametrize(
    ("number", "counts"), [(0, (0, 0, 0)), (1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (100, (80, 10, 10))]
)
def test_partition_sizes(number: int, counts: tuple[int, int, int]) -> None:
    splits = list(partition([str(n) for n in range(number)], {"validation": 0.1, "test": 0.1}).values())
    assert (splits.count("train"), splits.count("validation"), splits.count("test")) == counts


def test_seeds_give_other_partitions() -> None:
    keys = [str(number) for number in range(100)]
    fractions = {"validation": 0.1, "test": 0.1}
    assert partition(keys, fractions, 0) != partition(keys, fractions, 1)


def test_partition_is_the_same_in_every_version() -> None:
    splits = partition([str(number) for number in range(8)], {"validation": 0.25, "test": 0.25})
    held_out = {key: split for key, split in splits.items() if split != "train"}
    assert held_out == {"5": "validation", "4": "validation", "6": "test", "7": "test"}


def test_overlaps_stay_in_test_then_in_validation() -> None:
    tasks = {
        "train": [task("a"), task("a"), task("b"), task("c  d"), task("e")],
        "validation": [task("b"), task("c d"), task("f")],
        "test": [task("c d")],
    }
    stay, skipped = drop_overlap(tasks)
    assert {split: [t.question for t in chosen] for split, chosen in stay.items()} == {
        "train": ["a", "a", "e"],
        "validation": ["b", "f"],
        "test": ["c d"],
    }
    assert sorted(skip.reason for skip in skipped) == [
        "the question is in test as well",
        "the question is in test as well",
        "the question is in validation as well",
    ]
