"""The real benchmark file, run small: results, table and picture appear, and finished cells are not run again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "examples" / "benchmarks" / "first_grid.py"


def run(tmp_path: Path) -> subprocess.CompletedProcess[str]:
    small = ["--steps", "1", "--seeds", "1", "--prompts-per-step", "2", "--group-size", "2", "--eval-prompts", "8"]
    folders = ["--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]
    return subprocess.run([sys.executable, SCRIPT, *small, *folders], capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.slow
def test_the_grid_runs_small_and_keeps_finished_cells(tmp_path):
    done = run(tmp_path)
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
    assert run(tmp_path).returncode == missed
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("metrics.jsonl")}
