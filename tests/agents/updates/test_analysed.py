"""What is reused of compared gradients: when that suffices for an update, and what it is worth."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from paretune.agents import AgentSettings
from paretune.agents.sequences.rollout import Tokens
from paretune.agents.updates.analysed import Analysed, linear, may_keep
from paretune.weighting import GradientAnalyzer
from tests.agents.updates.test_passes import passes, some_tokens

KEPT: Any = SimpleNamespace(size=48 * 4)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, True), ({"kl": 0.1}, False), ({"entropy": 0.1}, False), ({"epochs": 2}, False), ({"minibatches": 2}, False)],
)
def test_one_update_of_the_policy_that_sampled_is_linear_in_the_advantages(settings, expected):
    assert linear(AgentSettings(lr=1.0, clip=0.2, importance_cap=2.0, **settings)) == expected


def allowed(choice: str = "all", mode: Any = "exact", policy: dict[str, Any] | None = None, **settings) -> bool:
    made = passes(**settings)
    vars(made.policy).update(policy or {})
    return may_keep(made, GradientAnalyzer(made.policy.model, choice, mode), [some_tokens()])


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 2},
        {"gradient_reuse": False},
        {"choice": "last:1"},  # the update needs the gradients of all
        {"mode": "backward"},
        {"tokens_per_batch": 31},  # four responses to prompts of one token fill 4 x 4
        {"zero_stage": 1},
        {"policy": {"gradient_checkpointing": True}},
        {"policy": {"logits_at_once": 7}},
    ],
    ids=str,
)
def test_factors_are_kept_unless_one_thing_speaks_against_it(options):
    assert allowed() and allowed(mode="sketch") and allowed(tokens_per_batch=32)
    assert not allowed(**options)


def test_coefficients_are_the_advantages_of_sequences_or_of_decisions_in_the_order_of_the_passes():
    tokens, rows = some_tokens(), [np.array([1, 3]), np.array([0])]
    parts: list[tuple[np.ndarray, Tokens, torch.Tensor]] = [
        (part, tokens.select(part), torch.zeros(0)) for part in rows
    ]
    analysed = Analysed(np.array([0, 1, 3]), parts, KEPT, 1.0)
    of_sequences = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    assert analysed.coefficients(of_sequences).tolist() == [2, 4, 1]
    of_decisions = torch.arange(12.0).view(4, 3)
    assert analysed.coefficients(of_decisions).tolist() == [3, 4, 5, 9, 10, 0]
    assert replace(analysed, passes=[]).coefficients(of_sequences).tolist() == []


@pytest.mark.parametrize(
    ("parameters", "batch_tokens", "budget", "expected"),
    [
        (24, 64, 100, 100),  # 96 bytes of gradients are as much as 24 tokens take, which the 3 x 8 compared ones save
        (34, 64, 100, 54),  # 10 tokens more
        (34, 96, 100, 81),  # the same share, where responses count with whole prompts that are read once
        (10**6, 64, 100, 16),  # but never less than a quarter
        (34, 64, 60, 60),  # there are several passes in any case
    ],
)
def test_passes_beside_gradients_are_smaller_by_what_these_take(parameters, batch_tokens, budget, expected):
    part: Any = SimpleNamespace(padding=(0, 48), lengths=np.array([8, 8, 8]))
    rest: Any = SimpleNamespace(padding=(0, 64), batch_tokens=batch_tokens)
    analysed = Analysed(np.arange(3), [(np.arange(3), part, torch.zeros(0))], KEPT, 1.0)
    assert analysed.budget_for(rest, [torch.zeros(parameters)], budget) == expected
