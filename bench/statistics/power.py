"""What a comparison's seeds can tell: differences that are found with a probability of 80 %, and seeds that 5 % takes.

For normal runs with a standard deviation s between them, n of one arm and m of the other, the t test of level a finds a
difference d with a probability of 80 % (to a good approximation) if

    d = (t_(1 - a / 2) + t_.80) s sqrt(1 / n + 1 / m),  t: Student's quantiles for n + m - 2 degrees of freedom

(Snedecor and Cochran, "Statistical Methods", 8th ed. 1989, section 6.14). The level is what the exact rank test
attains, at most 5 %: 3.2 % with 5 and 5 runs. The rank test needs pi / 3 times as many runs for the same power on
normal runs (Hodges and Lehmann 1956, "The Efficiency of Some Nonparametric Competitors of the t-Test", Annals of
Mathematical Statistics 27(2)), so d grows by the root of that. Normal runs that are d apart have a probability of
improvement of Phi(d / (s sqrt 2)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from paretune.bench.statistics.permutation import LEVEL, attained_level
from paretune.bench.statistics.summary import Power

POWER = 0.8
"""Probability with which a difference is told."""

SHARE = 0.05
"""Share of the baseline's level for which the number of runs is given."""

MANY = 1000
"""Pairs of runs from which on the exact test attains nearly 5 %."""

FEWEST, MOST = 4, 10**6
"""Fewest runs an arm that a rank test of level 5 % can call different, 2 / C(8, 4) = 2.9 %; most that are told."""


def told_in_spreads(n: int, m: int) -> float:
    """Return the difference d / s that n and m runs tell; infinite if they are too few.

    Example:
        >>> round(told_in_spreads(10, 10), 3)
        1.39
    """
    level = attained_level(n, m) if n * m <= MANY else LEVEL
    if level == 0:
        return math.inf
    freedom = n + m - 2
    quantiles = stats.t.ppf(1 - level / 2, freedom) + stats.t.ppf(POWER, freedom)
    return float(quantiles * math.sqrt((1 / n + 1 / m) * math.pi / 3))


def runs_needed(spread: float, difference: float) -> int:
    """Return the runs of each arm that tell a difference, at most `MOST`.

    Args:
        spread: Standard deviation s between the runs of an arm.
        difference: d, above 0.

    Example:
        >>> runs_needed(1.0, 1.0)
        18
    """
    low, high = FEWEST - 1, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if told_in_spreads(middle, middle) * spread <= difference else (middle, high)
    return high


def power_of(arms: Sequence[Sequence[float]], baseline: Sequence[Sequence[float]], tested: int) -> Power | None:
    """Return what a comparison can tell; None without two runs of an arm, or without a baseline.

    Args:
        arms: The runs' values of every arm.
        baseline: Those of the baseline's arms among them.
        tested: Runs of the chosen fixed arm that others are tested against; 0 for none.
    """
    freedom = sum(len(values) - 1 for values in arms)
    if freedom < 1 or not baseline:
        return None
    spread = math.sqrt(sum(float(np.var(values)) * len(values) for values in arms) / freedom)
    level = float(np.mean([np.mean(values) for values in baseline]))
    n = int(np.median([len(values) for values in arms]))
    runs = (n, tested) if tested else (n,)
    spreads = [told_in_spreads(n, m) for m in runs]
    return Power(
        spread=spread,
        level=level,
        runs=runs,
        told=tuple(spread * told if spread > 0 else 0.0 for told in spreads),
        chances=tuple(float(stats.norm.cdf(told / math.sqrt(2))) for told in spreads),
        share=SHARE,
        needed=runs_needed(spread, SHARE * abs(level)) if level else None,
    )
