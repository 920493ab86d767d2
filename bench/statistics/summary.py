"""What the outcomes of a benchmark say together: plain data, made by `summarise` and shown by the reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from paretune.bench.outcome import Outcome
from paretune.bench.tuned import Tuned

Effect = Literal["raised", "lowered", "not raised", "nothing to gain"]
"""What training did to what an arm is trained for."""


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

    Interval, p-value and verdict come from one test (`paretune.bench.statistics.permutation`) and say the same.

    Attributes:
        arm: Weighting and preference of the other one; None where it is not the same in all comparisons.
        probability: Probability that a run of this arm is better than one of the other's, with its interval.
        verdict: "better", "worse" or "not distinguishable at N seeds".
        p: Two-sided p-value.
        least_p: The smallest p-value that so many runs can have.
        ties: Share of the pairs of runs that are equal; each counts as half a win.
        family: Number of comparisons in the family that is corrected together.
        adjusted: The p-value after Holm's correction over the family.
        corrected: The verdict that follows from it; empty before the correction.
    """

    arm: tuple[str, str] | None = None
    probability: Interval
    verdict: str
    p: float = 1.0
    least_p: float = 0.0
    ties: float = 0.0
    family: int = 1
    adjusted: float = 1.0
    corrected: str = ""

    @property
    def told(self) -> str:
        """The verdict, and whether it is lost when the family is corrected for."""
        lost = self.corrected and self.corrected != self.verdict
        return f"{self.verdict}, not after Holm" if lost else self.verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The best fixed arm by one measure, chosen on other seeds than it is tested on.

    Attributes:
        arm: Its weighting and preference.
        chosen_on: Seeds whose runs it was chosen by; none where there was only one fixed arm.
        tested_on: Seeds whose runs the other arms are compared with; none where there are too few seeds for both.
    """

    arm: tuple[str, str]
    chosen_on: tuple[int, ...]
    tested_on: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """How large a difference of the main measure a comparison's seeds can tell, before Holm's correction.

    Attributes:
        spread: Standard deviation between the runs of an arm, pooled over the arms.
        level: Mean of the baseline's arms.
        runs: Numbers of runs: those of an arm, and those of the chosen fixed arm that it is tested against, if any.
        told: Differences that are told with a probability of 80 %, against a fixed arm and against the chosen one.
        chances: Probabilities of improvement that normal runs so far apart have.
        share: Share of the level that `needed` is for.
        needed: Runs of each arm that would tell a difference of that share of the level; None if the level is 0.
    """

    spread: float
    level: float
    runs: tuple[int, ...]
    told: tuple[float, ...]
    chances: tuple[float, ...]
    share: float
    needed: int | None


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
        against_best_fixed: By measure, against the fixed arm that is best by that measure on other seeds; empty for
            fixed arms, which are what is chosen from, and not for races, since their goals differ by preference.
        extra_cost: Ratio of the arm's mean cost to that of the baseline with the same preference (or the chosen fixed
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
class Gain:
    """Whether training raised what an arm is trained for, on test data.

    The own weighted objective of a policy is w . f: the arm's preference times the policy's performance.

    Attributes:
        weighting: Label of the weighting strategy.
        preference: Label of the preference.
        weights: The preference w (K,).
        seeds: Number of runs whose untrained policy was tested.
        untrained: Mean of the untrained policy's own weighted objective.
        final: Mean of the last policy's.
        gain: Mean of the last policy's less the untrained one's, seed by seed, with its 95 % t interval.
        picked_gain: The same of the trained policy that is best by w on the validation split; None where a run's
            trained policies are not known.
        effect: "raised" if the interval of `gain` lies above 0, "lowered" if it lies below, else "not raised"; "nothing
            to gain" where the exact front shows that the untrained policy has all.
        share: Mean own weighted objective of the last policy as a share of the largest on the exact front, both above
            the reference point; None where no exact front is known.
    """

    weighting: str
    preference: str
    weights: list[float]
    seeds: int
    untrained: float
    final: float
    gain: Interval
    picked_gain: Interval | None
    effect: Effect
    share: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """Whether a setting tells fixed weights apart: they end at different places, in the order of their preferences.

    Attributes:
        verdict: "yes", "no" or "not known".
        reason: Why, in a sentence.
        correlations: By objective, the rank correlation over the fixed runs between its weight and what the last policy
            earns of it on test data; those are left out of which all runs have the same weight, or earn the same.
        worth: What an arm's last policy is worth to its own preference, less what the other fixed arms' are worth to
            it, mean over the fixed arms; None without two of them.
    """

    verdict: Literal["yes", "no", "not known"] = "not known"
    reason: str = "No two fixed arms with different weights have finished runs."
    correlations: dict[str, float] = field(default_factory=dict)
    worth: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Whether a comparison can say anything about weights at all.

    Attributes:
        verdict: "valid", "invalid" or "not known".
        reason: Why, in a sentence.
        untrained: Measures of the untrained policy alone, interquartile means over the seeds; empty where it was not
            tested.
        gains: One for each arm whose runs tested the untrained policy, in the order of their labels.
        apart: Whether fixed weights end at different places.
    """

    verdict: Literal["valid", "invalid", "not known"] = "not known"
    reason: str = "The untrained policy's performance on test data was not recorded."
    untrained: dict[str, Interval] = field(default_factory=dict)
    gains: list[Gain] = field(default_factory=list)
    apart: Apart = field(default_factory=Apart)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All arms that trained with the same agent on the same environment.

    Attributes:
        env: Label of the environment.
        agent: Label of the agent.
        objectives: Names of the K objectives.
        arms: The arms, the best by the main measure first.
        differences: What was not the same in all arms although it should be, in words; empty in a fair comparison.
        setting: Whether it can say anything about weights at all. Where it is invalid, there are no verdicts.
        chosen: The best fixed arm by measure, and the seeds that chose it; empty without fixed arms.
        power: How large a difference its seeds can tell; None without a baseline of at least two runs.
    """

    env: str
    agent: str
    objectives: list[str]
    arms: list[Arm]
    differences: list[str]
    setting: Setting = field(default_factory=Setting)
    chosen: dict[str, Choice] = field(default_factory=dict)
    power: Power | None = None


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
        comparisons: Number of comparisons.
        over_baseline: Against the baseline with the same preference, mean over comparisons; None for the baseline.
        over_best: Against each comparison's chosen fixed arm, mean over comparisons; None for fixed arms.
    """

    weighting: str
    preference: str
    score: Interval
    comparisons: int
    over_baseline: Rival | None = None
    over_best: Rival | None = None


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
        tuned: What was tuned before, one for each environment and agent; empty where nothing was.
        lacks: Parts of the runs that the results file, which the summary was made from, does not hold.
    """

    name: str
    baseline: str
    main: str
    comparisons: list[Comparison]
    ranking: list[Ranked]
    failures: list[Failure]
    missing: int
    provenance: dict[str, str]
    tuned: list[Tuned] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
