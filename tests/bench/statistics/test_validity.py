"""Whether a setting is valid: by hand, by simulation, and what follows for the verdicts."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from paretune.bench.outcome import Outcome, Point
from paretune.bench.statistics import apart, validity
from paretune.bench.statistics.measures import MAIN
from paretune.bench.statistics.pooled import whole_sweeps
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Interval
from paretune.bench.statistics.validity import NO_VERDICT, judge, mean_interval
from tests.bench.outcomes import outcome

FIRST, SECOND = [0.75, 0.25], [0.25, 0.75]


def arms(
    first: Callable[[int], tuple[float, float]],
    second: Callable[[int], tuple[float, float]],
    seeds: int = 5,
    **changes: object,
) -> list[Outcome]:
    """The runs of two fixed arms, for (.75, .25) and (.25, .75), from (.4, .4) to where is said by seed."""
    given: dict = {"start": [0.4, 0.4], **changes}
    return [
        outcome("fixed", name, seed, end=end(seed), weights=weights, **given)
        for name, weights, end in (("first", FIRST, first), ("second", SECOND, second))
        for seed in range(seeds)
    ]


def up(seed: int) -> tuple[float, float]:
    return 0.6 + 0.01 * seed, 0.5


def down(seed: int) -> tuple[float, float]:
    return 0.2 + 0.01 * seed, 0.3


def test_gains_by_hand() -> None:
    runs = arms(up, lambda seed: (0.5, 0.8), seeds=2, exact=[[1.0, 0.4], [0.4, 1.0]])
    first, second = judge(runs, "fixed").gains
    # .75 * (.6 - .4) + .25 * (.5 - .4) = .175, and .0075 more with the other seed; t(1) = 12.706.
    assert first.gain.value == pytest.approx(0.17875)
    assert first.gain.high - first.gain.value == pytest.approx(12.7062 * 0.00375, rel=1e-4)
    assert (first.untrained, first.final) == pytest.approx((0.4, 0.57875))
    assert (first.weights, first.seeds, first.effect) == (FIRST, 2, "raised")
    # The largest first.f on the exact front: .75 * 1 + .25 * .4 = .85.
    assert first.share == pytest.approx(0.57875 / 0.85)
    assert second.gain == Interval(*[pytest.approx(0.25 * 0.1 + 0.75 * 0.4)] * 3)


def test_the_policy_that_validation_picks_is_a_trained_one_and_judged_on_test_data() -> None:
    (run,) = arms(down, down, seeds=1)[:1]
    best = Point(step=10, validation=[0.39, 0.39], test=[0.7, 0.1])
    other = Point(step=15, validation=[0.0, 0.9], test=[0.9, 0.9])
    gain = judge([replace(run, trained=[best, other])], "fixed").gains[0]
    assert gain.picked_gain is not None
    assert gain.picked_gain.value == pytest.approx(0.75 * 0.7 + 0.25 * 0.1 - 0.4)
    assert gain.gain.value == pytest.approx(0.75 * 0.2 + 0.25 * 0.3 - 0.4)


def test_a_setting_that_lowers_what_it_is_for_is_invalid_and_has_no_verdict_and_no_rank() -> None:
    runs = arms(down, down) + [outcome("saw", "first", s, start=[0.4, 0.4], end=(0.5, 0.5)) for s in range(5)]
    fine = [replace(run, env="Fine") for run in arms(up, up)]
    summary = summarise(runs + fine, name="toy")
    good, bad = summary.comparisons
    assert (good.env, good.setting.verdict) == ("Fine", "valid")
    # The mean of .75 * .22 + .25 * .1 and of .25 * .22 + .75 * .1.
    assert "by +0.160 [" in good.setting.reason
    assert bad.setting.verdict == "invalid"
    assert bad.setting.reason.startswith("Training does not raise the fixed arms' own weighted objective")
    assert "in 2 of 2 arms (lowest: fixed/first, by -0.160 [" in bad.setting.reason
    assert [gain.effect for gain in bad.setting.gains] == ["lowered", "lowered", "raised"]
    rivals = [
        rival for arm in bad.arms for of in (arm.against_baseline, arm.against_best_fixed) for rival in of.values()
    ]
    assert rivals and {rival.verdict for rival in rivals} == {NO_VERDICT}
    assert {(ranked.weighting, ranked.preference) for ranked in summary.ranking} == {
        ("fixed", "first"),
        ("fixed", "second"),
    }
    assert all(ranked.comparisons == 1 for ranked in summary.ranking)
    assert bad.setting.untrained["front_hypervolume"].value == pytest.approx(0.16)
    assert bad.setting.untrained["expected_utility"].value == pytest.approx(0.4)
    assert summarise(runs, name="toy").ranking == []


def test_one_arm_that_ends_no_higher_on_average_is_enough() -> None:
    setting = judge(arms(up, lambda seed: (0.4, 0.398 + 0.001 * seed)), "fixed")
    assert [gain.effect for gain in setting.gains] == ["raised", "not raised"]
    assert setting.verdict == "invalid" and setting.reason.startswith("Training does not raise every fixed arm's own")
    assert "in 1 of 2 arms (lowest: fixed/second, by " in setting.reason


def test_gains_that_chance_explains_are_not_enough_at_five_seeds_and_tell_nothing_at_four() -> None:
    def wild(seed: int) -> tuple[float, float]:
        return (0.9, 0.9) if seed == 0 else (0.38, 0.38)

    five, four = (judge(arms(wild, wild, seeds), "fixed") for seeds in (5, 4))
    assert five.verdict == "invalid" and "which is not shown to be above 0" in five.reason
    assert four.verdict == "not known" and "4 seeds cannot tell, it takes 5" in four.reason
    assert judge(arms(down, down, 2), "fixed").verdict == "invalid"  # t(1) is large, and the interval is below 0
    assert judge(arms(down, down, 1), "fixed").verdict == "not known"


def test_an_untrained_policy_that_is_the_best_there_is_makes_no_setting_invalid() -> None:
    exact = [[1.0, 0.0], [0.0, 1.0]]
    ends = {"first": (1.0, 0.0), "second": (0.1, 0.8)}
    runs = arms(lambda _: ends["first"], lambda _: ends["second"], start=[1.0, 0.0], exact=exact)
    setting = judge(runs, "fixed")
    assert [gain.effect for gain in setting.gains] == ["nothing to gain", "raised"]
    assert setting.verdict == "valid"
    alone = judge([run for run in runs if run.preference == "first"], "fixed")
    assert alone.verdict == "invalid" and "there is nothing to teach" in alone.reason
    unknown = judge([replace(run, exact=None) for run in runs], "fixed")
    assert unknown.verdict == "invalid" and [gain.share for gain in unknown.gains] == [None, None]


def test_outcomes_of_older_versions_are_not_judged_and_keep_their_verdicts() -> None:
    runs = arms(down, down) + [outcome("saw", "first", s, end=(0.9, 0.9)) for s in range(5)]
    old = [replace(run, own_weights=None, untrained=None, trained=None) for run in runs]
    (comparison,) = summarise(old, name="toy").comparisons
    assert comparison.setting.verdict == "not known" and "not recorded" in comparison.setting.reason
    assert comparison.setting.gains == [] and comparison.setting.untrained == {}
    saw = next(arm for arm in comparison.arms if arm.weighting == "saw")
    assert saw.against_baseline[MAIN].verdict == "better"


def test_no_fixed_arm_tells_nothing() -> None:
    setting = judge([outcome("saw", "first", s) for s in range(5)], "fixed")
    assert (setting.verdict, setting.reason) == ("not known", "No fixed arm has finished runs.")
    assert [gain.effect for gain in setting.gains] == ["raised"]


def test_whole_sweeps_are_as_valid_as_their_runs() -> None:
    saw = [replace(run, weighting="saw") for run in arms(up, up)]
    for end, verdict in ((up, "valid"), (down, "invalid")):
        runs = arms(end, end) + saw
        single, sweep = summarise(runs + whole_sweeps(runs), name="toy").comparisons
        assert sweep.env == "Toy, 2 preferences together"
        assert single.setting.verdict == sweep.setting.verdict == verdict
        assert sweep.setting.gains == [] and sweep.setting.untrained["final_hypervolume"].value == pytest.approx(0.16)


def test_a_single_value_has_no_interval() -> None:
    assert mean_interval([0.5]) == Interval(0.5, -math.inf, math.inf)


@pytest.mark.parametrize(("deviations", "low", "high"), [(0.0, 0.0, 0.025), (1.0, 0.85, 1.0), (2.0, 0.99, 1.0)])
def test_how_often_the_rule_passes_settings_of_five_arms_and_five_seeds(
    deviations: float, low: float, high: float
) -> None:
    # Nothing gained: the interval alone is above 0 in 2.5 %, and all five means would have to be above 0 besides.
    # 1 standard deviation: a mean of five is above 0 with probability Phi(sqrt(5)) = .987, five of them in 94 %.
    draws = 400
    rng = np.random.default_rng(0)
    gains = rng.normal(deviations, 1.0, size=(draws, 5, 5))
    passed = np.mean(
        [
            validity.validity({("fixed", str(a)): dict(enumerate(arm)) for a, arm in enumerate(setting)}).verdict
            == "valid"
            for setting in gains
        ]
    )
    slack = 3 * math.sqrt(0.25 / draws) if 0.1 < passed < 0.9 else 3 * math.sqrt(0.025 / draws)
    assert low - slack <= passed <= high + slack


def test_an_interval_above_zero_for_every_arm_would_be_too_much_to_ask() -> None:
    # A t interval at 5 seeds lies above 0 if T > t(4); T has a noncentral t distribution.
    for deviations, most in ((1.0, 0.0105), (2.0, 0.75)):
        one = stats.nct.sf(stats.t.ppf(0.975, 4), 4, deviations * math.sqrt(5))
        assert one**5 < most


def test_the_examples_in_the_docstrings_are_right() -> None:
    for module in (validity, apart):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0
