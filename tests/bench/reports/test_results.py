from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from paretune.bench.outcome import Course
from paretune.bench.reports.results import write_results
from paretune.bench.statistics.summarise import summarise
from tests.bench.outcomes import arm


def test_every_cell_is_a_row_that_pyarrow_reads_back(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    other = [replace(run, env="Maze", objectives=["speed", "safety"]) for run in arm("fixed", [0.4])]
    runs = arm("fixed", [0.5, 0.6]) + arm("saw", [0.4, 0.9], exact=[[1.0, 1.0]]) + other
    write_results(tmp_path / "results.parquet", summarise(runs, name="toy"))
    rows = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert len(rows) == 5
    row = next(row for row in rows if (row["weighting"], row["seed"]) == ("saw", 0))
    assert (row["env"], row["agent"], row["preference"]) == ("Toy", "GRPO", "balanced")
    assert row["front_hypervolume"] == pytest.approx(0.16) == row["share_of_front"]
    assert (row["untrained/accuracy"], row["untrained/brevity"]) == (0.1, 0.2) and row["preference/brevity"] == 0.5
    assert row["updates_to_baseline"] is None and row["points"] == 1.0
    assert row["final/accuracy"] == pytest.approx(0.4) and row["weight/brevity"] == 0.75 and row["scale"] == 1.0
    assert row["cost/tokens"] == 2000.0 and row["cost/seconds/sampling"] == 5.0 and row["final/speed"] is None
    assert json.loads(row["setup"])["settings"]["lr"] == 1e-3
    maze = next(row for row in rows if row["env"] == "Maze")
    assert maze["final/speed"] == pytest.approx(0.4) and maze["final/accuracy"] is None and maze["igd_plus"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["results.parquet"]


def test_a_benchmark_without_finished_or_trained_cells_has_a_table_too(tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    write_results(tmp_path / "results.parquet", summarise([], name="toy"))
    assert pq.read_table(tmp_path / "results.parquet").column_names == [
        "env",
        "agent",
        "weighting",
        "preference",
        "seed",
    ]
    untrained = [
        replace(run, course=Course(steps=[], direction=[], scale=[], rewards=[])) for run in arm("fixed", [0.5])
    ]
    write_results(tmp_path / "results.parquet", summarise(untrained, name="toy"))
    assert "scale" not in pq.read_table(tmp_path / "results.parquet").column_names


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r'results\.parquet: needs the extra "bench": pip install "paretune\[bench\]"'):
        write_results(tmp_path / "results.parquet", summarise([], name="toy"))
