"""Arms over all comparisons: scores that can be compared across environments, and who improves on whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.choosing import rival_runs
from paretune.bench.statistics.estimates import compare, interquartile_interval
from paretune.bench.statistics.families import correct_ranking
from paretune.bench.statistics.measures import MEASURES, value_of
from paretune.bench.statistics.summary import Arm, Comparison, Ranked, Rival
from paretune.weighting.archive import hypervolume

Key = tuple[str, str]


def rank(comparisons: Sequence[Comparison], baseline: str, main: str) -> list[Ranked]:
    """Return all arms over the comparisons in which they have the main measure, the best score first.

    Whole sweeps are left out: they have had more training than single runs. So are comparisons whose hypervolumes can
    be put in no relation, since neither fronts nor shares of an exact front are known (of a results file without them).

    Args:
        comparisons: With their arms, the best by the main measure first.
        baseline: Label of the baseline weighting.
        main: Name of the main measure.
    """
    taken: dict[Key, list[tuple[Comparison, Arm]]] = defaultdict(list)
    scores: dict[int, Callable[[Outcome], float]] = {}
    for comparison in comparisons:
        measured = [arm for arm in comparison.arms if main in arm.measures and arm.outcomes[0].runs == 1]
        score = _score([run for arm in measured for run in arm.outcomes], main) if measured else None
        if score is None:
            continue
        scores[id(comparison)] = score
        for arm in measured:
            taken[arm.weighting, arm.preference].append((comparison, arm))
    ranking = []
    for (weighting, preference), parts in taken.items():
        tasks = [[scores[id(comparison)](run) for run in arm.outcomes] for comparison, arm in parts]
        is_fixed = weighting == baseline
        ranking.append(
            Ranked(
                weighting=weighting,
                preference=preference,
                score=interquartile_interval(tasks),
                comparisons=len(parts),
                over_baseline=None if is_fixed else _over_baseline(parts, (baseline, preference), main),
                over_best=None if is_fixed else _over_best(parts, main),
            )
        )
    ranking.sort(key=lambda ranked: (-ranked.score.value, ranked.weighting, ranked.preference))
    return correct_ranking(ranking)


def _over_baseline(parts: Sequence[tuple[Comparison, Arm]], key: Key, main: str) -> Rival | None:
    """How an arm does against the baseline of its preference."""
    rivals = [(arm, _named(comparison.arms, key)) for comparison, arm in parts]
    pairs = [(arm.outcomes, rival.outcomes) for arm, rival in rivals if rival and main in rival.measures]
    return _over(pairs, main, key)


def _over_best(parts: Sequence[tuple[Comparison, Arm]], main: str) -> Rival | None:
    """How an arm does against the fixed arms that other seeds choose."""
    pairs = []
    for comparison, arm in parts:
        choice = comparison.chosen.get(main)
        best = None if choice is None else _named(comparison.arms, choice.arm)
        if choice is not None and best is not None and choice.tested_on:
            pairs.append((arm.outcomes, rival_runs(best.outcomes, choice)))
    return _over(pairs, main, None)


def _over(pairs: Sequence[tuple[list[Outcome], list[Outcome]]], main: str, rival: Key | None) -> Rival | None:
    """How an arm does against its rival, over the comparisons that have one."""
    if not pairs:
        return None
    xs, ys = ([_values(pair[side], main) for pair in pairs] for side in (0, 1))
    return compare(xs, ys, larger_is_better=MEASURES[main].larger_is_better, rival=rival)


def _named(arms: Sequence[Arm], key: Key) -> Arm | None:
    return next((arm for arm in arms if (arm.weighting, arm.preference) == key), None)


def _values(runs: Sequence[Outcome], name: str) -> list[float]:
    return [value for run in runs if (value := value_of(run, name)) is not None]


def _score(outcomes: Sequence[Outcome], main: str) -> Callable[[Outcome], float] | None:
    """The function that normalises a run's main measure within its comparison; None where it is not known."""
    what = MEASURES[main]
    if what.kind == "volume":
        whole = _whole(outcomes)
        if whole is None:
            return None
        return lambda run: (value_of(run, main) or 0.0) / whole if whole > 0 else 0.0
    values = [value for run in outcomes if (value := value_of(run, main)) is not None]
    worst, best = sorted((min(values), max(values)), reverse=not what.larger_is_better)
    return lambda run: ((value_of(run, main) or 0.0) - worst) / (best - worst) if best != worst else 1.0


def _whole(outcomes: Sequence[Outcome]) -> float | None:
    """The hypervolume of the exact front, or of all fronts together; by a share of the former where there are none."""
    exact = next((run.exact for run in outcomes if run.exact is not None), None)
    points = exact if exact is not None else [p.test for run in outcomes for p in [*run.front, *(run.trained or [])]]
    if points:
        return hypervolume(np.array(points), np.array(outcomes[0].reference))
    parts = [(value_of(run, "front_hypervolume"), value_of(run, "share_of_front")) for run in outcomes]
    return next((volume / share for volume, share in parts if volume and share), None)
