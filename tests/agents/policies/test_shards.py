"""Processes that hold a shard of the policy each train as one process that holds all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from paretune.agents import Agent, RunFolder
from paretune.agents.policies.loading import load_saved
from tests.agents import rounding, shared_run
from tests.agents.processes.test_distributed import assert_close, knowledge, launch, lines

STEPS = 3
EXACT = ["chunked", "sketch", "embedded", "adapted"]


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    (path,) = checkpoint.glob("*model.safetensors")
    return load_file(path)


def last(folder: Path) -> Path:
    return RunFolder(folder).checkpoints()[-1]


def assert_same_run(one: Path, two: Path) -> None:
    assert_close(lines(one), lines(two))
    assert knowledge(two, 0) == knowledge(two, 1)
    assert_close(knowledge(one, 0), knowledge(two, 0))
    assert_close_tensors(weights(last(one)), weights(last(two)))
    assert_close_tensors(*(load_file(last(folder) / "optimizer.safetensors") for folder in (one, two)))


def assert_close_tensors(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        # AdamW makes steps of the learning rate, 1e-3, of small gradients too, in which rounding counts most
        torch.testing.assert_close(first[name], second[name], atol=5e-5, rtol=1e-5)


def held(folder: Path, name: str) -> list[int]:
    return [json.loads(path.read_text())[name] for path in sorted(folder.glob("held-*.json"))]


@pytest.mark.slow
def test_two_shards_train_as_one_process(tmp_path: Path) -> None:
    """Several micro-batches and chunks, recomputed layers, all ways to compare gradients, adapters, odd evaluations."""
    for run in [*EXACT, "bfloat16"]:
        shared_run.main(tmp_path / "one" / run, run, STEPS)
    done = launch(tmp_path / "two", ",".join([*EXACT, "bfloat16"]), STEPS, "fsdp")
    assert done.returncode == 0, done.stderr
    for run in EXACT:
        one, two = tmp_path / "one" / run, tmp_path / "two" / run
        assert_same_run(one, two)
        assert sum(held(two, "model")) == held(one, "model")[0]
        for name in ("model", "optimizer"):
            assert max(held(two, name)) < 0.51 * held(one, name)[0]
        saved = Agent.load(two / "saved", env=shared_run.RUNS[run][0]())
        assert saved.step == STEPS
        assert_close_tensors(*({n: p.data for n, p in x.model.named_parameters()} for x in policies(saved, two)))
    one, two = (lines(tmp_path / name / "bfloat16")[1] for name in ("one", "two"))
    assert_close(one["rewards"], two["rewards"])
    for name in ("loss", "grad_norm"):  # weights of norms get gradients of lower precision
        assert one[name] == pytest.approx(two[name], rel=rounding.of_products(2))
    assert {x.dtype for x in weights(last(tmp_path / "two" / "bfloat16")).values()} == {torch.float32}


def policies(saved: Agent, folder: Path) -> tuple:
    return saved.policy, load_saved(last(folder), "cpu")


@pytest.mark.slow
def test_a_sharded_run_goes_on_after_a_kill_in_shards_or_in_one_process(tmp_path: Path) -> None:
    shared_run.main(tmp_path / "whole", "hypervolume", STEPS + 1)
    assert launch(tmp_path / "killed", "hypervolume", STEPS + 1, "fsdp", STEPS).returncode != 0
    assert last(tmp_path / "killed").name == f"step-{STEPS:06d}"
    shutil.copytree(tmp_path / "killed", tmp_path / "alone")
    shared_run.main(tmp_path / "alone", "hypervolume", STEPS + 1)
    done = launch(tmp_path / "killed", "hypervolume", STEPS + 1)
    assert done.returncode == 0, done.stderr
    assert_same_run(tmp_path / "whole", tmp_path / "killed")
    assert_close(lines(tmp_path / "whole"), lines(tmp_path / "alone"))
    assert_close_tensors(weights(last(tmp_path / "whole")), weights(last(tmp_path / "alone")))
