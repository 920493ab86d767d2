"""The real benchmark file, run small: all token-level environments are timed, and results and page appear."""

from __future__ import annotations

import json
from pathlib import Path

from tests.examples.scripts import Run


def test_the_benchmark_runs_small(tmp_path: Path, run: Run) -> None:
    small = ["--num-envs", "4", "--repeats", "2", "--ours-steps", "12", "--theirs-steps", "3", "--out", str(tmp_path)]
    done = run("benchmarks/vector_speed", *small)
    record = json.loads((tmp_path / "vector_speed.json").read_text())
    results = record["results"]
    assert done.returncode == any(result["ratio"] < 20 for result in results), done.stderr
    assert record["settings"]["num_envs"] == 4
    assert len(results) == 12 == len({(result["id"], result["observation"]) for result in results})
    assert all(result["ours"] > 0 < result["theirs"] for result in results)
    assert all(result["least"] <= result["ratio"] <= result["most"] for result in results)
    page = (tmp_path / "vector_speed.md").read_text()
    assert page.count("| paretune/TokenConcave-v0 |") == 2 and "of 12 reached the goal" in page
