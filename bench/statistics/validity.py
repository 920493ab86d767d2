"""Whether a setting can say anything about weights: training has to raise there what it is for.

**A setting is valid** if training raises what the fixed arms are trained for. The own weighted objective of a policy is
w . f, its arm's preference w times its performance f on the test split; the gain of a run is that of its last policy
less that of its untrained one. The last policy is the rule, since it is what training leads to; the best of several,
which validation picks, is shown beside it. The setting is valid if

  1. every fixed arm's mean gain is above 0, and
  2. the mean over the fixed arms, seed by seed, has a 95 % t interval over the seeds that lies above 0.

It is invalid if either does not hold. With fewer than five seeds, of which no verdict is given anyway, a valid setting
can look otherwise by chance: it is invalid only if the interval of 2 lies below 0, and else not known.

Why not an interval above 0 for every arm: of settings with five arms and five seeds, in which every arm gains as much
as its gains spread between seeds (1 standard deviation), 1 % would pass, and 62 % of those with 2 standard deviations.
The rule above passes 91 % and all of them, and less than 1 % of those in which nothing is gained
(`tests/bench/statistics/test_validity.py` simulates it). The intervals are over seeds: that a test split is small, and
the same for all, is not in them.

An arm has nothing to gain if the exact front is known and shows that the untrained policy has `ENOUGH` of the largest
own weighted objective that there is. Such arms do not count; where there are no others, the setting is invalid, as
there is nothing to teach.

Shapes: K objectives, E points of an exact front, n runs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from paretune.bench.outcome import Outcome, Point
from paretune.bench.statistics.apart import tells_apart
from paretune.bench.statistics.estimates import FEWEST_RUNS, interquartile_interval
from paretune.bench.statistics.measures import untrained_measures
from paretune.bench.statistics.summary import Arm, Comparison, Effect, Gain, Interval, Setting

Key = tuple[str, str]

NO_VERDICT = "no verdict: invalid setting"
"""What stands in the place of every verdict of an invalid setting."""

ENOUGH = 0.99
"""An untrained policy that has this share of the largest own weighted objective has nothing to gain."""


def mean_interval(values: ArrayLike) -> Interval:
    """Return the mean of values (n,) with its 95 % t interval; from minus to plus infinity for a single value.

    Example:
        >>> interval = mean_interval([0.0, 1.0, 2.0])  # t(2) = 4.303, standard error 1 / sqrt(3)
        >>> round(interval.low, 3), interval.value, round(interval.high, 3)
        (-1.484, 1.0, 3.484)
    """
    values_n = np.asarray(values, dtype=np.float64)
    mean, n = float(values_n.mean()), len(values_n)
    if n < 2:
        return Interval(mean, -math.inf, math.inf)
    half = float(stats.t.ppf(0.975, n - 1) * values_n.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half)


def judge(outcomes: Sequence[Outcome], baseline: str) -> Setting:
    """Return whether the setting of one comparison's single runs is valid, and whether it tells weights apart.

    Args:
        outcomes: All outcomes of the comparison.
        baseline: Label of the weighting whose arms are the fixed arms.
    """
    arms: dict[Key, list[Outcome]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda outcome: (*outcome.arm, outcome.seed)):
        if outcome.own_weights is not None and outcome.start is not None:
            arms[outcome.arm].append(outcome)
    if not arms:
        return Setting(apart=tells_apart(outcomes, baseline))
    gains = {key: _gain(runs) for key, runs in arms.items()}
    taught = {
        key: _by_seed(runs)
        for key, runs in arms.items()
        if key[0] == baseline and gains[key].effect != "nothing to gain"
    }
    any_fixed = any(key[0] == baseline for key in arms)
    setting = validity(taught) if taught or not any_fixed else _nothing_to_teach()
    return replace(
        setting,
        untrained=_untrained([run for runs in arms.values() for run in runs]),
        gains=list(gains.values()),
        apart=tells_apart(outcomes, baseline),
    )


def of_sweeps(outcomes: Sequence[Outcome], single: Setting) -> Setting:
    """Return the setting of whole sweeps: that of the single runs which they are made of.

    Args:
        outcomes: The whole sweeps of one comparison.
        single: The setting of their runs.
    """
    known = [outcome for outcome in outcomes if outcome.start is not None]
    return replace(single, untrained=_untrained(known) if known else {}, gains=[])


def without_verdicts(comparison: Comparison) -> Comparison:
    """Return a comparison as it is, or without verdicts if its setting is invalid."""
    if comparison.setting.verdict != "invalid":
        return comparison
    return replace(comparison, arms=[_silenced(arm) for arm in comparison.arms])


def _silenced(arm: Arm) -> Arm:
    baseline, best = (
        {name: replace(rival, verdict=NO_VERDICT, corrected="") for name, rival in rivals.items()}
        for rivals in (arm.against_baseline, arm.against_best_fixed)
    )
    return replace(arm, against_baseline=baseline, against_best_fixed=best)


def _own(run: Outcome, point: Point | None) -> float:
    """The own weighted objective of a policy."""
    assert run.own_weights is not None and point is not None
    return float(np.dot(run.own_weights, point.test))


def _by_seed(runs: Sequence[Outcome]) -> dict[int, float]:
    return {run.seed: _own(run, run.final) - _own(run, run.start) for run in runs}


def _gain(runs: Sequence[Outcome]) -> Gain:
    """The gain of an arm whose runs have an untrained policy."""
    gain = mean_interval(list(_by_seed(runs).values()))
    untrained = float(np.mean([_own(run, run.start) for run in runs]))
    final = float(np.mean([_own(run, run.final) for run in runs]))
    picked = [_picked(run) for run in runs]
    known = [_own(run, point) - _own(run, run.start) for run, point in zip(runs, picked, strict=True) if point]
    return Gain(
        weighting=runs[0].weighting,
        preference=runs[0].preference,
        weights=list(runs[0].own_weights or []),
        seeds=len(runs),
        untrained=untrained,
        final=final,
        gain=gain,
        picked_gain=mean_interval(known) if len(known) == len(runs) else None,
        effect=_effect(gain, _share(runs[0], untrained)),
        share=_share(runs[0], final),
    )


def _effect(gain: Interval, has: float | None) -> Effect:
    """What training did to an arm whose untrained policy has this share of what there is, if that is known."""
    if has is not None and has >= ENOUGH:
        return "nothing to gain"
    return "raised" if gain.low > 0 else "lowered" if gain.high < 0 else "not raised"


def _picked(run: Outcome) -> Point | None:
    """The trained policy that validation picks for the run's own preference."""
    return max(
        run.trained_front or [], key=lambda point: float(np.dot(run.own_weights or [], point.validation)), default=None
    )


def _share(run: Outcome, value: float) -> float | None:
    """An own weighted objective as a share of the largest on the exact front, both above the reference point."""
    if not run.exact or run.own_weights is None:
        return None
    weights_K, reference_K = np.array(run.own_weights), np.array(run.reference)
    base = float(weights_K @ reference_K)
    largest = float((np.array(run.exact) @ weights_K).max())
    return (value - base) / (largest - base) if largest > base else None


def _untrained(runs: Sequence[Outcome]) -> dict[str, Interval]:
    """Measures of the untrained policy, which is the same in all arms for a seed."""
    by_seed: dict[int, Mapping[str, float]] = {}
    for run in runs:
        if run.seed not in by_seed and run.start is not None:
            by_seed[run.seed] = untrained_measures(run.start, run.reference, run.exact)
    names = next(iter(by_seed.values()))
    return {
        name: interquartile_interval([[values[name] for values in by_seed.values()]])
        for name in names
        if all(name in values for values in by_seed.values())
    }


def _nothing_to_teach() -> Setting:
    return Setting(
        verdict="invalid",
        reason=f"The untrained policy has at least {ENOUGH:.0%} of what each fixed arm's preference could have, by the "
        "exact front: there is nothing to teach.",
    )


def validity(gains: Mapping[Key, Mapping[int, float]]) -> Setting:
    """Return what the rule says of fixed arms.

    Args:
        gains: By fixed arm that has something to gain, the gain of its run by seed.
    """
    if not gains:
        return Setting(reason="No fixed arm has finished runs.")
    seeds = set.intersection(*(set(by_seed) for by_seed in gains.values()))
    if not seeds:
        return Setting(reason="The fixed arms have no seed in common yet.")
    together = mean_interval([np.mean([by_seed[seed] for by_seed in gains.values()]) for seed in sorted(seeds)])
    means = {"/".join(key): mean_interval(list(by_seed.values())) for key, by_seed in gains.items()}
    down = {name: mean for name, mean in means.items() if mean.value <= 0}
    if together.low > 0 and not down:
        return Setting(verdict="valid", reason=_raised(together))
    if together.high >= 0 and len(seeds) < FEWEST_RUNS:
        return Setting(reason=f"Whether training raises the fixed arms' own objective: {_few(len(seeds))}.")
    return Setting(verdict="invalid", reason=_not_raised(together, down, len(means)))


def _raised(together: Interval) -> str:
    return f"Training raises the fixed arms' own weighted objective on test data, by {_text(together)} on average."


def _few(seeds: int) -> str:
    return f"{seeds} seed{'' if seeds == 1 else 's'} cannot tell, it takes {FEWEST_RUNS}"


def _not_raised(together: Interval, down: Mapping[str, Interval], arms: int) -> str:
    whose = "every fixed arm's" if 0 < len(down) < arms else "the fixed arms'"
    text = f"Training does not raise {whose} own weighted objective above the untrained policy's on test data: "
    if not down:
        return text + f"on average it changes by {_text(together)}, which is not shown to be above 0."
    worst = min(down, key=lambda name: down[name].value)
    return text + (
        f"it ends no higher in {len(down)} of {arms} arms (lowest: {worst}, by {_text(down[worst])}), and changes by "
        f"{_text(together)} on average over the arms."
    )


def _text(interval: Interval) -> str:
    if math.isinf(interval.low):
        return f"{interval.value:+.3f}"
    return f"{interval.value:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
