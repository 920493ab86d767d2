"""The real benchmark file, run small: all arms train, the replays and verdicts hold, and finished cells are kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.examples.scripts import Load, Run

SMALL = ["--steps", "2", "--seeds", "2", "--control-seeds", "1", "--prompts-per-step", "2", "--group-size", "4"]
SMALL += ["--minibatches", "2", "--eval-every", "1", "--eval-prompts", "4", "--jobs", "1"]
SMALL += ["--runs", "runs", "--out", "out"]


@pytest.fixture(autouse=True)
def importable(load: Load) -> None:
    load("benchmarks/known_flaws")


@pytest.mark.slow
def test_the_experiments_run_small_and_finished_cells_are_kept(tmp_path: Path, run: Run) -> None:
    done = run("benchmarks/known_flaws", *SMALL)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "out" / "known_flaws.json").read_text())
    assert len(record["results"]) == 5 * 2 + 3 == len({(r["arm"], r["seed"]) for r in record["results"]})
    for row in record["advantages"]:
        cancels = row["place"] == "rewards" and (row["algorithm"] == "grpo" or row["order"] == "normalise_first")
        assert row["factor"] == pytest.approx(1 if cancels else row["multiplier"], rel=1e-3)
    apart = {r["arm"]: r["distances"] for r in record["divergence"] if r["seed"] == 0}
    # the first validation after the untrained policy's changes the weights of the second step
    assert apart["hypervolume, published"][0] == 0 == apart["hypervolume, corrected"][0]
    assert apart["hypervolume, published"][1] < 1e-3 < apart["hypervolume, corrected"][1]
    lengths = {(r["clip"], r["course"]): r["largest"] for r in record["gradients"] if r["seed"] == 0}
    assert lengths["none", "2 throughout"] == pytest.approx(1, abs=0.05)
    assert lengths["fixed norm", "1, then 2 from half"] < lengths["none", "1, then 2 from half"]
    page = (tmp_path / "out" / "known_flaws.md").read_text()
    assert page.count("| grpo |") == 4 and page.count("not distinguishable with 2 seeds") >= 1
    assert (tmp_path / "out" / "known_flaws.png").stat().st_size > 10_000

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}
    assert len(before) == 2 * 13
    assert run("benchmarks/known_flaws", *SMALL).returncode == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").iterdir()}


def test_the_unit_of_an_objective_decides_whether_the_meta_reward_saturates() -> None:
    from known_flaws_replays import saturation

    history = [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5], [0.5, 0.75, 0.5]]  # hypervolumes 0.125, 0.125, 0.1875
    rows = {(r["unit"], r["scale"]): r for r in saturation([history], {"shares": 1, "tokens": 100})}
    assert rows["shares", "1"]["gains"] == pytest.approx([0, 0.0625])
    assert rows["tokens", "1"]["gains"] == pytest.approx([0, 6.25])
    assert rows["shares", "1"]["meta_rewards"] == pytest.approx([0.5, 0.5 + 1.5 * np.tanh(0.0625)])
    assert rows["tokens", "1"]["meta_rewards"] == pytest.approx([0.5, 2.0], abs=1e-4)
    assert (rows["shares", "1"]["high_of_gains"], rows["tokens", "1"]["high_of_gains"]) == (0.0, 1.0)
    for unit in ("shares", "tokens"):
        assert rows[unit, "adaptive"]["meta_rewards"] == pytest.approx([0.5, 0.5 + 1.5 * np.tanh(1)])


def test_adamw_hides_a_constant_multiplier_and_a_fixed_norm_hides_any() -> None:
    from known_flaws_replays import adamw_updates, beside

    gradients = np.random.default_rng(0).normal(size=(40, 50))
    norms = np.linalg.norm(gradients, axis=1)  # far above the norm clipped to
    ones, constant, changed = np.ones(40), np.full(40, 2.0), np.repeat([1.0, 2.0], 20)

    def replayed(factors: np.ndarray, clip: str) -> tuple[np.ndarray, np.ndarray]:
        return beside(*(adamw_updates(gradients, norms, f, clip) for f in (factors, ones)))

    for clip in ("none", "own units"):
        ratios, turns = replayed(constant, clip)
        assert ratios == pytest.approx(1, abs=1e-4) and turns.max() < 0.1
        ratios, turns = replayed(changed, clip)
        assert ratios[:20] == pytest.approx(1) and 1.2 < ratios[20:].max() < 2
    ratios, turns = replayed(changed, "fixed norm")
    assert ratios == pytest.approx(1) and turns.max() < 1e-3


def test_verdicts_follow_the_interval_of_paired_differences() -> None:
    from known_flaws_verdicts import compare, word

    # mean 0.2, standard error 0.1 / sqrt(3), t quantile 4.303 for 2 degrees of freedom
    low, high = compare([0.1, 0.2, 0.3])["t"]
    assert (low, high) == (pytest.approx(0.2 - 4.303 * 0.1 / 3**0.5, abs=1e-3), pytest.approx(0.448, abs=1e-3))
    assert word(compare([0.1, 0.2, 0.3])) == "not distinguishable with 3 seeds"
    assert word(compare([0.1, 0.11, 0.12])) == "better" and word(compare([-0.1, -0.11, -0.12])) == "worse"
    assert word(compare([0.0, 0.0])) == "not distinguishable with 2 seeds" and word(compare([0.1])) == "too few seeds"
