"""The real benchmark file, run small: every mode is measured, and results and page appear."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.scripts import Run


@pytest.mark.slow
def test_the_benchmark_runs_small(tmp_path: Path, run: Run) -> None:
    small = ["--policies", "tiny-math", "--objectives", "3", "--repeats", "1", "--prompts-per-step", "4"]
    small += ["--group-size", "4", "--max-tokens", "48", "--gradient-responses", "16", "--widths", "4", "128"]
    small += ["--draws", "4", "--run-steps", "2", "--out", str(tmp_path)]
    done = run("benchmarks/gradient_cost", *small)
    assert (tmp_path / "gradient_cost.json").exists(), done.stderr
    record = json.loads((tmp_path / "gradient_cost.json").read_text())
    assert [row["arm"] for row in record["cost"]] == ["fixed", "backward", "exact", "sketch"]
    assert all(row["seconds"] > 0 < row["peak_mib"] for row in record["cost"])
    narrow, wide = record["errors"]
    assert wide["error"] < narrow["error"] < 1
    assert record["weights"]["along"]["backward"] < 1e-3 < record["weights"]["moved"]
    page = (tmp_path / "gradient_cost.md").read_text()
    assert "| tiny-math | 3 | exact |" in page and page.count("(goal") == 4
    assert done.returncode == ("- missed" in page)
