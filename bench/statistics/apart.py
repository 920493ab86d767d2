"""Whether a setting tells fixed weights apart: runs end at different places, in the order of their preferences.

For each objective there is the rank correlation, over all fixed runs, between its weight and what the last policy earns
of it on test data. The setting tells weights apart if the mean of these correlations is above that of `CERTAIN` of all
permutations of the runs, and no single one is lower than chance allows (the same level, divided by the number of
objectives). Otherwise a second permutation test, of the spread of the arms' mean ranks, says whether the arms end at
the same place or out of order.

Shapes: N runs, A fixed arms, K objectives, R permutations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.estimates import FEWEST_RUNS
from paretune.bench.statistics.summary import Apart

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

CERTAIN = 0.95
PERMUTATIONS = 4999

Verdict = Literal["yes", "no", "not known"]


def tells_apart(outcomes: Sequence[Outcome], baseline: str) -> Apart:
    """Return whether the last policies of the fixed runs differ as their weights do.

    Args:
        outcomes: All outcomes of one comparison.
        baseline: Label of the weighting whose arms are the fixed arms.
    """
    runs = [run for run in outcomes if run.weighting == baseline and run.own_weights is not None]
    weights = sorted({tuple(run.own_weights or []) for run in runs})
    if len(weights) < 2:
        return Apart()
    weights_AK, arm_N = np.array(weights), np.array([weights.index(tuple(run.own_weights or [])) for run in runs])
    test_NK = np.array([run.final.test for run in runs])
    names = runs[0].objectives
    test = order_test(weights_AK, test_NK, arm_N)
    verdict, reason = _verdict(test, names)
    if verdict == "no" and np.bincount(arm_N).min() < FEWEST_RUNS:
        verdict, reason = "not known", f"It takes {FEWEST_RUNS} runs of each fixed arm to tell."
    known = {name: value for name, value in zip(names, test.correlations, strict=True) if value is not None}
    return Apart(verdict=verdict, reason=reason, correlations=known, worth=worth_of_own(weights_AK, test_NK, arm_N))


def _verdict(test: OrderTest, names: Sequence[str]) -> tuple[Verdict, str]:
    """The rule, and why."""
    level = 1 - CERTAIN
    falls = [name for name, p in zip(names, test.p_falls, strict=True) if p <= level / len(names)]
    if falls:
        return (
            "no",
            f"The fixed arms end out of the order of their preferences: more weight, less {' and '.join(falls)}.",
        )
    if test.p_order <= level:
        return "yes", f"The last policies are ordered as their preferences are (p = {test.p_order:.2g})."
    if test.p_differ <= level:
        return "no", (
            f"The fixed arms end at different places (p = {test.p_differ:.2g}), but not in the order of their "
            f"preferences (p = {test.p_order:.2g})."
        )
    return "no", f"The fixed arms are not shown to end at different places (p = {test.p_differ:.2g})."


@dataclass(frozen=True, slots=True)
class OrderTest:
    """Permutation tests of whether runs end as their weights say.

    Attributes:
        correlations: Rank correlation of each objective with its weight (K,); None where either does not vary.
        p_order: Share of permutations whose mean correlation is at least as large.
        p_falls: By objective, share of permutations whose correlation is at most as large (K,); 1 without one.
        p_differ: Share of permutations in which the arms' mean ranks spread at least as much.
    """

    correlations: list[float | None]
    p_order: float
    p_falls: list[float]
    p_differ: float


def order_test(weights: Array, performance: Array, arm: Numbers, *, seed: int = 0) -> OrderTest:
    """Test whether what runs end with is ordered as their weights are.

    Runs are permuted as wholes, over all arms and seeds. Where runs of the same seed are alike, that makes the tests
    cautious.

    Args:
        weights: Preferences (A, K).
        performance: What the runs end with (N, K).
        arm: Which arm each run is of (N,).
        seed: Seed of the permutations.

    Example:
        >>> ends = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.7], [0.1, 0.9]])
        >>> test = order_test(np.eye(2), ends, np.array([0, 0, 1, 1]))
        >>> [round(value, 3) for value in test.correlations], 0.1 < test.p_order < 0.25
        ([0.894, 0.894], True)
    """
    number = len(performance)
    wanted_NK, earned_NK = _unit_ranks(weights[arm]), _unit_ranks(performance)
    varies_K = (np.abs(wanted_NK).sum(axis=0) > 0) & (np.abs(earned_NK).sum(axis=0) > 0)
    orders_RN = np.random.default_rng(seed).permuted(np.tile(np.arange(number), (PERMUTATIONS, 1)), axis=1)
    orders_RN = np.concatenate([np.arange(number)[None], orders_RN])  # what was observed comes first, and counts too
    permuted_RNK = earned_NK[orders_RN]
    correlations_RK = np.einsum("rnk,nk->rk", permuted_RNK, wanted_NK)
    member_AN = (arm == np.arange(len(weights))[:, None]) / np.bincount(arm, minlength=len(weights))[:, None] ** 0.5
    spread_R = (np.einsum("an,rnk->rak", member_AN, permuted_RNK) ** 2).sum(axis=(1, 2))
    return OrderTest(
        correlations=[
            float(value) if varies else None for value, varies in zip(correlations_RK[0], varies_K, strict=True)
        ],
        p_order=_at_least(correlations_RK.sum(axis=1)),
        p_falls=[_at_least(-correlations_RK[:, k]) for k in range(len(varies_K))],
        p_differ=_at_least(spread_R),
    )


def _at_least(values: Array) -> float:
    """Return the share of values (R,) that are at least as large as the first, up to rounding."""
    return float(np.mean(values >= values[0] - 1e-9))


def _unit_ranks(values: Array) -> Array:
    """Return mean ranks (N, K), each column centred and of norm 1; zeros where all are equal up to rounding."""
    ranks_NK = stats.rankdata(np.round(values, 9), axis=0)
    centred_NK = ranks_NK - ranks_NK.mean(axis=0)
    norm_K = np.linalg.norm(centred_NK, axis=0)
    return centred_NK / np.where(norm_K > 0, norm_K, 1.0)


def worth_of_own(weights: Array, performance: Array, arm: Numbers) -> float:
    """Return what arms' policies are worth to their own preferences, less what other arms' are, mean over the arms.

    Args:
        weights: Preferences (A, K).
        performance: What the runs end with (N, K).
        arm: Which arm each run is of (N,); each has at least one.

    Example:
        >>> worth_of_own(np.eye(2), np.array([[0.9, 0.1], [0.3, 0.6]]), np.array([0, 1]))  # .9 - .3 and .6 - .1
        0.55
    """
    means_AK = np.array([performance[arm == a].mean(axis=0) for a in range(len(weights))])
    worth_AA = weights @ means_AK.T
    own_A = np.diag(worth_AA)
    others_A = (worth_AA.sum(axis=1) - own_A) / (len(weights) - 1)
    return float((own_A - others_A).mean())
