"""The real example, run small: a table of shares of the front, and a picture."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from matplotlib.image import imread

from tests.examples.scripts import Run

pytest.importorskip("morl_baselines", reason='needs morl-baselines: pip install "paretune[morl]"')


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.delitem(sys.modules, "morl_baselines_agents", raising=False)
    monkeypatch.setitem(sys.modules, "morl_baselines", None)
    done = run("morl_baselines_agents")
    assert done.returncode == 1
    assert 'pip install "paretune[morl]"' in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_five_agents_are_trained_and_drawn(tmp_path: Path, run: Run) -> None:
    small = ["--front", "concave", "--vocabulary", "3", "--length", "3", "--steps", "300", "--jobs", "1"]
    done = run("morl_baselines_agents", *small, "--out", "out")
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\S.*?) +(\d\.\d{3}) +(\d) of  3", done.stdout, flags=re.MULTILINE)
    assert [name for name, _, _ in rows[:2]] == ["random texts", "corners only"]
    assert {name for name, _, _ in rows[2:]} == {"PQL", "PCN", "GPI-LS", "Envelope", "Q-learning, OLS"}
    assert all(0 <= float(share) <= 1 for _, share, _ in rows)
    assert ("PQL", "1.000", "3") in rows
    assert ("corners only", "0.790", "2") in rows  # 0.19 / (0.19 + 0.225^2)
    assert imread(tmp_path / "out" / "morl_baselines_agents.png").std() > 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["out"]  # no networks, no logs
