"""The real benchmark file, run small: every method has its cells, steps are counted, finished cells are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.examples.scripts import Load, Run

pytest.importorskip("morl_baselines", reason='needs morl-baselines: pip install "paretune[morl]"')

SMALL = ["--steps", "480", "--seeds", "2", "--jobs", "1", "--runs", "runs", "--out", "out"]


@pytest.mark.slow
def test_all_methods_run_small_and_finished_cells_are_kept(tmp_path: Path, run: Run) -> None:
    words = ["benchmarks/toy_fronts", *SMALL, "--environments", "Deceptive"]
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    record = json.loads((tmp_path / "out" / "toy_fronts.json").read_text())
    results = record["results"]
    assert not record["failed"] and len(results) == 20 == len({(r["method"], r["seed"]) for r in results})
    for cell in results:
        assert 0 <= cell["last"] <= cell["policies"] <= cell["known"] <= 1 + 1e-6
        assert 0 < cell["steps"] <= 480 + (20 * 12 if cell["method"] == "PCN" else 0)
    page = (tmp_path / "out" / "toy_fronts.md").read_text()
    rows = [line.split(" | ")[0].strip("| ") for line in page.splitlines() if line.startswith("| ")]
    assert rows.count("Envelope") == 2 and rows.count("RLOO, gradient") == 3  # of three tables
    assert "Failed cells: none" in page
    assert (tmp_path / "out" / "toy_fronts.png").stat().st_size > 10_000

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(before) == 20
    assert run(*words).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}


def test_a_cell_that_fails_is_reported_and_stops_no_other(tmp_path: Path, run: Run) -> None:
    failing = ["--environments", "Convex", "Nowhere", "--methods", "random texts"]
    done = run("benchmarks/toy_fronts", *SMALL, *failing)
    assert done.returncode == 1, done.stderr
    record = json.loads((tmp_path / "out" / "toy_fronts.json").read_text())
    assert [(r["environment"], r["seed"], r["steps"]) for r in record["results"]] == [
        ("Convex", s, 480) for s in (0, 1)
    ]
    assert [(r["environment"], r["seed"]) for r in record["failed"]] == [("Nowhere", 0), ("Nowhere", 1)]
    assert "Nowhere, random texts, seed 0: " in (tmp_path / "out" / "toy_fronts.md").read_text()


def test_verdicts_follow_the_interval_of_the_difference(load: Load) -> None:
    load("benchmarks/toy_fronts")
    from toy_fronts_report import half_width, verdict

    low, high = np.array([0.5, 0.6, 0.7]), np.array([0.8, 0.9, 1.0])
    # standard error of each mean 0.1 / sqrt(3); t quantiles 4.303 (2 degrees of freedom) and 2.776 (4)
    assert half_width(low) == pytest.approx(4.303 * 0.1 / np.sqrt(3), abs=1e-3)
    assert verdict(high, low) == "better (+0.300, from +0.073 to +0.527)"
    assert verdict(low, high) == "worse (-0.300, from -0.527 to -0.073)"
    assert verdict(high, high - 0.1).startswith("not distinguishable with 3 seeds (+0.100")
    assert verdict(np.ones(3), np.ones(3)) == "not distinguishable with 3 seeds (+0.000, from +0.000 to +0.000)"
    assert verdict(np.ones(1), np.ones(3)) == "too few seeds"
