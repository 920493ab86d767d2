"""Runs for several preferences, judged as one set of policies."""

import numpy as np
import pytest

from paretune.bench.reports.report_markdown import markdown
from paretune.bench.statistics.pooled import whole_sweeps
from paretune.bench.statistics.summarise import summarise
from tests.bench.outcomes import outcome

ENDS = {"left": (0.9, 0.3), "right": (0.3, 0.9)}


def sweep(weighting="fixed", seed=0, ends=ENDS, **arguments):
    return [outcome(weighting, label, seed, end=end, **arguments) for label, end in ends.items()]


def test_the_front_of_a_sweep_is_that_of_all_its_runs():
    (pooled,) = whole_sweeps(sweep())
    assert (pooled.env, pooled.preference) == ("Toy, 2 preferences together", "all")
    tests = sorted(point.test for point in pooled.front)
    np.testing.assert_allclose(tests, sorted(ENDS.values()))
    area = 0.9 * 0.3 + 0.3 * (0.9 - 0.3)
    assert pooled.measures["front_hypervolume"] == pytest.approx(area)
    assert pooled.measures["final_hypervolume"] == pytest.approx(area)
    assert pooled.curve.hypervolume[-1] == pytest.approx(area)
    assert pooled.measures["points"] == 2
    assert pooled.final.test == pytest.approx([0.6, 0.6])


def test_costs_add_up_and_memory_is_the_most():
    runs = sweep()
    runs[1].cost["peak_memory_mb"] = 2 * runs[0].cost["peak_memory_mb"]
    (pooled,) = whole_sweeps(runs)
    assert pooled.cost["seconds"] == runs[0].cost["seconds"] + runs[1].cost["seconds"]
    assert pooled.cost["peak_memory_mb"] == runs[1].cost["peak_memory_mb"]
    np.testing.assert_array_equal(pooled.curve.tokens, 2 * np.array(runs[0].curve.tokens))


def test_only_complete_sweeps_of_two_or_more_preferences_count():
    assert whole_sweeps(sweep(ends={"left": (0.9, 0.3)})) == []
    unfinished = sweep() + sweep("saw")[:1] + [outcome("gradient", "left")]
    assert [pooled.weighting for pooled in whole_sweeps(unfinished)] == ["fixed"]


def test_sweeps_are_compared_as_fairly_as_runs():
    outcomes = [run for seed in range(5) for name in ("fixed", "saw") for run in sweep(name, seed)]
    summary = summarise(whole_sweeps(outcomes), name="sweeps")
    (comparison,) = summary.comparisons
    assert comparison.differences == []
    assert summary.ranking == []
    assert "Cells: 0 finished" in markdown(summary)
    assert {arm.preference for arm in comparison.arms} == {"all"}
