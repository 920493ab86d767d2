"""The real example, run small: a table for each front, with its exact corners, and a picture."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.examples.scripts import Run


@pytest.mark.slow
def test_each_strategy_gets_its_shares_of_both_fronts(tmp_path: Path, run: Run) -> None:
    small = ["--vocabulary", "3", "--length", "2", "--steps", "6", "--runs", "2", "--seeds", "2", "--jobs", "1"]
    done = run("known_front", *small, "--out", "out")
    assert done.returncode == 0, done.stderr
    corners = re.findall(r"^corners of the hull +(\d\.\d{3})$", done.stdout, flags=re.MULTILINE)
    assert corners == ["1.000", "0.790"]  # concave: 0.19 / (0.19 + 0.225^2)
    rows = re.findall(r"^(\S.*?) +(\S+) \+- (\S+)  (\S+) \+- (\S+)$", done.stdout, flags=re.MULTILINE)
    assert [name for name, *_ in rows] == ["fixed", "hypervolume", "gradient", "fixed, equal"] * 2
    for _, last, _, met, _ in rows:
        assert 0 <= float(last) <= float(met) <= 1
    assert imread(tmp_path / "out" / "known-front.png").std() > 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_more_than_two_objectives_are_refused(tmp_path: Path, run: Run) -> None:
    done = run("known_front", "--env", "paretune/TokenThree-v0", "--vocabulary", "4")
    assert done.returncode == 1
    assert "--env must be environments with two objectives, got 'paretune/TokenThree-v0'" in done.stderr
    assert "Traceback" not in done.stderr and not list(tmp_path.iterdir())
