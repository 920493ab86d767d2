from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest

from paretune.cli.arguments.settings import TrainSettings, load_settings_file, read_settings


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def test_without_words_the_defaults_hold() -> None:
    assert read_settings([]) == TrainSettings()
    assert read_settings([]).folder == Path("runs/Arithmetic-v0-grpo-hypervolume-0")


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    config = written(
        tmp_path / "run.toml", 'agent = "rloo"\nlr = 1\nsteps = 7\n[env_options]\nterms = 2\nlargest = 50\n'
    )
    settings = read_settings(["--config", config, "--steps", "9", "--preference", "0.5", "0.25", "0.25"])
    assert (settings.agent, settings.lr, settings.steps, settings.group_size) == ("rloo", 1.0, 9, 8)
    assert settings.preference == (0.5, 0.25, 0.25)
    assert settings.env_options == {"terms": 2, "largest": 50}
    assert read_settings(["--config", config, "--env-options", "terms=3"]).env_options == {"terms": 3}


def test_switches_can_be_taken_back(tmp_path: Path) -> None:
    config = written(tmp_path / "run.toml", "quiet = true\neval_sampled = true\n")
    settings = read_settings([f"--config={config}", "--no-quiet"])
    assert (settings.quiet, settings.eval_sampled) == (False, True)


def test_toml_and_json_are_the_same(tmp_path: Path) -> None:
    toml = written(tmp_path / "a.toml", 'stop = ["\\n"]\nout = "runs/x"\npreference = [1, 2]\n')
    values = {"stop": ["\n"], "out": "runs/x", "preference": [1, 2], "max_new_tokens": None}
    from_json = load_settings_file(Path(written(tmp_path / "a.json", json.dumps(values))))
    assert load_settings_file(Path(toml)) | {"max_new_tokens": None} == from_json
    assert from_json["preference"] == (1.0, 2.0)


def test_every_setting_but_config_can_stand_in_a_file_and_makes_equal_settings(tmp_path: Path) -> None:
    settings = TrainSettings(out=Path("runs/x"), env_options={"terms": 2}, preference=(0.5, 0.5), stop=("a",), lr=1e-3)
    values = {entry.name: getattr(settings, entry.name) for entry in fields(settings) if entry.name != "config"}
    config = written(tmp_path / "config.json", json.dumps(values, default=str))
    read = read_settings(["--config", config])
    assert read.config == Path(config)
    read.config = None
    assert read == settings


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "learning_rate = 1", "unknown setting 'learning_rate'"),
        ("a.toml", "group_sise = 1", "unknown setting 'group_sise': did you mean 'group_size'"),
        ("a.toml", 'config = "b.toml"', "config: must be left out of a settings file, got 'b.toml'"),
        ("a.toml", 'steps = "many"', "steps: must be a whole number of at least 1, got 'many'"),
        ("a.toml", 'order = "weigh_frist"', "unknown order 'weigh_frist': did you mean 'weigh_first'"),
        ("a.toml", "env_options = 3", "env_options: must be a table, got 3"),
        ("a.toml", "steps = ", "must be readable as TOML"),
        ("a.json", "{", "must be readable as JSON"),
        ("a.json", "[]", "must hold settings by name, got list"),
        ("a.yaml", "steps: 3", r"must be a \.toml or \.json file"),
    ],
)
def test_bad_settings_files_are_explained(tmp_path: Path, name: str, text: str, message: str) -> None:
    config = written(tmp_path / name, text)
    with pytest.raises(ValueError, match=f"config: .*{message}"):
        read_settings(["--config", config])


def test_a_missing_settings_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.toml"):
        read_settings(["--config", str(tmp_path / "nowhere.toml")])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--group-sise", "4"], "--group-size"),
        (["--lr", "fast"], "--lr"),
        (["--order", "weigh"], "weigh_first"),
        (["--env-options", "terms"], "KEY=VALUE"),
        (["--steps"], "--steps"),
    ],
)
def test_bad_words_end_with_code_2_and_a_message(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        read_settings(words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        read_settings(["--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for entry in fields(TrainSettings):
        assert f"--{entry.name.replace('_', '-')}" in text
    assert all(words in text for words in ("P, prompts per training step", "Settings file", "2e-4 *", "runs/a"))


def resumable(tmp_path: Path, **values: object) -> str:
    folder = tmp_path / "run"
    folder.mkdir()
    written(folder / "config.json", json.dumps({"agent": "rloo", "lr": 0.1, "steps": 20, "out": "elsewhere"} | values))
    return str(folder)


def test_a_resumed_run_takes_its_own_settings(tmp_path: Path) -> None:
    folder = resumable(tmp_path)
    settings = read_settings(["--resume", "--out", folder])
    assert (settings.agent, settings.lr, settings.steps, settings.folder) == ("rloo", 0.1, 20, Path(folder))
    assert read_settings(["--resume", "--out", folder, "--steps", "40", "--agent", "rloo"]).steps == 40


def test_the_settings_of_the_start_are_those_of_the_run_that_is_resumed(tmp_path: Path) -> None:
    stored = {"preference": [0.5, 0.25, 0.25], "weighting_options": {"mu": 1e-4, "floor": 0.0}}
    words = ["--resume", "--out", resumable(tmp_path, **stored), "--preference", "2", "1", "1"]
    assert read_settings([*words, "--weighting-options", "mu=1e-4"]).steps == 20
    with pytest.raises(ValueError, match="preference: must be"):
        read_settings([*words, "1"])
    with pytest.raises(ValueError, match="weighting_options: must be"):
        read_settings([*words, "--weighting-options", "mu=1e-5"])


def test_a_resumed_run_cannot_become_another(tmp_path: Path) -> None:
    folder = resumable(tmp_path)
    with pytest.raises(ValueError, match=r"lr: must be 0\.1 as in the run that is resumed, got 0\.2"):
        read_settings(["--resume", "--out", folder, "--lr", "0.2"])
    config = written(tmp_path / "other.toml", 'agent = "grpo"')
    with pytest.raises(ValueError, match="agent: must be 'rloo'"):
        read_settings(["--resume", "--out", folder, "--config", config])


def test_there_must_be_a_run_to_resume(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be the folder of a run, got .*, which has no config\.json"):
        read_settings(["--resume", "--out", str(tmp_path)])


def test_tables_inside_options_survive_the_command_line(tmp_path: Path) -> None:
    config = written(tmp_path / "run.toml", "[env_options]\nsources = {a = 1, b = [2]}\n")
    assert read_settings(["--config", config]).env_options == {"sources": {"a": 1, "b": [2]}}
