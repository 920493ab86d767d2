"""From the outcomes of a benchmark's cells to what they say together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.budgets import at_equal_tokens
from paretune.bench.statistics.estimates import (
    interquartile_interval,
    interquartile_mean,
    probability_of_improvement,
    verdict,
)
from paretune.bench.statistics.fairness import differences
from paretune.bench.statistics.measures import MAIN, MEASURES, completed, value_of
from paretune.bench.statistics.races import run_races
from paretune.bench.statistics.ranking import best_fixed, rank
from paretune.bench.statistics.summary import Arm, Comparison, Failure, Interval, Rival, Setting, Summary, Tuned
from paretune.bench.statistics.validity import judge, of_sweeps, without_verdicts
from paretune.envs.suggest import unknown_name

Key = tuple[str, str]


def summarise(
    outcomes: Iterable[Outcome],
    *,
    name: str,
    baseline: str = "fixed",
    main: str = MAIN,
    failures: Sequence[Failure] = (),
    missing: int = 0,
    provenance: Mapping[str, str] | None = None,
    tuned: Sequence[Tuned] = (),
) -> Summary:
    """Return the statistics of a benchmark: comparisons, each with its arms, and a ranking over all of them.

    Comparisons whose setting is invalid (`paretune.bench.statistics.validity`) have no verdicts and are not ranked.

    The best fixed arm of a measure is the one that turned out best by that very measure, with these very runs; who
    chooses fixed weights beforehand does no better. Comparing with it is therefore hard on the other arms.

    Args:
        outcomes: The finished cells, at most one for each environment, agent, weighting, preference and seed.
        name: The benchmark's name.
        baseline: Label of the weighting to compare with; its arms are the fixed arms.
        main: Measure, of kind "volume" or "run", by which arms are ranked.
        failures: Cells that failed.
        missing: Number of cells that have not run yet.
        provenance: Command, machine, versions and commit, by name.
        tuned: What was tuned before.

    Raises:
        ValueError: If `main` is not such a measure, or two outcomes are of the same cell.
    """
    choices = [measure for measure, what in MEASURES.items() if what.kind in ("volume", "run")]
    if main not in choices:
        raise ValueError(unknown_name("main", main, choices))
    groups: dict[Key, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.comparison].append(completed(outcome))
    settings = _settings(groups, baseline)
    comparisons = [
        without_verdicts(replace(_compare(group, baseline, main), setting=settings[key]))
        for key, group in sorted(groups.items())
    ]
    return Summary(
        name=name,
        baseline=baseline,
        main=main,
        comparisons=comparisons,
        ranking=rank([each for each in comparisons if each.setting.verdict != "invalid"], baseline, main),
        failures=list(failures),
        missing=missing,
        provenance=dict(provenance or {}),
        tuned=list(tuned),
    )


def _settings(groups: Mapping[Key, list[Outcome]], baseline: str) -> dict[Key, Setting]:
    """Whether each comparison can say anything; whole sweeps can if their runs can."""
    sweeps = {key: group for key, group in groups.items() if group[0].sweep_of is not None}
    settings = {key: judge(group, baseline) for key, group in groups.items() if key not in sweeps}
    for key, group in sweeps.items():
        single = settings.get((str(group[0].sweep_of), group[0].agent), Setting())
        settings[key] = of_sweeps(group, single)
    return settings


def _compare(outcomes: list[Outcome], baseline: str, main: str) -> Comparison:
    """All arms of one environment and agent."""
    _check_unique(outcomes)
    best = _best_fixed_key(outcomes, baseline, main)
    runs: dict[Key, list[Outcome]] = defaultdict(list)
    compared = at_equal_tokens(run_races(outcomes, baseline, best))
    for outcome in sorted(compared, key=lambda outcome: (*outcome.arm, outcome.seed)):
        runs[outcome.arm].append(outcome)
    bare = [_bare_arm(key, group) for key, group in runs.items()]
    arms = [_compared_arm(arm, bare, baseline, best) for arm in bare]
    sign = -1 if MEASURES[main].larger_is_better else 1
    arms.sort(key=lambda arm: sign * arm.measures[main].value if main in arm.measures else float("inf"))
    first = outcomes[0]
    return Comparison(
        env=first.env, agent=first.agent, objectives=first.objectives, arms=arms, differences=differences(outcomes)
    )


def _check_unique(outcomes: Sequence[Outcome]) -> None:
    (cell, number), *_ = Counter(
        (*outcome.comparison, *outcome.arm, outcome.seed) for outcome in outcomes
    ).most_common()
    if number > 1:
        label = "/".join(map(str, cell[:-1])) + f"/seed-{cell[-1]}"
        raise ValueError(f"outcomes: must be of different cells, got {number} of {label}")


def _best_fixed_key(outcomes: Sequence[Outcome], baseline: str, main: str) -> Key | None:
    """The fixed arm with the best main measure, for arms without a baseline of their preference."""
    values: dict[Key, list[float]] = defaultdict(list)
    for outcome in outcomes:
        value = value_of(outcome, main)
        if outcome.weighting == baseline and value is not None:
            values[outcome.arm].append(value)
    sign = 1 if MEASURES[main].larger_is_better else -1
    return max(sorted(values), key=lambda key: sign * interquartile_mean(values[key]), default=None)


def _bare_arm(key: Key, runs: list[Outcome]) -> Arm:
    """An arm by itself."""
    measures: dict[str, Interval] = {}
    for name in MEASURES:
        values = _values(runs, name)
        if len(values) == len(runs):
            measures[name] = interquartile_interval([values])
    raced = [run.measures["updates_to_baseline"] for run in runs if "updates_to_baseline" in run.measures]
    return Arm(
        weighting=key[0],
        preference=key[1],
        outcomes=runs,
        measures=measures,
        against_baseline={},
        against_best_fixed={},
        extra_cost={},
        reached=sum(value is not None for value in raced) if raced else None,
    )


def _compared_arm(arm: Arm, arms: Sequence[Arm], baseline: str, best: Key | None) -> Arm:
    """The arm with what it is beside the others."""
    by_key = {(other.weighting, other.preference): other for other in arms}
    own = by_key.get((baseline, arm.preference))
    against_baseline, against_best = {}, {}
    for name in arm.measures:
        kind = MEASURES[name].kind
        if kind != "cost" and own is not None and own is not arm and name in own.measures:
            against_baseline[name] = _rival(arm, own, name)
        rival = best_fixed(arms, baseline, name) if kind in ("volume", "run") else None
        if rival is not None and rival is not arm:
            against_best[name] = _rival(arm, rival, name)
    yardstick = own or (by_key[best] if best else None)
    return Arm(
        weighting=arm.weighting,
        preference=arm.preference,
        outcomes=arm.outcomes,
        measures=arm.measures,
        against_baseline=against_baseline,
        against_best_fixed=against_best,
        extra_cost=_cost_ratios(arm.outcomes, yardstick.outcomes) if yardstick else {},
        reached=arm.reached,
    )


def _rival(arm: Arm, other: Arm, name: str) -> Rival:
    x, y = _values(arm.outcomes, name), _values(other.outcomes, name)
    chance = probability_of_improvement([x], [y], larger_is_better=MEASURES[name].larger_is_better)
    return Rival(
        arm=(other.weighting, other.preference), probability=chance, verdict=verdict(chance, min(len(x), len(y)))
    )


def _cost_ratios(runs: Sequence[Outcome], others: Sequence[Outcome]) -> dict[str, float]:
    """Mean cost over the others' mean cost, for all costs that every run has and that cost the others something."""
    ratios = {}
    for name in runs[0].cost:
        if all(name in run.cost for run in [*runs, *others]):
            mean, other = (sum(run.cost[name] for run in group) / len(group) for group in (runs, others))
            if other > 0:
                ratios[name] = mean / other
    return ratios


def _values(runs: Sequence[Outcome], name: str) -> list[float]:
    return [value for run in runs if (value := value_of(run, name)) is not None]
