"""The real benchmark file, run small: every case makes its steps, and results and page appear."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl")

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "trl_overhead.py"


@pytest.mark.slow
def test_the_benchmark_runs_small(tmp_path: Path) -> None:
    small = ["--prompts", "2", "--group-size", "2", "--tokens", "8", "--steps", "2", "--warmup", "1"]
    done = subprocess.run([sys.executable, SCRIPT, *small, "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode in (0, 1) and (tmp_path / "trl_overhead.json").exists(), done.stderr
    results = json.loads((tmp_path / "trl_overhead.json").read_text())["results"]
    compared = [(result["strategy"], result["responses"]) for result in results if result["gradients"]]
    assert compared == [("gradient", "drawn"), ("gradient", "all")]
    assert (
        all(0 < r["ours"] < r["step"] and 1 < r["low"] <= r["ratio"] <= r["high"] for r in results)
        and len(results) == 6
    )
    assert "| callback | `saw` |" in (tmp_path / "trl_overhead.md").read_text()
