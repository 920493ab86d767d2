"""Processes whose optimizer is in shards, by DeepSpeed's ZeRO, train as one process that holds all of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from accelerate.utils import is_deepspeed_available
from safetensors.torch import load_file

from tests.agents import shared_run, zero_cases
from tests.agents.policies.test_shards import assert_close_tensors, assert_same_run, held, last, weights
from tests.agents.processes.test_distributed import assert_close, launch, lines
from tests.agents.updates.test_updater import updater, weights_after

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_deepspeed_available(), reason="no DeepSpeed: run with PYTHONPATH=.venv/deepspeed, as `make test` does"
    ),
]
STEPS = 3
EXACT = ["gradient", "chunked", "adapted"]


def test_two_processes_train_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several micro-batches, epochs and chunks, a KL term, recomputed layers, compared gradients, adapters."""
    for run in [*EXACT, "bfloat16"]:
        shared_run.main(tmp_path / "one" / run, run, STEPS)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    for stage in ("1", "2"):
        monkeypatch.setenv("ACCELERATE_DEEPSPEED_ZERO_STAGE", stage)
        done = launch(tmp_path / stage, ",".join([*EXACT, "bfloat16"]), STEPS, "auto")
        assert done.returncode == 0, done.stderr
        for run in EXACT:
            one, two = tmp_path / "one" / run, tmp_path / stage / run
            assert_same_run(one, two)
            assert max(held(two, "optimizer")) < 0.51 * held(one, "optimizer")[0]
        one, two = (lines(tmp_path / name / "bfloat16")[1] for name in ("one", stage))
        assert_close(one["rewards"], two["rewards"])
        # each process rounds its part of a gradient, by 2**-8 of it
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=0.02)
        assert {x.dtype for x in weights(last(tmp_path / stage / "bfloat16")).values()} == {torch.float32}


def test_a_run_goes_from_one_process_to_zero_is_killed_and_goes_on_in_both(tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", ("hypervolume", STEPS + 1, "zero2")
    shared_run.main(whole, *run)  # which one process does without
    killed = shutil.copytree(whole, tmp_path / "killed", ignore=shutil.ignore_patterns("saved", "*3", "*4"))
    assert last(killed).name == "step-000002"
    assert launch(killed, *run, STEPS).returncode != 0
    assert last(killed).name == f"step-{STEPS:06d}"
    alone = shutil.copytree(killed, tmp_path / "alone")
    shared_run.main(alone, *run)
    done = launch(killed, *run)
    assert done.returncode == 0, done.stderr
    assert_same_run(whole, killed)
    assert max(held(killed, "optimizer")) < 0.51 * held(whole, "optimizer")[0]
    assert_close(lines(whole), lines(alone))
    assert_close_tensors(weights(last(whole)), weights(last(alone)))


def test_updates_are_those_of_one_process_and_none_is_made_along_a_gradient_that_is_not_finite(tmp_path: Path) -> None:
    done = launch(tmp_path, script=Path(zero_cases.__file__))
    assert done.returncode == 0, done.stderr
    expected = weights_after(updater(**zero_cases.SETTINGS))
    for file in ("zero1-0", "zero1-1", "zero2-0", "zero2-1"):
        assert_close_tensors(load_file(tmp_path / f"{file}.safetensors"), expected)
