"""Sentences of the report on how sure its verdicts are: families, ties, power, and how the fixed arm was chosen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from paretune.bench.statistics.estimates import FEWEST_RUNS
from paretune.bench.statistics.families import least_adjusted
from paretune.bench.statistics.permutation import LEVEL
from paretune.bench.statistics.summary import Arm, Choice, Comparison, Power, Rival

READING = (
    "p is that of the exact permutation test, two-sided: how many of all ways to deal the runs of both arms out again "
    "lead as far from one half. The interval reaches as far to either side of P as equal arms come from one half in "
    'all but 5 % of these ways. So the verdict is "better" or "worse", the interval leaves out one half and p is at '
    'most .05 for the same comparisons. "Not distinguishable" is not "equal": more seeds may tell the arms apart.',
    "After Holm: verdict and p corrected for a family, in which a false verdict is then no likelier than 5 %. A family "
    "is all comparisons of this report with one kind of rival by one measure; the ranking's are families of their own. "
    "Of 40 arms that are equal in truth, up to two are called better or worse before the correction.",
    "The best fixed arm is chosen on other seeds than it is tested on: by every second seed, and its runs with the "
    f"other seeds are the rival of all runs of the other arms. With fewer than {FEWEST_RUNS} seeds it is not tested.",
    "Power is that of the rank test on normal runs, before Holm: d = (t(1 - a/2) + t(.8)) s sqrt((1/n + 1/m) pi/3), "
    "with the level a that the exact test attains, at most 5 %, and the standard deviation s between the runs of an "
    "arm pooled over the arms (Snedecor and Cochran 1989; Hodges and Lehmann 1956).",
)
"""How verdicts are to be read."""


def choice_text(choice: Choice) -> str:
    """Return how the fixed arm was chosen.

    Example:
        >>> choice_text(Choice(arm=("fixed", "equal"), chosen_on=(1, 3), tested_on=(0, 2, 4)))
        'the best fixed arm, chosen on seeds 1, 3, is fixed/equal, tested on seeds 0, 2, 4'
    """
    name = "/".join(choice.arm)
    if not choice.chosen_on:
        return f"the only fixed arm is {name}"
    on = ", ".join(map(str, choice.chosen_on))
    if not choice.tested_on:
        return (
            f"the best fixed arm by all seeds is {name}, and is not tested: choosing it on other seeds takes "
            f"{FEWEST_RUNS} seeds, and there are {len(choice.chosen_on)}"
        )
    tested = ", ".join(map(str, choice.tested_on))
    return f"the best fixed arm, chosen on seeds {on}, is {name}, tested on seeds {tested}"


def family_text(rival: str, rivals: Iterable[Rival | None]) -> str:
    """Return how large a family is, and whether its seeds can make any difference significant.

    Args:
        rival: What the arms are compared with.
        rivals: All comparisons of the family; None for arms that are not compared.
    """
    family = [each for each in rivals if each is not None]
    if not family:
        return ""
    text = f"Family against {rival}: {_number(len(family), 'comparison')}."
    least = least_adjusted(family)
    if least > LEVEL:
        text += (
            f" With so many comparisons at so few seeds no result can be better than p = {p_text(least)} after Holm, "
            "so none can be significant."
        )
    return text


def ties_text(arms: Sequence[Arm], main: str) -> str:
    """Return the largest share of tied pairs among the comparisons of a measure; nothing if there are none."""
    rivals = [
        (rival.ties, f"{arm.weighting}/{arm.preference}")
        for arm in arms
        for rival in (arm.against_baseline.get(main), arm.against_best_fixed.get(main))
        if rival is not None
    ]
    ties, name = max(rivals, default=(0.0, ""))
    return f"Tied pairs, which count half: at most {ties:.0%} ({name})." if ties else ""


def power_text(comparison: Comparison) -> str:
    """Return how large a difference a comparison can tell, and how many seeds would tell 5 % of the baseline."""
    power = comparison.power
    if power is None:
        return ""
    text = f"Power: in 80 % of all cases {power.runs[0]} runs of each arm tell {_told(power, 0)}"
    if len(power.runs) > 1:
        text += f", and the chosen fixed arm's {power.runs[1]} tell {_told(power, 1)}"
    if power.needed is None:
        return f"{text}."
    share = f"{power.share:.0%} of the baseline's mean ({power.share * power.level:.3g})"
    return f"{text}. {power.needed} seeds would tell {share}."


def p_text(p: float) -> str:
    """Return a p-value with two digits; what is too small to matter as that.

    Example:
        >>> [p_text(p) for p in (1.0, 0.31, 0.0357, 0.000123, 1e-9)]
        ['1', '0.31', '0.036', '0.0001', '<1e-6']
    """
    if p < 1e-6:
        return "<1e-6"
    return f"{p:.2g}" if p >= 0.001 else f"{p:.1g}"


def _told(power: Power, place: int) -> str:
    """A difference that is told in 80 % of all cases, and the probability of improvement that goes with it."""
    told, chance = power.told[place], power.chances[place]
    if math.isinf(told):
        return "no difference"
    share = f"{abs(told / power.level):.0%} of the baseline's mean, " if power.level else ""
    return f"a difference of {told:.3g} ({share}P {chance:.2f})"


def _number(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"
