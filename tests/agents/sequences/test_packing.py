"""Splitting sequences into forward passes: the best split, within the budget, with little padding."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.agents.sequences.packing import micro_batches


def padded(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    return sum(len(rows) * int(lengths[rows].max()) for rows in batches)


def padding_share(lengths: np.ndarray, max_tokens: int) -> float:
    batches = micro_batches(np.arange(len(lengths)), lengths, max_tokens)
    return 1 - lengths.sum() / padded(lengths, batches)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(1, 60), st.integers(0, 20))
def test_no_split_into_runs_of_similar_lengths_is_cheaper(values, budget, pass_cost):
    lengths = np.array(values)
    batches = micro_batches(np.arange(len(values)), lengths, budget, pass_cost)
    assert sorted(np.concatenate(batches)) == list(range(len(values)))
    ordered = np.argsort(-lengths, kind="stable")
    costs = []
    for cuts in (c for n in range(len(values)) for c in combinations(range(1, len(values)), n)):
        parts = np.split(ordered, cuts)
        if all(len(part) == 1 or padded(lengths, [part]) <= budget for part in parts):
            costs.append(padded(lengths, parts) + pass_cost * len(parts))
    assert padded(lengths, batches) + pass_cost * len(batches) == min(costs)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("max_tokens", [8192, 32_768])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: rng.integers(10, 1000, 256),
        lambda rng: 30 + np.clip(rng.lognormal(6, 0.7, 512), 1, 2048).astype(int),
        lambda rng: rng.integers(20, 60, 512) + np.where(rng.random(512) < 0.5, 5, 900),
        lambda rng: np.minimum(rng.geometric(0.003, 1024), 1024),
        lambda rng: np.minimum(20 + rng.geometric(0.005, 32), 1024),
    ],
    ids=["uniform", "lognormal", "two lengths", "geometric", "few"],
)
def test_padding_is_less_than_a_tenth(draw, max_tokens, seed):
    assert padding_share(draw(np.random.default_rng(seed)), max_tokens) < 0.1


def test_short_sequences_do_not_get_passes_of_their_own():
    lengths = np.array([12, 3, 9, 1, 1, 7])
    assert len(micro_batches(np.arange(6), lengths, 8192)) == 1
