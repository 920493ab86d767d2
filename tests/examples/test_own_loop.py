"""The real example, run small."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "own_loop.py"


def test_the_loop_learns_both_objectives(capsys: pytest.CaptureFixture[str]) -> None:
    loop = runpy.run_path(str(SCRIPT))
    short, longer = loop["train"](10), loop["train"](60)
    assert longer.hypervolume() > short.hypervolume() + 0.1
    assert "members from steps" in capsys.readouterr().out


def test_it_is_short_and_uses_no_agent() -> None:
    text = SCRIPT.read_text()
    body = text.split('"""', 2)[2]
    code = [line for line in body.splitlines() if line.strip() and not line.strip().startswith(("#", '"""'))]
    assert len(code) <= 60 and "paretune.agents" not in text
