"""Verdicts that hold for all comparisons of a family together, by Holm's correction.

A family is all comparisons with one kind of rival by one measure: those of all arms in all comparisons of a report,
and, apart from them, those of all arms in the ranking over all comparisons. Holm (1979), "A Simple Sequentially
Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2): of N p-values the i-th smallest is
multiplied by N - i + 1 and is at least as large as those before it. However the comparisons depend on each other, a
false verdict in the family is then no likelier than 5 %.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from paretune.bench.statistics.permutation import LEVEL
from paretune.bench.statistics.summary import Arm, Comparison, Ranked, Rival


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the adjusted p-values.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    number = len(p_values)
    order = np.argsort(p_values, kind="stable")
    scaled = [(number - i) * p_values[place] for i, place in enumerate(order)]
    adjusted = np.empty(number)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0) if number else []
    return adjusted.tolist()


def corrected(rivals: Sequence[Rival]) -> list[Rival]:
    """Return the rivals of one family with their adjusted p-values and verdicts."""
    adjusted = holm([rival.p for rival in rivals])
    return [
        replace(rival, family=len(rivals), adjusted=p, corrected=_verdict(rival, p))
        for rival, p in zip(rivals, adjusted, strict=True)
    ]


def least_adjusted(rivals: Iterable[Rival]) -> float:
    """Return the smallest adjusted p-value that any comparison of a family can have, with its numbers of runs."""
    return min((min(1.0, rival.family * rival.least_p) for rival in rivals), default=1.0)


def correct_comparisons(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return comparisons whose arms have corrected verdicts."""
    arms = [arm for comparison in comparisons for arm in comparison.arms]
    own = _by_measure(arms, lambda arm: arm.against_baseline)
    best = _by_measure(arms, lambda arm: arm.against_best_fixed)
    done = iter(
        replace(arm, against_baseline=mine, against_best_fixed=other)
        for arm, mine, other in zip(arms, own, best, strict=True)
    )
    return [replace(comparison, arms=[next(done) for _ in comparison.arms]) for comparison in comparisons]


def correct_ranking(ranking: Sequence[Ranked]) -> list[Ranked]:
    """Return the ranking with corrected verdicts."""
    own = _some_corrected([ranked.over_baseline for ranked in ranking])
    best = _some_corrected([ranked.over_best for ranked in ranking])
    return [
        replace(ranked, over_baseline=mine, over_best=other)
        for ranked, mine, other in zip(ranking, own, best, strict=True)
    ]


def _verdict(rival: Rival, adjusted: float) -> str:
    """The verdict, where the adjusted p-value leaves it; else that there is none."""
    if adjusted <= LEVEL or rival.verdict not in ("better", "worse"):
        return rival.verdict
    return "not distinguishable"


def _by_measure(arms: Sequence[Arm], kind: Callable[[Arm], dict[str, Rival]]) -> list[dict[str, Rival]]:
    """The arms' rivals of one kind, each measure corrected as a family."""
    names = dict.fromkeys(name for arm in arms for name in kind(arm))
    done = {name: _some_corrected([kind(arm).get(name) for arm in arms]) for name in names}
    return [
        {name: rival for name in kind(arm) if (rival := done[name][place]) is not None}
        for place, arm in enumerate(arms)
    ]


def _some_corrected(rivals: Sequence[Rival | None]) -> list[Rival | None]:
    done = iter(corrected([rival for rival in rivals if rival is not None]))
    return [None if rival is None else next(done) for rival in rivals]
