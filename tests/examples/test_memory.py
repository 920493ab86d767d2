"""The memory arithmetic: as much as real tensors have, and as the documentation says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import paretune.agents.sampling.transformers_sampler as sampler_module
from paretune.agents import TransformersSampler, load_policy
from paretune.envs import Prompt
from tests.examples.scripts import Load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def memory(load: Load) -> Any:
    return load("memory")


@pytest.mark.slow
def test_real_tensors_have_the_computed_bytes(memory: Any) -> None:
    numbers = memory.measured("tiny-math", rows=6, length=40)
    for name in ("weights", "gradients"):
        assert numbers[name][0] == numbers[name][1]
    for name in ("moments", "kept"):  # each parameter has a count of its steps; the rows share their positions
        assert numbers[name][0] == pytest.approx(numbers[name][1], rel=2e-3)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_sampler_keeps_the_computed_bytes(memory: Any, monkeypatch: pytest.MonkeyPatch, precision: Any) -> None:
    policy, caches, make = load_policy("tiny-math", "cpu", precision), [], sampler_module._roomy_cache
    monkeypatch.setattr(sampler_module, "_roomy_cache", lambda *args: caches.append(make(*args)) or caches[-1])
    prompts = [Prompt.from_question("1 + 1 = ?")] * 3
    rollout = TransformersSampler(policy=policy, max_new_tokens=8).sample(prompts, np.random.default_rng(0))
    taken = sum(room.nbytes for layer in caches[0].layers for room in layer._room)
    per_token = memory.cache_bytes(policy.model.config, getattr(torch, precision))
    assert taken == 3 * (rollout.tokens.prompt.shape[1] + 8) * per_token


def test_shards_share_what_is_kept_and_not_what_is_gathered(memory: Any) -> None:
    counts = memory.Counts(
        model=100, trained=100, layer=30, trained_layer=30, head=10, n_layers=2, hidden=1, kept=1, rest=1, cache=1
    )
    options = memory.Options(tokens=10, length=5, sample_batch=2, logits=1)
    one, four = (memory.memory(counts, gpus, options) for gpus in (1, 4))
    assert (one.weights, one.gradients, one.moments) == (400, 400, 800)
    assert (four.weights, four.gradients, four.moments) == (100, 100, 200)
    assert (one.recomputed, one.kept) == (four.recomputed, four.kept) == (40, 30)
    assert one.update == 1600 + 2 * (60 + 10) + 40 + 20
    assert one.sampling == 400 + 800 + 140 + 10


@pytest.mark.slow
def test_the_documentation_has_the_computed_table(memory: Any) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text()
    assert "\n".join(memory.table(memory.Options())) in page
