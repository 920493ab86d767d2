"""The real benchmark file, run small: the parts of a step add up to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.examples.scripts import Run


@pytest.mark.slow
def test_the_benchmark_runs_small(tmp_path: Path, run: Run) -> None:
    small = ["--prompts", "2", "--group-size", "4", "--tokens", "8", "--steps", "2", "--warmup", "0"]
    done = run("benchmarks/step_profile", *small, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    seconds = json.loads((tmp_path / "step_profile.json").read_text())["seconds"]
    assert list(seconds) == ["whole sequences", "prompts once"]
    for step in [step for steps in seconds.values() for step in steps]:
        assert all(part > 0 for part in step.values())
        assert step["sampling"] + step["forward"] + step["backward"] > step["rest"]
    assert "| **all** |" in (tmp_path / "step_profile.md").read_text()
