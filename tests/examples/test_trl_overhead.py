"""The real benchmark file, run small: every case makes its steps, and results and page appear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.scripts import Run

pytest.importorskip("trl")


@pytest.mark.slow
def test_the_benchmark_runs_small(tmp_path: Path, run: Run) -> None:
    small = ["--prompts", "2", "--group-size", "2", "--tokens", "8", "--steps", "2", "--warmup", "1"]
    done = run("benchmarks/trl_overhead", *small, "--out", tmp_path)
    assert done.returncode in (0, 1) and (tmp_path / "trl_overhead.json").exists(), done.stderr
    results = json.loads((tmp_path / "trl_overhead.json").read_text())["results"]
    compared = [(result["strategy"], result["responses"]) for result in results if result["gradients"]]
    assert compared == [("gradient", "drawn"), ("gradient", "all")]
    assert (
        all(0 < r["ours"] < r["step"] and 1 < r["low"] <= r["ratio"] <= r["high"] for r in results)
        and len(results) == 6
    )
    assert "| callback | `saw` |" in (tmp_path / "trl_overhead.md").read_text()
