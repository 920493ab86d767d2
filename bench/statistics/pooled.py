"""Whole sweeps: the runs of a strategy for all preferences, judged as one set of policies.

Shapes: K objectives.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from paretune.bench.outcome import Course, Curve, Outcome, Point, undominated
from paretune.bench.statistics.measures import measure
from paretune.weighting import ParetoArchive
from paretune.weighting.archive import hypervolume

Key = tuple[str, str, str, int]


def whole_sweeps(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return an outcome for each strategy and seed that is trained for all preferences of its comparison, two or more.

    They are comparisons of their own, called "ENV, N preferences together": the front is that of all runs together,
    hypervolumes are those of all runs' policies at the same step, weights and rewards are means over the runs, and
    costs are sums (of memory, the most). The last policies count as one set; the last policy on its own is their mean.
    """
    groups: dict[Key, list[Outcome]] = defaultdict(list)
    preferences: dict[tuple[str, str], set[str]] = defaultdict(set)
    for outcome in outcomes:
        groups[outcome.env, outcome.agent, outcome.weighting, outcome.seed].append(outcome)
        preferences[outcome.comparison].add(outcome.preference)
    return [
        _pool(runs)
        for (env, agent, _, _), runs in groups.items()
        if len(runs) > 1 and len(runs) == len(preferences[env, agent])
    ]


def _pool(runs: Sequence[Outcome]) -> Outcome:
    first = runs[0]
    front, curve = undominated([point for run in runs for point in run.front]), _curve(runs)
    trained = _trained(runs)
    final = Point(
        step=first.final.step,
        validation=_mean([run.final.validation for run in runs]),
        test=_mean([run.final.test for run in runs]),
    )
    measures = measure(curve, front, final, first.reference, first.exact, trained)
    last = np.array([run.final.test for run in runs])
    measures["final_hypervolume"] = hypervolume(last, np.array(first.reference))
    return Outcome(
        env=f"{first.env}, {len(runs)} preferences together",
        agent=first.agent,
        weighting=first.weighting,
        preference="all",
        seed=first.seed,
        objectives=first.objectives,
        reference=first.reference,
        curve=curve,
        course=Course(
            steps=first.course.steps,
            direction=_mean([run.course.direction for run in runs]),
            scale=_mean([run.course.scale for run in runs]),
            rewards=_mean([run.course.rewards for run in runs]),
        ),
        front=front,
        final=final,
        exact=first.exact,
        measures=measures,
        cost=_cost(runs),
        setup=first.setup | {"preference": None},
        runs=len(runs),
        untrained=first.start,
        trained=trained,
        sweep_of=first.env,
    )


def _trained(runs: Sequence[Outcome]) -> list[Point] | None:
    """Return the trained policies of all runs that no other one of them dominates; None where some are not known."""
    fronts = [run.trained_front for run in runs]
    known = [front for front in fronts if front is not None]
    return undominated([point for front in known for point in front]) if len(known) == len(runs) else None


def _curve(runs: Sequence[Outcome]) -> Curve:
    archive, hypervolumes = ParetoArchive(runs[0].reference), []
    for i, step in enumerate(runs[0].curve.steps):
        for run in runs:
            archive.add(run.curve.performance[i], tag=step)
        hypervolumes.append(archive.hypervolume())
    return Curve(
        steps=runs[0].curve.steps,
        updates=np.sum([run.curve.updates for run in runs], axis=0).tolist(),
        tokens=np.sum([run.curve.tokens for run in runs], axis=0).tolist(),
        performance=_mean([run.curve.performance for run in runs]),
        hypervolume=hypervolumes,
    )


def _cost(runs: Sequence[Outcome]) -> dict[str, float]:
    names = dict.fromkeys(name for run in runs for name in run.cost)
    cost = {name: sum(run.cost.get(name, 0.0) for run in runs) for name in names}
    cost["peak_memory_mb"] = max(run.cost["peak_memory_mb"] for run in runs)
    return cost


def _mean(values: Sequence[object]) -> list:
    """Return the mean of lists of numbers, or of lists of lists, that have the same shape."""
    return np.mean(np.array(values, dtype=np.float64), axis=0).tolist()
