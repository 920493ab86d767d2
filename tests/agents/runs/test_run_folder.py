"""The run folder: what it refuses, and metrics that survive a cut."""

from __future__ import annotations

import pytest

from paretune.agents import RunFolder


@pytest.fixture
def run(tmp_path) -> RunFolder:
    made = RunFolder(tmp_path / "run")
    made.create({"steps": 5})
    for step in range(4):
        made.append_metrics({"step": step})
    return made


def test_metrics_are_cut_back(run):
    with run.metrics_path.open("a") as file:
        file.write('{"step": 4, "re')
    assert [line["step"] for line in run.metrics()] == [0, 1, 2, 3]
    run.forget_metrics_after(2)
    run.append_metrics({"step": 3, "again": True})
    assert [line["step"] for line in run.metrics()] == [0, 1, 2, 3]
    assert run.metrics()[-1]["again"]


def test_creating_replaces_an_older_run_but_nothing_else(run):
    (run.path / "notes.txt").write_text("mine")
    (run.path / "replay-saw.png").write_text("an older run's")
    run.checkpoint_path(3).mkdir(parents=True)
    run.history_path.mkdir()
    run.create({"steps": 6})
    assert run.metrics() == [] == run.checkpoints()
    assert not run.history_path.exists() and not (run.path / "replay-saw.png").exists()
    assert (run.path / "notes.txt").read_text() == "mine"


def test_checkpoints_are_found_and_pruned(run):
    for step in (0, 5, 10, 15):
        run.checkpoint_path(step).mkdir(parents=True)
    (run.path / "checkpoints" / ".step-000020.tmp").mkdir()
    assert run.find_checkpoint() == run.checkpoint_path(15)
    assert run.find_checkpoint("step-000005") == run.checkpoint_path(5)
    with pytest.raises(ValueError, match=r"unknown checkpoint 'step-000007': .*Known: 'step-000000'"):
        run.find_checkpoint("step-000007")
    run.prune_checkpoints({"step-000005"})
    assert run.checkpoints() == [run.checkpoint_path(5), run.checkpoint_path(15)]


def test_a_folder_that_is_no_run_or_a_file_is_refused(tmp_path, run):
    with pytest.raises(ValueError, match=r"has no config\.json"):
        RunFolder(tmp_path).config()
    with pytest.raises(ValueError, match=r"--resume; in Python Agent\.load\(folder\).*--overwrite; overwrite=True"):
        run.check_free()
    run.check_free(overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="must be a folder"):
        RunFolder(tmp_path / "file").check_free()
    run.config_path.write_text("[1]")
    with pytest.raises(ValueError, match="must hold settings by name, got list"):
        run.config()
    run.config_path.write_text('{"steps": ')
    with pytest.raises(ValueError, match="is damaged"):
        run.config()
