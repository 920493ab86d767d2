"""The real benchmark file, run small: results, table and picture appear, and finished cells are not run again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.scripts import Run

SMALL = ["--steps", "1", "--seeds", "1", "--prompts-per-step", "2", "--group-size", "2", "--eval-prompts", "8"]
SMALL += ["--runs", "runs", "--out", "out"]


@pytest.mark.slow
def test_the_grid_runs_small_and_keeps_finished_cells(tmp_path: Path, run: Run) -> None:
    done = run("benchmarks/first_grid", *SMALL, "--jobs", "1")
    record = json.loads((tmp_path / "out" / "first_grid.json").read_text())
    ratios = [result["hypervolume_after"] / result["hypervolume_before"] for result in record["results"]]
    missed = min(ratios) < 1.5
    assert done.returncode == missed, done.stderr
    cells = {(result["agent"], result["weighting"]) for result in record["results"]}
    assert len(cells) == len(record["results"]) == 9
    page = (tmp_path / "out" / "first_grid.md").read_text()
    assert page.count("| grpo |") == 3 and "of 9 runs reached the goal" in page
    assert (tmp_path / "out" / "first_grid.png").stat().st_size > 10_000

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.jsonl")}
    assert len(before) == 9
    assert run("benchmarks/first_grid", *SMALL, "--jobs", "2").returncode == missed
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.jsonl")}
