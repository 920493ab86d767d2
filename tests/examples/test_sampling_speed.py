"""The real benchmark file, run small: both samplers are timed, and results and page appear."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "benchmarks" / "sampling_speed.py"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed")
def test_the_benchmark_runs_small(tmp_path: Path) -> None:
    small = ["--policies", "tiny-math", "--responses", "4", "16", "--repeats", "3", "--max-tokens", "4"]
    done = subprocess.run([sys.executable, SCRIPT, *small, "--out", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "sampling_speed.json").read_text())
    assert [row["responses"] for row in record["results"]] == [4, 16]
    assert all(row["transformers"] > 0 < row["vllm"] for row in record["results"])
    assert all(row["least"] <= row["ratio"] <= row["most"] for row in record["results"])
    assert "| tiny-math | 16 |" in (tmp_path / "sampling_speed.md").read_text()
