"""Arms over all comparisons: scores that can be compared across environments, and who improves on whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.estimates import interquartile_interval, probability_of_improvement, verdict
from paretune.bench.statistics.measures import MEASURES, value_of
from paretune.bench.statistics.summary import Arm, Comparison, Interval, Ranked
from paretune.weighting.archive import hypervolume

Key = tuple[str, str]


def rank(comparisons: Sequence[Comparison], baseline: str, main: str) -> list[Ranked]:
    """Return all arms over the comparisons in which they have the main measure, the best score first.

    Whole sweeps are left out: they have had more training than single runs.

    Args:
        comparisons: With their arms, the best by the main measure first.
        baseline: Label of the baseline weighting.
        main: Name of the main measure.
    """
    taken: dict[Key, list[tuple[Comparison, Arm]]] = defaultdict(list)
    scores: dict[int, Callable[[Outcome], float]] = {}
    for comparison in comparisons:
        measured = [arm for arm in comparison.arms if main in arm.measures and arm.outcomes[0].runs == 1]
        if measured:
            scores[id(comparison)] = _score([run for arm in measured for run in arm.outcomes], main)
        for arm in measured:
            taken[arm.weighting, arm.preference].append((comparison, arm))
    ranking = []
    for (weighting, preference), parts in taken.items():
        tasks = [[scores[id(comparison)](run) for run in arm.outcomes] for comparison, arm in parts]
        own = [_named(comparison.arms, (baseline, preference)) for comparison, _ in parts]
        best = [best_fixed(comparison.arms, baseline, main) for comparison, _ in parts]
        is_fixed = weighting == baseline
        over_baseline = (None, "") if is_fixed else _versus([arm for _, arm in parts], own, main)
        over_best = (None, "") if is_fixed else _versus([arm for _, arm in parts], best, main)
        ranking.append(
            Ranked(
                weighting=weighting,
                preference=preference,
                score=interquartile_interval(tasks),
                improvement=over_baseline[0],
                verdict=over_baseline[1],
                comparisons=len(parts),
                improvement_over_best=over_best[0],
                verdict_over_best=over_best[1],
            )
        )
    return sorted(ranking, key=lambda ranked: (-ranked.score.value, ranked.weighting, ranked.preference))


def best_fixed(arms: Sequence[Arm], baseline: str, name: str) -> Arm | None:
    """Return the baseline arm, of any preference, whose interquartile mean of a measure is best; None without one."""
    fixed = [arm for arm in arms if arm.weighting == baseline and name in arm.measures]
    sign = 1 if MEASURES[name].larger_is_better else -1
    return max(fixed, key=lambda arm: sign * arm.measures[name].value, default=None)


def _named(arms: Sequence[Arm], key: Key) -> Arm | None:
    return next((arm for arm in arms if (arm.weighting, arm.preference) == key), None)


def _versus(arms: Sequence[Arm], rivals: Sequence[Arm | None], main: str) -> tuple[Interval | None, str]:
    """How an arm does against its rival in each comparison that has one."""
    pairs = [(arm, rival) for arm, rival in zip(arms, rivals, strict=True) if rival and main in rival.measures]
    if not pairs:
        return None, ""
    xs, ys = ([_values(pair[side], main) for pair in pairs] for side in (0, 1))
    chance = probability_of_improvement(xs, ys, larger_is_better=MEASURES[main].larger_is_better)
    return chance, verdict(chance, min(map(len, [*xs, *ys])))


def _values(arm: Arm, name: str) -> list[float]:
    return [value for run in arm.outcomes if (value := value_of(run, name)) is not None]


def _score(outcomes: Sequence[Outcome], main: str) -> Callable[[Outcome], float]:
    """The function that normalises a run's main measure within its comparison."""
    what = MEASURES[main]
    if what.kind == "volume":
        exact = next((run.exact for run in outcomes if run.exact is not None), None)
        points = (
            exact if exact is not None else [p.test for run in outcomes for p in [*run.front, *(run.trained or [])]]
        )
        whole = hypervolume(np.array(points), np.array(outcomes[0].reference))
        return lambda run: (value_of(run, main) or 0.0) / whole if whole > 0 else 0.0
    values = [value for run in outcomes if (value := value_of(run, main)) is not None]
    worst, best = sorted((min(values), max(values)), reverse=not what.larger_is_better)
    return lambda run: ((value_of(run, main) or 0.0) - worst) / (best - worst) if best != worst else 1.0
