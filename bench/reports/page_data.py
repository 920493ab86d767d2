"""A benchmark's summary as the numbers that its page shows: short keys, rounded, thinned, without what is not shown.

Shapes: K objectives, N seeds, G common steps, E points of an exact front.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paretune.bench.outcome import Outcome, Point
from paretune.bench.reports.certainty import choice_text, p_text, power_text
from paretune.bench.reports.page_lines import (
    LINE_DIGITS,
    SEED_POINTS,
    band,
    common_steps,
    on_common_steps,
    rounded,
    short,
    thinned,
)
from paretune.bench.running.choices import setting_words
from paretune.bench.statistics.measures import MEASURES, value_of
from paretune.bench.statistics.summary import Arm, Comparison, Interval, Ranked, Rival, Setting, Summary
from paretune.bench.statistics.validity import mean_interval
from paretune.bench.tuned import Tuned

EXACT_POINTS = 300

ArmName = tuple[str, str]


def arm_names(summary: Summary) -> list[ArmName]:
    """Return weighting and preference of all arms, in the order of the ranking, then as the comparisons have them."""
    ranked = [(arm.weighting, arm.preference) for arm in summary.ranking]
    compared = [(arm.weighting, arm.preference) for comparison in summary.comparisons for arm in comparison.arms]
    return list(dict.fromkeys(ranked + compared))


def overview(summary: Summary) -> dict[str, Any]:
    """Return what the page shows whichever comparison is chosen."""
    names = arm_names(summary)
    arms = [arm for comparison in summary.comparisons for arm in comparison.arms]
    single = [outcome for arm in arms for outcome in arm.outcomes if outcome.runs == 1]
    return {
        "name": summary.name,
        "baseline": summary.baseline,
        "main": summary.main,
        "measures": {
            name: {
                "label": measure.label,
                "explanation": measure.explanation,
                "larger": measure.larger_is_better,
                "kind": measure.kind,
            }
            for name, measure in MEASURES.items()
        },
        "missing": summary.missing,
        "finished": len(single),
        "weightings": len({outcome.weighting for outcome in single}),
        "preferences": len({outcome.preference for outcome in single}),
        "arms": [{"weighting": weighting, "preference": preference} for weighting, preference in names],
        "comparisons": [
            {"env": each.env, "agent": each.agent, "setting": each.setting.verdict, "reason": each.setting.reason}
            for each in summary.comparisons
        ],
        "tuned": [_tuned(each) for each in summary.tuned],
        "ranking": [_ranked(ranked, names) for ranked in summary.ranking],
        "failures": [{"cell": failure.cell, "traceback": failure.traceback} for failure in summary.failures],
        "provenance": {str(name): str(value) for name, value in summary.provenance.items()},
    }


def details(comparison: Comparison, names: Sequence[ArmName]) -> dict[str, Any]:
    """Return what the page shows of one comparison; arms are given by their position in `names`."""
    outcomes = [outcome for arm in comparison.arms for outcome in arm.outcomes]
    exact = next((outcome.exact for outcome in outcomes if outcome.exact), None)
    return {
        "objectives": comparison.objectives,
        "reference": rounded(outcomes[0].reference) if outcomes else None,
        "together": max((outcome.runs for outcome in outcomes), default=1),
        "exact": None if exact is None else rounded(_thinned_front(exact)),
        "differences": comparison.differences,
        "setting": _setting(comparison.setting, names),
        "chosen": {name: choice_text(choice) for name, choice in comparison.chosen.items()},
        "power": power_text(comparison),
        "arms": [_arm(arm, names) for arm in comparison.arms],
    }


def _setting(setting: Setting, names: Sequence[ArmName]) -> dict[str, Any]:
    return {
        "verdict": setting.verdict,
        "reason": setting.reason,
        "untrained": {name: _interval(interval) for name, interval in setting.untrained.items()},
        "gains": [
            {
                "arm": names.index((gain.weighting, gain.preference)),
                "weights": rounded(gain.weights),
                "seeds": gain.seeds,
                "untrained": short(gain.untrained),
                "final": short(gain.final),
                "gain": _interval(gain.gain),
                "picked": gain.picked_gain and _interval(gain.picked_gain),
                "effect": gain.effect,
                "share": short(gain.share),
            }
            for gain in setting.gains
        ],
        "apart": setting.apart.verdict,
        "apartReason": setting.apart.reason,
        "correlations": {name: short(value) for name, value in setting.apart.correlations.items()},
    }


def _tuned(tuned: Tuned) -> dict[str, Any]:
    return {
        "env": tuned.env,
        "agent": tuned.agent,
        "chosen": None if tuned.chosen is None else setting_words(tuned.chosen),
        "remark": tuned.remark,
        "trials": [
            {
                "settings": setting_words(trial.settings),
                "runs": trial.runs,
                "failed": trial.failed,
                "own": trial.own and _interval(mean_interval(trial.own)),
                "gain": trial.gain and _interval(mean_interval(trial.gain)),
            }
            for trial in tuned.trials
        ],
    }


def _arm(arm: Arm, names: Sequence[ArmName]) -> dict[str, Any]:
    outcomes = arm.outcomes
    return {
        "arm": names.index((arm.weighting, arm.preference)),
        "seeds": [outcome.seed for outcome in outcomes],
        "measures": {name: _interval(interval) for name, interval in arm.measures.items()},
        "runs": {name: [short(value_of(outcome, name)) for outcome in outcomes] for name in arm.measures},
        "baseline": {name: _rival(rival, names) for name, rival in arm.against_baseline.items()},
        "best": {name: _rival(rival, names) for name, rival in arm.against_best_fixed.items()},
        "cost": {name: short(ratio) for name, ratio in arm.extra_cost.items()},
        "reached": arm.reached,
        "fronts": [[_point(point) for point in outcome.front] for outcome in outcomes],
        "finals": [_point(outcome.final) for outcome in outcomes],
        "training": _training(outcomes),
        "validation": _validation(outcomes),
    }


def _training(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return weights, scale and rewards at the training steps."""
    courses = [outcome.course for outcome in outcomes]
    parts: dict[str, list[Any]] = {
        "weights": [course.direction for course in courses],
        "scale": [course.scale for course in courses],
        "rewards": [course.rewards for course in courses],
    }
    return _lines([course.steps for course in courses], parts)


def _validation(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return performance and hypervolume at the validations, with the mean updates and tokens done by then."""
    curves = [outcome.curve for outcome in outcomes]
    steps = [curve.steps for curve in curves]
    parts: dict[str, list[Any]] = {
        "performance": [curve.performance for curve in curves],
        "hypervolume": [curve.hypervolume for curve in curves],
    }
    lines = _lines(steps, parts)
    common_G = common_steps(steps)
    for name in ("updates", "tokens"):
        done_NG1 = on_common_steps(common_G, steps, [getattr(curve, name) for curve in curves])
        lines[name] = rounded(done_NG1.mean(axis=0)[:, 0].round()) if done_NG1.size else []
    return lines


def _lines(steps: Sequence[list[int]], parts: dict[str, list[Any]]) -> dict[str, Any]:
    """Return the parts' means and bands at common steps, and every seed's line at fewer of them."""
    common_G = common_steps(steps)
    if not len(common_G):
        return {"steps": []}
    few = thinned(np.arange(len(common_G), dtype=np.float64), SEED_POINTS).astype(int)
    lines: dict[str, Any] = {"steps": rounded(common_G), "few": few.tolist()}
    for name, values in parts.items():
        values_NGC = on_common_steps(common_G, steps, values)
        every_CNG = values_NGC[:, few].transpose(2, 0, 1)
        lines[name] = band(values_NGC) | {"every": rounded(every_CNG, LINE_DIGITS)}
    return lines


def _ranked(ranked: Ranked, names: Sequence[ArmName]) -> dict[str, Any]:
    return {
        "arm": names.index((ranked.weighting, ranked.preference)),
        "score": _interval(ranked.score),
        "baseline": None if ranked.over_baseline is None else _rival(ranked.over_baseline, names),
        "best": None if ranked.over_best is None else _rival(ranked.over_best, names),
        "comparisons": ranked.comparisons,
    }


def _rival(rival: Rival, names: Sequence[ArmName]) -> dict[str, Any]:
    return {
        "arm": names.index(rival.arm) if rival.arm in names else None,
        "probability": _interval(rival.probability),
        "verdict": rival.verdict,
        "p": p_text(rival.p),
        "holm": p_text(rival.adjusted),
        "family": rival.family,
        "holds": rival.corrected in ("better", "worse"),
        "ties": short(rival.ties),
    }


def _interval(interval: Interval) -> list[float | int | str | None]:
    """Return value and ends; the ends are None where a single run says nothing about them."""
    if interval.low == -np.inf:
        return [short(interval.value), None, None]
    return [short(interval.value), short(interval.low), short(interval.high)]


def _point(point: Point) -> list[Any]:
    return [point.step, rounded(point.validation), rounded(point.test)]


def _thinned_front(exact: Sequence[Sequence[float]]) -> np.ndarray:
    """Return at most 300 points (E, K) of an exact front, evenly by the first objective."""
    points_EK = np.unique(np.asarray(exact, dtype=np.float64), axis=0)
    return thinned(points_EK, EXACT_POINTS)
