"""The real benchmark file, run small: both make the same update, and results and page appear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.scripts import Run

pytest.importorskip("trl")


@pytest.mark.slow
def test_the_benchmark_runs_small(tmp_path: Path, run: Run) -> None:
    small = ["--prompts", "2", "--group-size", "4", "--tokens", "24", "--steps", "2", "--warmup", "1"]
    done = run("benchmarks/step_time", *small, "--out", tmp_path)
    assert done.returncode in (0, 1) and (tmp_path / "step_time.json").exists(), done.stderr
    record = json.loads((tmp_path / "step_time.json").read_text())
    assert [result["mode"] for result in record["results"]] == ["given", "sampled"]
    assert all(result["ours"] > 0 < result["trl"] and result["ours_mb"] > 0 for result in record["results"])
    first = record["first_step"]
    assert first["ours_loss"] != 0
    assert abs(first["ours_loss"] - first["trl_loss"]) < 1e-4
    assert abs(first["ours_grad_norm"] - first["trl_grad_norm"]) < 1e-4 * max(1, first["trl_grad_norm"])
    assert "of 2 reached the goal" in (tmp_path / "step_time.md").read_text()
