"""From the outcomes of a benchmark's cells to what they say together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.budgets import at_equal_tokens
from paretune.bench.statistics.choosing import choose_fixed, rival_runs
from paretune.bench.statistics.estimates import compare, interquartile_interval
from paretune.bench.statistics.fairness import differences
from paretune.bench.statistics.families import correct_comparisons
from paretune.bench.statistics.measures import MAIN, MEASURES, completed, value_of
from paretune.bench.statistics.power import power_of
from paretune.bench.statistics.races import run_races
from paretune.bench.statistics.ranking import rank
from paretune.bench.statistics.summary import (
    Arm,
    Choice,
    Comparison,
    Failure,
    Interval,
    Power,
    Rival,
    Setting,
    Summary,
)
from paretune.bench.statistics.validity import judge, of_sweeps, without_verdicts
from paretune.bench.tuned import Tuned
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
    lacks: Sequence[str] = (),
    tuned: Sequence[Tuned] = (),
) -> Summary:
    """Return the statistics of a benchmark: comparisons, each with its arms, and a ranking over all of them.

    Comparisons whose setting is invalid (`paretune.bench.statistics.validity`) have no verdicts, are in no family and
    are not ranked. The best fixed arm is chosen on other seeds than it is tested on
    (`paretune.bench.statistics.choosing`). Verdicts are given as they are and corrected for their family
    (`paretune.bench.statistics.families`).

    Args:
        outcomes: The finished cells, at most one for each environment, agent, weighting, preference and seed.
        name: The benchmark's name.
        baseline: Label of the weighting to compare with; its arms are the fixed arms.
        main: Measure, of kind "volume" or "run", by which arms are ranked.
        failures: Cells that failed.
        missing: Number of cells that have not run yet.
        provenance: Command, machine, versions and commit, by name.
        lacks: Parts of the runs that are not known.
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
    comparisons = _judged(
        [replace(_compare(group, baseline, main), setting=settings[key]) for key, group in sorted(groups.items())]
    )
    return Summary(
        name=name,
        baseline=baseline,
        main=main,
        comparisons=comparisons,
        ranking=rank([each for each in comparisons if each.setting.verdict != "invalid"], baseline, main),
        failures=list(failures),
        missing=missing,
        provenance=dict(provenance or {}),
        lacks=list(lacks),
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


def _judged(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Comparisons with corrected verdicts, or without any where the setting is invalid."""
    valid = iter(correct_comparisons([each for each in comparisons if each.setting.verdict != "invalid"]))
    return [without_verdicts(each) if each.setting.verdict == "invalid" else next(valid) for each in comparisons]


def _compare(outcomes: list[Outcome], baseline: str, main: str) -> Comparison:
    """All arms of one environment and agent."""
    _check_unique(outcomes)
    outcomes = sorted(outcomes, key=lambda outcome: (*outcome.arm, outcome.seed))
    best = choose_fixed(outcomes, baseline, main)
    runs: dict[Key, list[Outcome]] = defaultdict(list)
    for outcome in at_equal_tokens(run_races(outcomes, baseline, best.arm if best else None)):
        runs[outcome.arm].append(outcome)
    bare = [_bare_arm(key, group) for key, group in runs.items()]
    chosen = _choices([run for arm in bare for run in arm.outcomes], baseline)
    arms = [_compared_arm(arm, bare, baseline, chosen, best) for arm in bare]
    sign = -1 if MEASURES[main].larger_is_better else 1
    arms.sort(key=lambda arm: sign * arm.measures[main].value if main in arm.measures else float("inf"))
    first = outcomes[0]
    return Comparison(
        env=first.env,
        agent=first.agent,
        objectives=first.objectives,
        arms=arms,
        differences=differences(outcomes),
        chosen=chosen,
        power=_power(arms, baseline, main, chosen.get(main)),
    )


def _choices(outcomes: Sequence[Outcome], baseline: str) -> dict[str, Choice]:
    """The best fixed arm by each measure that runs have by themselves."""
    names = [name for name, what in MEASURES.items() if what.kind in ("volume", "run")]
    found = {name: choose_fixed(outcomes, baseline, name) for name in names}
    return {name: choice for name, choice in found.items() if choice is not None}


def _power(arms: Sequence[Arm], baseline: str, main: str, choice: Choice | None) -> Power | None:
    values = {(arm.weighting, arm.preference): _values(arm.outcomes, main) for arm in arms if main in arm.measures}
    fixed = [runs for (weighting, _), runs in values.items() if weighting == baseline]
    return power_of(list(values.values()), fixed, len(choice.tested_on) if choice and choice.chosen_on else 0)


def _check_unique(outcomes: Sequence[Outcome]) -> None:
    (cell, number), *_ = Counter(
        (*outcome.comparison, *outcome.arm, outcome.seed) for outcome in outcomes
    ).most_common()
    if number > 1:
        label = "/".join(map(str, cell[:-1])) + f"/seed-{cell[-1]}"
        raise ValueError(f"outcomes: must be of different cells, got {number} of {label}")


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


def _compared_arm(
    arm: Arm, arms: Sequence[Arm], baseline: str, chosen: Mapping[str, Choice], best: Choice | None
) -> Arm:
    """The arm with what it is beside the others."""
    by_key = {(other.weighting, other.preference): other for other in arms}
    own = by_key.get((baseline, arm.preference))
    against_baseline, against_best = {}, {}
    for name in arm.measures:
        if MEASURES[name].kind != "cost" and own is not None and own is not arm and name in own.measures:
            against_baseline[name] = _rival(arm, own.outcomes, name)
        choice = chosen.get(name)
        if arm.weighting != baseline and choice is not None and choice.tested_on:
            against_best[name] = _rival(arm, rival_runs(by_key[choice.arm].outcomes, choice), name)
    yardstick = own or (by_key[best.arm] if best else None)
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


def _rival(arm: Arm, others: Sequence[Outcome], name: str) -> Rival:
    x, y = _values(arm.outcomes, name), _values(others, name)
    return compare([x], [y], larger_is_better=MEASURES[name].larger_is_better, rival=others[0].arm)


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
