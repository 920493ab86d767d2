"""The real file, on two folders of invented cells whose answers are known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from paretune.bench import Outcome
from tests.bench.outcomes import outcome
from tests.examples.scripts import Run

EXACT = [[1.0, 0.5], [0.5, 1.0]]


def write(folder: Path, outcomes: Sequence[Outcome]) -> Path:
    for i, each in enumerate(outcomes):
        path = folder / "cells" / "toy" / "grpo" / each.weighting / str(i) / f"seed-{each.seed}" / "outcome.json"
        path.parent.mkdir(parents=True)
        each.write(path)
    return folder


def test_long_runs_stand_beside_short_ones(tmp_path: Path, run: Run) -> None:
    seeds = range(5)
    ends = {"left": (0.9, 0.4), "right": (0.4, 0.9)}  # together .36 + .20 of the exact front's .75
    long = [outcome("rays", seed=seed, end=(0.9, 0.85), exact=EXACT, steps=40) for seed in seeds]
    long += [outcome("fixed", seed=seed, end=(0.5, 0.5), exact=EXACT, steps=40) for seed in seeds]
    short = [outcome("fixed", label, seed, end=end, exact=EXACT) for label, end in ends.items() for seed in seeds]
    folders = write(tmp_path / "long", long), write(tmp_path / "short", short)
    done = run("benchmarks/equal_budget", *folders, "--out", tmp_path / "page.md")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "page.md").read_text()
    assert "Runs of 40 steps under each strategy, beside 2 runs of 20 steps" in text
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    assert [row[0] for row in rows[2:5]] == ["rays", "fixed", "fixed, split among the preferences"]
    assert rows[2][3] == "better"
    assert rows[3][3] == "worse"
    assert rows[2][1].startswith("1.02")  # .9 * .85 / .75
    assert rows[4][1].startswith("0.747")


def test_folders_that_have_nothing_in_common_are_told(tmp_path: Path, run: Run) -> None:
    long = write(tmp_path / "long", [outcome("rays", env="Other", exact=EXACT)])
    short = write(tmp_path / "short", [outcome("fixed", label, exact=EXACT) for label in ("a", "b")])
    done = run("benchmarks/equal_budget", long, short, "--out", tmp_path / "page.md")
    assert done.returncode == 2
    assert "must have an environment and agent in common" in done.stderr
    assert not (tmp_path / "page.md").exists()
