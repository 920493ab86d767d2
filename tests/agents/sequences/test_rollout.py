"""Token batches: selection, padding and the split into micro-batches."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretune.agents import Tokens

lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12)


def tokens_of(pairs: list[tuple[int, int]]) -> Tokens:
    """Prompts and responses of these lengths; token values tell row and position."""
    s, t = max(p for p, _ in pairs), max(r for _, r in pairs)
    prompt_mask = torch.tensor([[i >= s - p for i in range(s)] for p, _ in pairs])
    mask = torch.tensor([[i < r for i in range(t)] for _, r in pairs])
    values = torch.arange(len(pairs))[:, None] * 100 + 1
    return Tokens(
        prompt=(values + torch.arange(s)) * prompt_mask,
        prompt_mask=prompt_mask,
        response=(values + torch.arange(t)) * mask,
        mask=mask,
        log_probs=-torch.rand(len(pairs), t) * mask,
    )


@given(lengths, st.integers(1, 60))
def test_micro_batches_hold_every_row_once_within_the_budget(pairs, budget):
    tokens = tokens_of(pairs)
    batches = list(tokens.micro_batches(np.arange(len(pairs)), budget))
    assert sorted(np.concatenate(batches)) == list(range(len(pairs)))
    for rows in batches:
        part = tokens.select(rows)
        padding, size = part.padding
        assert size == part.joined()[0].numel() and size - padding == sum(sum(pairs[row]) for row in rows)
        assert size <= budget or len(rows) == 1


@given(lengths)
def test_joined_rows_are_prompts_with_their_responses(pairs):
    tokens = tokens_of(pairs)
    joined, predecessors = tokens.joined()
    for row, (p, r) in enumerate(pairs):
        expected = [*tokens.prompt[row][tokens.prompt_mask[row]], *tokens.response[row][tokens.mask[row]]]
        assert joined[row].tolist() == expected + [0] * (joined.shape[1] - p - r)
        assert predecessors[row, :r].tolist() == list(range(p - 1, p + r - 1))


@given(lengths)
def test_selection_drops_only_padding(pairs):
    tokens = tokens_of(pairs)
    rows = np.arange(len(pairs))[::-2].copy()
    part = tokens.select(rows)
    assert part.prompt_mask[:, 0].any() and part.mask[:, -1].any()
    for new, old in enumerate(rows):
        assert part.prompt[new][part.prompt_mask[new]].tolist() == tokens.prompt[old][tokens.prompt_mask[old]].tolist()
        kept = part.response[new][part.mask[new]]
        assert kept.tolist() == tokens.response[old][tokens.mask[old]].tolist()
        assert len(kept) == tokens.lengths[old]


@given(lengths, lengths)
def test_concatenation_undoes_selection(first, second):
    tokens = tokens_of(first + second)
    rows = np.arange(len(first + second))
    parts = [tokens.select(rows[: len(first)]), tokens.select(rows[len(first) :])]
    whole = Tokens.concatenate(parts)
    for name in ("prompt", "prompt_mask", "response", "mask", "log_probs"):
        torch.testing.assert_close(getattr(whole, name), getattr(tokens, name))
