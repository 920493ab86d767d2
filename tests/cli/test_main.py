from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from paretune.cli.main import COMMANDS, main

Capture = pytest.CaptureFixture[str]


def test_help_names_every_command(capsys: Capture) -> None:
    for words in (["--help"], ["-h"], ["help"]):
        assert main(words) == 0
        text = capsys.readouterr().out
        assert all(command in text and summary in text for command, summary in COMMANDS.items())


def test_without_words_the_help_is_shown_and_the_code_is_2(capsys: Capture) -> None:
    assert main([]) == 2
    assert "usage: paretune COMMAND" in capsys.readouterr().out


def test_version(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"paretune {version('paretune')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: Capture) -> None:
    assert main([command, "--help"]) == 0
    assert f"usage: paretune {command}" in capsys.readouterr().out


def test_an_unknown_command_is_answered_with_the_nearest(capsys: Capture) -> None:
    assert main(["evalute"]) == 2
    message = f"unknown command 'evalute': did you mean 'evaluate'? Known: {', '.join(map(repr, COMMANDS))}"
    assert capsys.readouterr().err == f"paretune: error: {message}\n"
    assert main(["xyz"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_an_error_is_one_line_unless_debug_is_given(tmp_path: Path, capsys: Capture) -> None:
    assert main(["plot", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("paretune: error: ") and captured.err.count("\n") == 1
    assert main(["plot", str(tmp_path), "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_missing_file_is_bad_use_and_another_failure_of_the_system_is_not(tmp_path: Path, capsys: Capture) -> None:
    missing = tmp_path / "nowhere.toml"
    assert main(["train", "--config", str(missing)]) == 2
    assert capsys.readouterr().err == f"paretune: error: No such file or directory: {str(missing)!r}\n"
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert main(["train", "--config", str(folder)]) == 1
    assert capsys.readouterr().err == f"paretune: error: Is a directory: {str(folder)!r}\n"


def test_ctrl_c_anywhere_is_130(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    def interrupted(words: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("paretune.cli.plot.run", interrupted)
    assert main(["plot", "x"]) == 130
    assert capsys.readouterr().err == "paretune: interrupted\n"


def test_the_package_is_a_program() -> None:
    command = [sys.executable, "-m", "paretune.cli", "--version"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (shown.returncode, shown.stdout.startswith("paretune ")) == (0, True)


def test_the_installed_script_is_the_same_program() -> None:
    script = Path(sys.executable).with_name("paretune")
    shown = subprocess.run([script, "nonsense"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 2
    assert "paretune: error: unknown command 'nonsense'" in shown.stderr
