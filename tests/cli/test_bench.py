"""`paretune bench`, as a user runs it."""

import json
import subprocess
import sys

import pytest

from paretune.cli.arguments.settings import parse_settings
from paretune.cli.bench import BenchSettings, grid_of
from paretune.cli.main import main

pytest.importorskip("plotly", reason="needs plotly, of the extra bench")
pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra bench")

TOY = ["--envs", "paretune/TokenConvex-v0", "--agents", "rloo", "--seeds", "2", "--steps", "2", "--jobs", "1"]
TOY += ["--prompts-per-step", "1", "--group-size", "2", "--eval-prompts", "1"]


def settings(*words):
    return parse_settings(words, BenchSettings, "paretune bench")[0]


def test_flags_describe_a_grid():
    grid = grid_of(settings(*TOY, "--weightings", "fixed", "saw", "--preferences", "a=1,3", "b=equal", "--seed", "4"))
    cells = grid.cells()
    assert [(cell.weighting, cell.preference, cell.seed) for cell in cells[:3]] == [
        ("fixed", "a", 4),
        ("fixed", "a", 5),
        ("fixed", "b", 4),
    ]
    assert cells[0].setup["preference"] == [0.25, 0.75]
    assert cells[0].setup["settings"]["group_size"] == 2


def test_a_grid_file_holds_tables_and_flags_win_over_it(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(
        """
        envs = [{ id = "paretune/TokenThree-v0", label = "three", options = { length = 3 }, steps = 9 }]
        agents = ["rloo"]
        weightings = ["fixed", { name = "lagrangian", label = "lag" }]
        lr = 0.02
        seeds = 3
        [preferences]
        even = "equal"
        first = [2, 1, 1]
        """
    )
    grid = grid_of(settings("--config", str(path), "--seeds", "1", "--agents", "grpo"))
    cells = grid.cells()
    assert [cell.name for cell in cells] == [
        f"three/grpo/{weighting}/{preference}/seed-0"
        for weighting in ("fixed", "lag")
        for preference in ("even", "first")
    ]
    assert cells[0].setup["settings"]["lr"] == 0.02
    assert cells[0].setup["steps"] == 9
    assert cells[0].setup["env_options"] == {"length": 3}


def test_options_of_a_strategy_may_depend_on_the_environment(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(
        """
        envs = [{ id = "paretune/TokenConvex-v0", weighting_options = { lag = { thresholds = [0.3, -inf] } } }]
        agents = ["rloo"]
        weightings = ["fixed", { name = "lagrangian", label = "lag", options = { rate = 0.1 } }, "random"]
        """
    )
    cells = grid_of(settings("--config", str(path), "--seeds", "2")).cells()
    assert cells[2].setup["weighting_options"] == {"thresholds": [0.3, None], "rate": 0.1}
    assert [cell.setup["weighting_options"] for cell in cells[4:]] == [{"seed": 0}, {"seed": 1}]


def test_a_benchmark_runs_reports_and_is_not_run_again(tmp_path, capsys):
    words = ["bench", *TOY, "--weightings", "fixed", "saw", "--out", str(tmp_path / "b"), "--name", "try <this>"]
    assert main(words) == 0
    captured = capsys.readouterr()
    assert "fixed/equal" in captured.out
    assert "4/4 TokenConvex-v0/rloo/saw/equal/seed-1 finished" in captured.err
    report = (tmp_path / "b" / "report.md").read_text()
    assert report.startswith("# try <this>")
    assert "paretune bench --envs paretune/TokenConvex-v0" in report
    assert "not distinguishable at 2 seeds" in report
    assert "<title>try &lt;this&gt;</title>" in (tmp_path / "b" / "report.html").read_text()

    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "b" / "results.parquet")
    assert table.num_rows == 4
    assert set(table["weighting"].to_pylist()) == {"fixed", "saw"}

    cell = tmp_path / "b/cells/TokenConvex-v0/rloo/fixed/equal/seed-0/outcome.json"
    before = cell.stat().st_mtime_ns
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert cell.stat().st_mtime_ns == before
    assert main([*words, "--report"]) == 0
    again = ["bench", "--report", str(tmp_path / "b" / "results.parquet"), "--out", str(tmp_path / "again")]
    assert main(again) == 0
    assert "again/report.md" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == ["report.html", "report.md", "verdicts.png"]
    for name in ("report.md", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert main([*words, "--group-size", "4"]) == 2
    assert "holds another cell" in capsys.readouterr().err


def test_settings_are_tuned_before_by_flag_or_grid_file(tmp_path, capsys):
    words = ["bench", *TOY, "--weightings", "fixed", "--tune", "lr=1e-12,0.03", "--tune-seeds", "1", "--seeds", "1"]
    assert main([*words, "--out", str(tmp_path / "b")]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.startswith("tuned: ")]
    assert line.startswith("tuned: TokenConvex-v0, rloo: lr=")
    assert "## Tuned" in (tmp_path / "b" / "report.md").read_text()
    assert main([*words, "--out", str(tmp_path / "b"), "--report"]) == 0
    assert line in capsys.readouterr().out

    path = tmp_path / "grid.toml"
    path.write_text("tune_seeds = 2\n[tune]\nlr = [0.1, 0.2]\nclip = [0, 0.2]\n")
    grid = grid_of(settings("--config", str(path)))
    assert (grid.tune, grid.tune_seeds) == ({"lr": [0.1, 0.2], "clip": [0, 0.2]}, 2)
    assert grid_of(settings("--config", str(path), "--tune", "lr=1,2")).tune == {"lr": [1, 2]}


def test_an_invalid_setting_is_told_at_the_end_and_leaves_no_ranking(tmp_path, capsys):
    words = ["bench", *TOY, "--seeds", "5", "--weightings", "fixed", "saw", "--out", str(tmp_path), "--lr", "1e-12"]
    (tmp_path / "cells").mkdir()
    (tmp_path / "verdicts.png").write_text("of an earlier report")
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "invalid setting: TokenConvex-v0, rloo: Training does not raise" in out
    assert "weighting/preference" not in out
    assert not (tmp_path / "verdicts.png").exists()
    assert "**Invalid setting: TokenConvex-v0, rloo.**" in (tmp_path / "report.md").read_text()


def test_cells_that_fail_are_named_and_give_exit_code_1(tmp_path, capsys):
    words = ["bench", *TOY, "--weightings", "fixed", "saw", "--out", str(tmp_path)]
    broken = tmp_path / "cells/TokenConvex-v0/rloo/saw/equal/seed-1"
    broken.mkdir(parents=True)
    (broken / "run").write_text("in the way")
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "failed: TokenConvex-v0/rloo/saw/equal/seed-1: ValueError: out: " in out
    assert "which is a file" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--weightings", "fixd"], "unknown weighting 'fixd'"),
        (["--baseline", "saw"], "unknown baseline 'saw'"),
        (["--seeds", "0"], "seeds: must be a whole number of at least 1, got 0"),
        (["--jobs", "0"], "jobs: must be None or a whole number of at least 1, got 0"),
        (["--threads", "0"], "threads: must be a whole number of at least 1, got 0"),
        (["--preferences", "1,2,3"], "preference: must have 2 weights"),
        (["--config", "missing.toml"], "missing.toml"),
        (["--tune", "lr=0.1,-1"], "tune: lr: must be None or a finite number above 0, got -1"),
        (["--tune", "lrr=1,2"], "unknown tuned setting 'lrr': did you mean 'lr'"),
        (["--tune", "lr=1,2", "--tune-seeds", "0"], "tune_seeds: must be a whole number of at least 1, got 0"),
        (["--tune", "lr=1,2", "--seed", "999"], "seeds: must be others than those of the trials"),
        (["--report", "missing.parquet"], "no such results file: 'missing.parquet'"),
        (["--report", "pyproject.toml"], "report: must be a Parquet file, got 'pyproject.toml'"),
    ],
)
def test_bad_use_is_told_before_anything_runs(tmp_path, capsys, words, message):
    assert main(["bench", *TOY, "--out", str(tmp_path / "b"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "b" / "cells").exists()


def test_a_package_that_the_reports_need_is_missed_before_anything_runs(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("paretune.bench.reports.writing.find_spec", lambda name: None if name == "plotly" else object())
    assert main(["bench", *TOY, "--out", str(tmp_path / "b")]) == 2
    assert 'bench: plotly needs the extra "bench"' in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_a_damaged_outcome_is_told(tmp_path, capsys):
    words = ["bench", *TOY, "--weightings", "fixed", "--out", str(tmp_path)]
    assert main([*words, "--quiet"]) == 0
    path = tmp_path / "cells/TokenConvex-v0/rloo/fixed/equal/seed-0/outcome.json"
    path.write_text(json.dumps({"env": "x"}))
    assert main([*words, "--quiet"]) == 2
    assert "is damaged" in capsys.readouterr().err


def test_help_needs_no_torch():
    code = (
        "import sys; from paretune.cli.main import main; main(['bench', '--help']); assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "usage: paretune bench" in done.stdout
