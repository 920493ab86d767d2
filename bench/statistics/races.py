"""Races: how much training it takes to reach what the baseline ends with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from paretune.bench.outcome import Curve, Outcome
from paretune.weighting.archive import TOLERANCE

Arm = tuple[str, str]


def run_races(outcomes: Sequence[Outcome], baseline: str, best_fixed: Arm | None) -> list[Outcome]:
    """Return the outcomes of one comparison with the races among their measures.

    A run's goal is the hypervolume that the baseline's validation archive ends with, for the same preference and seed;
    where no arm is the baseline with this preference, the best fixed arm's. Runs whose goal is not there (that
    baseline run failed, or no arm is fixed) get no race, which is not the same as losing it. If a run has no curve, all
    outcomes are returned as they are.

    Args:
        outcomes: All outcomes of the comparison.
        baseline: Label of the baseline weighting.
        best_fixed: The fixed arm to fall back on.
    """
    if not all(run.curve.steps for run in outcomes):
        return list(outcomes)
    goals = {(*outcome.arm, outcome.seed): outcome.curve.hypervolume[-1] for outcome in outcomes}
    arms = {outcome.arm for outcome in outcomes}
    raced = []
    for outcome in outcomes:
        rival = (baseline, outcome.preference)
        goal = goals.get((*(rival if rival in arms or best_fixed is None else best_fixed), outcome.seed))
        race = {} if goal is None else reach(outcome.curve, goal)
        raced.append(replace(outcome, measures={**outcome.measures, **race}))
    return raced


def reach(curve: Curve, goal: float) -> Mapping[str, float | None]:
    """Return the updates and tokens at the first validation that reaches a hypervolume; None if none does.

    Example:
        >>> curve = Curve(
        ...     steps=[0, 5], updates=[0, 10], tokens=[0, 99], performance=[[0.1], [0.2]], hypervolume=[0.1, 0.2]
        ... )
        >>> reach(curve, 0.15)
        {'updates_to_baseline': 10.0, 'tokens_to_baseline': 99.0}
    """
    enough = goal - TOLERANCE * (1 + abs(goal))
    first = next((i for i, volume in enumerate(curve.hypervolume) if volume >= enough), None)
    return {
        "updates_to_baseline": None if first is None else float(curve.updates[first]),
        "tokens_to_baseline": None if first is None else float(curve.tokens[first]),
    }
