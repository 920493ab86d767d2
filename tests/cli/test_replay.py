"""`paretune replay` on real runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from paretune.cli.main import main

Capture = pytest.CaptureFixture[str]

RUN = ["--env", "paretune/TokenConvex-v0", "--agent", "rloo", "--steps", "3", "--quiet", "--prompts-per-step", "2"]
RUN += ["--group-size", "4", "--lr", "0.01", "--weighting", "saw", "--preference", "3", "1", "--eval-every", "1"]
RUN += ["--no-pictures"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "finished"
    assert main(["train", "--out", str(folder), *RUN]) == 0
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table_has_the_run_and_the_others_and_the_picture_is_in_the_run(finished: Path, capsys: Capture) -> None:
    assert main(["replay", str(finished), "--weighting", "saw", "fixed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{finished}, steps 1 to 3"
    assert cells(lines[2]) == ["strategy", "share of", "first", "mean", "last", "largest difference from the run"]
    names = [cells(line)[0] for line in lines[3:12:3]]
    assert names == ["saw (the run's own)", "saw", "fixed"]
    own, again, fixed = ([cells(line)[-5:] for line in lines[start : start + 3]] for start in (3, 6, 9))
    assert own == again  # the run's own strategy gives the run's own weights
    assert fixed[0][1:4] == ["0.7500"] * 3 and fixed[1][1:4] == ["0.2500"] * 3
    assert fixed[2] == ["(scale)", "1.0000", "1.0000", "1.0000", "-"]
    assert " at step " in fixed[0][-1] and own[0][-1] == "-"
    picture = finished / "replay-saw-fixed.png"
    assert lines[-1] == f"picture:  {picture}" and picture.exists()


def test_options_and_the_place_of_the_picture_are_taken(finished: Path, tmp_path: Path, capsys: Capture) -> None:
    picture = tmp_path / "mine.png"
    words = ["--weighting", "schedule", "--weighting-options", "points=[[1, 1, 3], [2, 0, 1]]", "--out", str(picture)]
    assert main(["replay", str(finished), *words, "--preference", "1", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [cells(line)[-4:-1] for line in lines[6:8]] == [
        ["0.2500", "0.0833", "0.0000"],
        ["0.7500", "0.9167", "1.0000"],
    ]
    assert picture.exists()


def test_a_fresh_process_replays_gradients_that_a_run_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert main(["train", "--out", str(folder), *RUN, "--record-gram"]) == 0
    command = [sys.executable, "-m", "paretune.cli", "replay", str(folder), "--weighting", "gradient"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "gradient" in done.stdout and (folder / "replay-gradient.png").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weighting", "gradient"], "a run trained with --record-gram"),
        (["--weighting", "sa-mrp"], "did you mean 'sa-mrpo'"),
        (["--weighting"], "weighting: must be the name of at least one strategy, got none"),
        (["--weighting", "saw", "--weighting-options", "flor=1"], "did you mean 'floor'"),
        (["--weighting", "saw", "--preference", "1", "1", "1"], "preference: must have 2 weights"),
    ],
)
def test_bad_use_is_one_message(finished: Path, words: list[str], message: str, capsys: Capture) -> None:
    assert main(["replay", str(finished), *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("paretune: error: ") and message in captured.err


def test_a_folder_without_a_run_is_bad_use(tmp_path: Path, capsys: Capture) -> None:
    assert main(["replay", str(tmp_path), "--weighting", "saw"]) == 2
    assert "must be the folder of a run" in capsys.readouterr().err


def test_help_says_what_a_replay_is_not(capsys: Capture) -> None:
    assert main(["replay", "--help"]) == 0
    assert "how a strategy reacts, not what it leads to" in " ".join(capsys.readouterr().out.split())
