"""The real file, on a folder of invented cells whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from paretune.bench import Outcome
from tests.bench.outcomes import outcome
from tests.examples.scripts import Run


def invented() -> list[Outcome]:
    """Five seeds: gradient dominates fixed and arrives earlier, hypervolume is more accurate, its front smaller."""
    runs = []
    for seed in range(5):
        level = 0.5 + 0.01 * seed
        runs += [outcome("fixed", "balanced", seed, end=(level, 0.5))]
        runs += [outcome("hypervolume", "balanced", seed, end=(level + 0.05 + seed / 1000, 0.4))]
        runs += [outcome("gradient", "balanced", seed, end=(0.9, 0.8))]
    return runs


def row(text: str, start: str) -> list[str]:
    """The cells of the first row of a table that starts so, without what fills them up."""
    line = next(
        line for line in (" ".join(each.split()) for each in text.splitlines()) if line.startswith(f"| {start}")
    )
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_claim_gets_its_numbers(tmp_path: Path, run: Run) -> None:
    for i, each in enumerate(invented()):
        path = (
            tmp_path / "b" / "cells" / "toy" / "grpo" / each.weighting / str(i) / f"seed-{each.seed}" / "outcome.json"
        )
        path.parent.mkdir(parents=True)
        replace(each, setup=each.setup | {"steps": 20}).write(path)
    done = run("benchmarks/paper_claims", tmp_path / "b", "--out", tmp_path / "claims.md")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "claims.md").read_text()
    assert row(text, "GRPO, balanced | corrected")[4] == "worse"  # less hypervolume: .55 * .4 against .5 * .5
    assert row(text, "GRPO, fixed balanced | 1 ") == ["GRPO, fixed balanced", "1", "0", "5 of 5"]
    steps = row(text.partition("## 3")[2], "GRPO, fixed balanced")
    assert steps[1] == "5 of 5"
    assert float(steps[2].split()[0]) == -6  # at step 10 of 20 it has .5 * .5, enough for seed 0; at step 15 for all
    assert row(text, "GRPO | 20")[2:] == ["0.250", "0.750"]
    gain = row(text.partition("## 5")[2], "GRPO, balanced")
    assert gain[1] == "0.520"
    assert float(gain[2].split()[0]) == pytest.approx(0.052)


def test_a_folder_without_cells_is_told(tmp_path: Path, run: Run) -> None:
    done = run("benchmarks/paper_claims", tmp_path, "--out", tmp_path / "claims.md")
    assert done.returncode == 2
    assert "must be a benchmark's with finished cells" in done.stderr
