"""The real benchmark file, run small: errors vanish where all responses are drawn, and results and page appear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.scripts import Run


@pytest.mark.slow
def test_the_benchmark_runs_small(tmp_path: Path, run: Run) -> None:
    small = ["--seeds", "2", "--steps", "2", "--repeats", "2", "--prompts-per-step", "2", "--group-size", "4"]
    small += ["--numbers", "2", "8", "--evenly", "2", "8", "--out", str(tmp_path)]
    done = run("benchmarks/compared_responses", *small)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "compared_responses.json").read_text())["rows"]
    assert len(rows) == 2 * 3 * 2
    assert all(row["moved"] > 0 for row in rows)
    assert all(max(row["influences"], row["weights"]) < 1e-6 for row in rows if row["number"] == 8)
    assert all(row["influences"] > 1e-3 for row in rows if row["number"] == 2)
    assert "| by their parts | 2 |" in (tmp_path / "compared_responses.md").read_text()
