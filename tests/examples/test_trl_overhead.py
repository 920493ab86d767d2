"""The real benchmark file, run small: every case makes its steps, and results and page appear."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

pytest.importorskip("trl")

import tyro

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "benchmarks"


def test_the_benchmark_runs_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(FOLDER)
    benchmark = importlib.import_module("trl_overhead")
    small = ["--prompts", "2", "--group-size", "2", "--tokens", "8", "--steps", "2", "--warmup", "1"]
    with pytest.raises(SystemExit) as end:
        benchmark.main(tyro.cli(benchmark.Settings, args=[*small, "--out", str(tmp_path)]))
    assert end.value.code in (0, 1)
    results = json.loads((tmp_path / "trl_overhead.json").read_text())["results"]
    compared = [(result["strategy"], result["responses"]) for result in results if result["gradients"]]
    assert compared == [("gradient", "drawn"), ("gradient", "all")]
    assert (
        all(0 < r["ours"] < r["step"] and 1 < r["low"] <= r["ratio"] <= r["high"] for r in results)
        and len(results) == 6
    )
    assert "| callback | `saw` |" in (tmp_path / "trl_overhead.md").read_text()
