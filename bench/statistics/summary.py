"""What the outcomes of a benchmark say together: plain data, made by `summarise` and shown by the reports."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.bench.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with the ends of its 95 % interval.

    The ends are infinite, or 0 and 1 for a probability, where a single run says nothing about the spread. All three
    can be infinite for a measure of kind "race": most runs never got there.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """How an arm compares with another one, by one measure.

    Attributes:
        arm: Weighting and preference of the other one.
        probability: Probability that a run of this arm is better than one of the other's, with its interval.
        verdict: What follows from the interval: "better", "worse" or "not distinguishable at N seeds".
    """

    arm: tuple[str, str]
    probability: Interval
    verdict: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A weighting with a preference, within a comparison.

    Attributes:
        weighting: Label of the weighting strategy.
        preference: Label of the preference.
        outcomes: Its finished runs, by seed. The races to the baseline are among their measures: None for a run that
            never got there.
        measures: Interquartile mean over the seeds of every measure that is defined for all of them, with its interval.
        against_baseline: By measure, against the baseline weighting with the same preference, where there is one.
        against_best_fixed: By measure, against the fixed arm that is best by that measure in hindsight; not for races,
            since their goals differ by preference.
        extra_cost: Ratio of the arm's mean cost to that of the baseline with the same preference (or the best fixed
            arm), by name of the cost.
        reached: Number of runs that reached the final validation hypervolume of their baseline; None if there is none.
    """

    weighting: str
    preference: str
    outcomes: list[Outcome]
    measures: dict[str, Interval]
    against_baseline: dict[str, Rival]
    against_best_fixed: dict[str, Rival]
    extra_cost: dict[str, float]
    reached: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All arms that trained with the same agent on the same environment.

    Attributes:
        env: Label of the environment.
        agent: Label of the agent.
        objectives: Names of the K objectives.
        arms: The arms, the best by the main measure first.
        differences: What was not the same in all arms although it should be, in words; empty in a fair comparison.
    """

    env: str
    agent: str
    objectives: list[str]
    arms: list[Arm]
    differences: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """An arm over all comparisons that it takes part in.

    Attributes:
        weighting: Label of the weighting strategy.
        preference: Label of the preference.
        score: Interquartile mean of the normalised main measure over comparisons and seeds, with a stratified
            bootstrap interval. A hypervolume is divided by that of all fronts of the comparison together (or of the
            exact front, where it is known); another measure is 0 for the worst and 1 for the best run of the
            comparison.
        improvement: Probability of improvement over the baseline with the same preference, mean over comparisons.
        verdict: What follows from it, in words; empty for the baseline itself.
        comparisons: Number of comparisons.
        improvement_over_best: Probability of improvement over each comparison's best fixed arm in hindsight, mean over
            comparisons; None for fixed arms.
        verdict_over_best: What follows from it, in words.
    """

    weighting: str
    preference: str
    score: Interval
    improvement: Interval | None
    verdict: str
    comparisons: int
    improvement_over_best: Interval | None = None
    verdict_over_best: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A cell that failed.

    Attributes:
        cell: Its name: ENV/AGENT/WEIGHTING/PREFERENCE/seed-N.
        traceback: Where and why.
    """

    cell: str
    traceback: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A benchmark's results.

    Attributes:
        name: The benchmark's name.
        baseline: Label of the baseline weighting.
        main: Name of the main measure, by which arms are ranked.
        comparisons: One for each environment and agent.
        ranking: All arms over all comparisons, the best first.
        failures: Cells that failed.
        missing: Number of cells that have not run yet.
        provenance: Command, machine, versions and commit, by name.
    """

    name: str
    baseline: str
    main: str
    comparisons: list[Comparison]
    ranking: list[Ranked]
    failures: list[Failure]
    missing: int
    provenance: dict[str, str]
