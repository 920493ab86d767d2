"""The page "from TRL to paretune": its code runs, before and after the change of three lines."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

import trl

from tests.integrations.small_trl import BATCH, GROUP

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "from_trl.md").read_text()
[DIFF] = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
[CODE] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ADDED = [line for line in DIFF.splitlines() if line.startswith("+")]
SMALL: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "per_device_train_batch_size": BATCH,
    "per_device_eval_batch_size": BATCH,
    "num_generations": GROUP,
    "max_completion_length": 12,
    "max_steps": 1,
    "report_to": "none",
    "disable_tqdm": True,
    "logging_steps": 1,
    "save_strategy": "no",
}


def run(code: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    model = str(ROOT / "agents" / "policies" / "tiny_math")
    exec(compile(code.replace("Qwen/Qwen3-0.6B", model).replace("chat=True", "limit=8"), "page", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trl, "GRPOConfig", partial(trl.GRPOConfig, **SMALL))
    rows = [{"prompt": f"{n} + {n}?", "answer": str(2 * n)} for n in range(6)]
    Path("problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_the_change_is_three_lines_and_takes_none_away() -> None:
    assert len(ADDED) == 3 and not [line for line in DIFF.splitlines() if line.startswith("-")]


def test_the_page_runs_before_and_after_the_change() -> None:
    before = "\n".join(line[1:] for line in DIFF.splitlines() if not line.startswith("+"))
    after = "\n".join(line[1:] for line in DIFF.splitlines())
    logs = [run(code)["trainer"].state.log_history for code in (before, after)]
    assert ["weights/correct" in log[1] for log in logs] == [False, True]
    assert logs[1][1]["weights/correct"] + logs[1][1]["weights/brief"] == pytest.approx(1)
    assert logs[1][1]["archive_size"] == 1


def test_the_trainer_of_the_page_runs() -> None:
    log = run(CODE)["trainer"].state.log_history[0]
    assert {"weights/accuracy", "influences/accuracy", "advantages/accuracy/std", "advantage_conflict"} <= set(log)
