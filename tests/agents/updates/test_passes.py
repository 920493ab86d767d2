"""Forward passes over a step's sequences: which sequences each takes, and what decisions weigh in it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from paretune.agents import AgentSettings, Tokens
from paretune.agents.processes.distributed import Processes
from paretune.agents.updates.passes import Passes
from tests.agents.letters import random_policy

LENGTHS = np.array([1, 3, 2, 2])
ALL = np.arange(4)


def some_tokens() -> Tokens:
    """Four responses of 1, 3, 2 and 2 tokens, to prompts of one token."""
    mask = torch.arange(3) < torch.as_tensor(LENGTHS)[:, None]
    prompt = torch.ones(4, 1, dtype=torch.int64)
    return Tokens(prompt, prompt.bool(), mask.long(), mask, torch.full((4, 3), -1.0) * mask)


def passes(loss_mean: Any = "token", processes: Processes | None = None, zero_stage: int = 0, **settings) -> Passes:
    made = AgentSettings(lr=1.0, **settings)
    return Passes(random_policy(), made, loss_mean, 4, processes or Processes(), zero_stage)


@pytest.mark.parametrize(
    ("loss_mean", "expected"),
    [
        ("token", [[1 / 6] * 3, [1 / 6, 1 / 6, 0]]),  # the loss is a mean over the six tokens of three responses
        ("response", [[1 / 9] * 3, [1 / 6, 1 / 6, 0]]),
        ("constant", [[1 / 12] * 3, [1 / 12, 1 / 12, 0]]),
    ],
)
def test_decisions_weigh_what_they_do_in_the_loss_over_more_sequences(loss_mean, expected):
    ((places, part, weights_BT),) = passes(loss_mean).micro_batches(
        some_tokens(), np.array([1, 3]), LENGTHS, of=np.array([0, 1, 3])
    )
    assert places.tolist() == [1, 3] and part.lengths.tolist() == [3, 2]
    np.testing.assert_allclose(weights_BT, expected)


def test_a_process_takes_the_sequences_of_its_share():
    second = passes(processes=Processes(1, 2))
    assert second.places(np.array([0, 2, 3]), 4).tolist() == [0, 1]
    own = some_tokens().select(np.array([2, 3]))
    ((places, _, weights_BT),) = second.micro_batches(own, np.array([1, 3]), LENGTHS, of=ALL)
    assert places.tolist() == [1] and weights_BT.tolist() == [[1 / 8, 1 / 8]]
    assert list(second.micro_batches(own, np.array([0, 1]), LENGTHS, of=ALL)) == []


def test_batches_hold_as_many_tokens_as_the_settings_or_the_caller_say():
    few, tokens = passes(tokens_per_batch=6), some_tokens()
    assert [rows.tolist() for rows, _ in few.batches(tokens, ALL)] == [[1], [2, 3], [0]]
    assert [rows.tolist() for rows, _ in few.batches(tokens, ALL, max_tokens=16)] == [[1, 2, 3, 0]]


@pytest.mark.parametrize("zero_stage", [1, 2])
def test_in_step_with_other_processes_there_are_more_passes_that_count_for_nothing(zero_stage):
    together, tokens = passes(zero_stage=zero_stage, tokens_per_batch=6), some_tokens()
    together.processes.gathered = lambda number: [number, 5]
    made = list(together.batches(tokens, ALL))
    assert [counts for _, counts in made] == [True, True, True, False, False]
    assert [rows.tolist() for rows, counts in made if not counts] == [[0], [0]]  # the shortest
    weights = [weights_BT for *_, weights_BT in together.micro_batches(tokens, ALL, LENGTHS, of=ALL)]
    assert [float(each.sum()) for each in weights] == pytest.approx([3 / 8, 4 / 8, 1 / 8, 0, 0])


def test_importance_is_a_ratio_up_to_the_cap_and_nothing_without_one():
    tokens = some_tokens()
    log_probs = tokens.log_probs + torch.log(torch.tensor([0.5, 1.0, 3.0]))
    assert passes().importance(log_probs, tokens) == 1
    torch.testing.assert_close(
        passes(importance_cap=2.0).importance(log_probs, tokens), torch.tensor([[0.5, 1.0, 2.0]] * 4)
    )


def test_what_is_trained_needs_a_gradient():
    made = passes()
    made.policy.train_only(["lm_head.weight"])
    assert [id(parameter) for parameter in made.trained] == [id(made.policy.model.lm_head.weight)]
