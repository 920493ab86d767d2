from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.power import runs_needed
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Arm, Choice, Failure, Interval, Summary
from tests.bench.outcomes import arm, outcome

LOW, MIDDLE, HIGH = (np.linspace(start, start + 0.08, 5) for start in (0.3, 0.5, 0.7))


def find(summary: Summary, weighting: str, preference: str = "balanced") -> Arm:
    arms = summary.comparisons[0].arms
    return next(arm for arm in arms if (arm.weighting, arm.preference) == (weighting, preference))


def three_arms() -> list[Outcome]:
    return arm("fixed", MIDDLE) + arm("saw", HIGH) + arm("random", LOW)


def test_arms_are_compared_with_the_fixed_one_of_their_preference() -> None:
    summary = summarise(three_arms(), name="toy")
    (comparison,) = summary.comparisons
    assert [arm.weighting for arm in comparison.arms] == ["saw", "fixed", "random"]
    assert comparison.differences == []
    saw, random = find(summary, "saw"), find(summary, "random")
    assert saw.measures["front_hypervolume"].value == pytest.approx(np.mean(HIGH[1:4] ** 2))
    rival = saw.against_baseline["front_hypervolume"]
    assert (rival.arm, rival.verdict) == (("fixed", "balanced"), "better")
    assert rival.probability == Interval(1.0, pytest.approx(0.6), 1.0) and rival.p == pytest.approx(2 / 252)
    assert random.against_baseline["front_hypervolume"].verdict == "worse"
    assert find(summary, "fixed").against_baseline == {} and find(summary, "fixed").against_best_fixed == {}


def test_measures_of_which_less_is_better_are_turned_round() -> None:
    exact = [[1.0, 1.0]]
    summary = summarise(arm("fixed", MIDDLE, exact=exact) + arm("saw", HIGH, exact=exact), name="toy", main="igd_plus")
    assert [arm.weighting for arm in summary.comparisons[0].arms] == ["saw", "fixed"]
    assert find(summary, "saw").against_baseline["igd_plus"].verdict == "better"
    assert [ranked.weighting for ranked in summary.ranking] == ["saw", "fixed"]


def test_the_best_fixed_arm_is_chosen_for_each_measure_on_other_seeds() -> None:
    runs = arm("fixed", MIDDLE, "balanced") + arm("fixed", HIGH, "first") + arm("saw", MIDDLE + 0.1, "balanced")
    summary = summarise(runs, name="toy")
    saw, name = find(summary, "saw"), "front_hypervolume"
    assert saw.against_baseline[name].verdict == "better"
    assert (saw.against_best_fixed[name].arm, saw.against_best_fixed[name].verdict) == (("fixed", "first"), "worse")
    assert saw.against_best_fixed[name].p == pytest.approx(2 / 56)  # five runs against three
    choice = Choice(arm=("fixed", "first"), chosen_on=(1, 3), tested_on=(0, 2, 4))
    assert summary.comparisons[0].chosen[name] == choice
    # Fixed arms are what is chosen from: who is not chosen has had bad luck with the seeds that choose.
    assert find(summary, "fixed").against_best_fixed == find(summary, "fixed", "first").against_best_fixed == {}
    own = summarise(runs, name="toy").ranking[1].over_best
    assert own is not None and (own.arm, own.verdict) == (None, "worse")


def test_too_few_seeds_to_choose_and_test_give_no_verdict_against_the_best_fixed_arm() -> None:
    runs = arm("fixed", MIDDLE[:4]) + arm("fixed", HIGH[:4], "first") + arm("saw", HIGH[:4] + 0.1)
    summary = summarise(runs, name="toy")
    assert find(summary, "saw").against_best_fixed == {} and summary.ranking[0].over_best is None
    assert summary.comparisons[0].chosen["front_hypervolume"].tested_on == ()
    assert find(summary, "saw").against_baseline["front_hypervolume"].p == pytest.approx(2 / 70)


def test_what_a_comparison_can_tell_follows_from_the_spread_of_its_main_measure() -> None:
    levels = np.sqrt([0.1, 0.2, 0.3, 0.4, 0.5])
    power = summarise(arm("fixed", levels) + arm("saw", levels), name="toy").comparisons[0].power
    assert power is not None
    assert (power.spread, power.level) == (pytest.approx(math.sqrt(0.025)), pytest.approx(0.3))
    assert power.runs == (5,) and power.needed == runs_needed(power.spread, 0.05 * power.level)
    both = summarise(arm("fixed", levels) + arm("fixed", levels, "first") + arm("saw", levels), name="toy")
    assert both.comparisons[0].power is not None and both.comparisons[0].power.runs == (5, 3)


def test_races_end_at_the_first_validation_that_reaches_the_baselines_last_hypervolume() -> None:
    runs = [outcome("fixed", seed=0, end=(0.5, 0.5)), outcome("saw", seed=0, end=(0.9, 0.9))]
    saw = find(summarise(runs, name="toy"), "saw").outcomes[0]
    # 0.1 + 0.8 t and 0.2 + 0.7 t multiply to 0.25 at t = 0.451: the validation at t = 0.5 is the first that reaches it.
    assert saw.measures["updates_to_baseline"] == 10.0 and saw.measures["tokens_to_baseline"] == 1000.0
    fixed = find(summarise(runs, name="toy"), "fixed").outcomes[0]
    assert fixed.measures["updates_to_baseline"] == 20.0


def test_a_run_that_never_reaches_the_baseline_counts_as_infinitely_late() -> None:
    runs = arm("fixed", [0.5] * 6) + arm("saw", [0.4, 0.9, 0.9, 0.9, 0.9, 0.9]) + arm("random", [0.4] * 6)
    summary = summarise(runs, name="toy")
    saw, random = find(summary, "saw"), find(summary, "random")
    assert (saw.reached, random.reached, find(summary, "fixed").reached) == (5, 0, 6)
    assert saw.outcomes[0].measures["updates_to_baseline"] is None
    assert saw.measures["updates_to_baseline"].value == 10.0
    assert random.measures["updates_to_baseline"].value == math.inf
    assert saw.against_baseline["updates_to_baseline"].probability.value == pytest.approx(5 / 6)
    assert random.against_baseline["updates_to_baseline"].verdict == "worse"
    assert "updates_to_baseline" not in saw.against_best_fixed


def test_a_goal_that_is_missing_is_no_lost_race() -> None:
    runs = arm("fixed", MIDDLE[:4]) + arm("saw", HIGH)
    saw = find(summarise(runs, name="toy"), "saw")
    assert saw.reached == 4 and "updates_to_baseline" not in saw.outcomes[4].measures
    assert "updates_to_baseline" not in saw.measures


def test_without_a_baseline_of_the_same_preference_the_best_fixed_one_is_the_yardstick() -> None:
    runs = arm("fixed", MIDDLE, "first", seconds=10.0) + arm("saw", HIGH, "second", seconds=15.0)
    saw = find(summarise(runs, name="toy"), "saw", "second")
    assert saw.against_baseline == {} and saw.reached == 5
    assert saw.extra_cost["seconds"] == pytest.approx(1.5) and saw.extra_cost["tokens"] == pytest.approx(1.0)


def test_without_fixed_arms_there_are_measures_and_no_comparisons() -> None:
    summary = summarise(arm("saw", HIGH) + arm("random", LOW), name="toy")
    saw = find(summary, "saw")
    assert (saw.against_baseline, saw.against_best_fixed, saw.extra_cost, saw.reached) == ({}, {}, {}, None)
    assert summary.ranking[0].over_baseline is None and summary.ranking[0].over_best is None
    assert summary.comparisons[0].chosen == {} and summary.comparisons[0].power is None


def test_one_seed_gives_neither_intervals_nor_verdicts() -> None:
    summary = summarise(arm("fixed", [0.5]) + arm("saw", [0.9]), name="toy")
    saw = find(summary, "saw")
    assert saw.measures["front_hypervolume"].low == -math.inf
    assert saw.against_baseline["front_hypervolume"].probability == Interval(1.0, 0.0, 1.0)
    assert saw.against_baseline["front_hypervolume"].verdict == "not distinguishable at 1 seed"
    over = summary.ranking[0].over_baseline
    assert over is not None and over.verdict == "not distinguishable at 1 seed"


def test_what_differs_between_arms_is_said() -> None:
    runs = arm("fixed", MIDDLE[:2]) + arm("saw", HIGH[:2], lr=2e-3)
    runs += arm("random", LOW[:1], start=[0.1, 0.25]) + [outcome("gradient", seed=s, steps=40) for s in (0, 1)]
    differences = "\n".join(summarise(runs, name="toy").comparisons[0].differences)
    assert "seeds: 0, 1 in fixed/balanced, gradient/balanced, saw/balanced; 0 in random/balanced" in differences
    assert (
        "settings.lr: 0.001 in fixed/balanced, gradient/balanced, random/balanced; 0.002 in saw/balanced" in differences
    )
    assert "(seed 0 and 1 more)" in differences
    untrained = "[0.1, 0.2] in fixed/balanced, gradient/balanced, saw/balanced; [0.1, 0.25] in random/balanced (seed 0)"
    assert f"validation of the untrained policy: {untrained}" in differences
    assert "updates: 20 in fixed/balanced, random/balanced, saw/balanced; 40 in gradient/balanced" in differences
    assert "responses: 2560 in" in differences and "steps: 20 in" in differences
    assert "weighting" not in differences and "tokens" not in differences


def test_scores_divide_by_the_best_that_all_arms_have_together() -> None:
    runs = [outcome("fixed", seed=s, end=(0.8, 0.4)) for s in range(5)]
    runs += [outcome("saw", seed=s, end=(0.4, 0.8)) for s in range(5)]
    ranking = summarise(runs, name="toy").ranking
    whole = 2 * 0.8 * 0.4 - 0.4 * 0.4
    assert [ranked.score.value for ranked in ranking] == pytest.approx([0.32 / whole] * 2)
    known = [replace(run, exact=[[1.0, 1.0]]) for run in runs]
    assert summarise(known, name="toy").ranking[0].score.value == pytest.approx(0.32)


def test_the_ranking_is_over_all_comparisons_an_arm_takes_part_in() -> None:
    runs = three_arms() + [replace(run, agent="RLOO") for run in arm("fixed", MIDDLE) + arm("saw", MIDDLE - 0.2)]
    summary = summarise(runs, name="toy")
    assert [(comparison.env, comparison.agent) for comparison in summary.comparisons] == [
        ("Toy", "GRPO"),
        ("Toy", "RLOO"),
    ]
    ranked = {item.weighting: item for item in summary.ranking}
    assert (ranked["saw"].comparisons, ranked["random"].comparisons) == (2, 1)
    saw, random = ranked["saw"].over_baseline, ranked["random"]
    assert saw is not None and saw.probability.value == pytest.approx(0.5)
    assert saw.verdict == "not distinguishable at 5 seeds"
    for over in (random.over_baseline, random.over_best):
        assert over is not None and over.verdict == over.corrected == "worse"
    assert (ranked["fixed"].over_baseline, ranked["fixed"].over_best) == (None, None)


def test_runs_that_gain_nothing_have_a_score_of_zero() -> None:
    runs = [replace(run, reference=[5.0, 5.0]) for run in arm("fixed", MIDDLE)]
    runs = [replace(run, measures={**run.measures, "front_hypervolume": 0.0}) for run in runs]
    assert summarise(runs, name="toy").ranking[0].score == Interval(0.0, 0.0, 0.0)


def test_a_benchmark_of_which_nothing_is_finished_is_no_error() -> None:
    failure = Failure(cell="Toy/GRPO/fixed/balanced/seed-0", traceback="ValueError: no")
    summary = summarise([], name="toy", failures=[failure], missing=3, provenance={"commit": "abc"})
    assert (summary.comparisons, summary.ranking, summary.failures, summary.missing) == ([], [], [failure], 3)
    assert summary.provenance == {"commit": "abc"}


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown main 'front_hypervolumes': did you mean 'front_hypervolume'"):
        summarise([], name="toy", main="front_hypervolumes")
    with pytest.raises(ValueError, match="unknown main 'seconds'"):
        summarise([], name="toy", main="seconds")
    twice = "outcomes: must be of different cells, got 2 of Toy/GRPO/fixed/balanced/seed-0"
    with pytest.raises(ValueError, match=twice):
        summarise([outcome(), outcome()], name="toy")
