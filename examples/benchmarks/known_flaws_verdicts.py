"""Verdicts of known_flaws.py: what was expected, what was measured, and the rule by which the one shows in the other.

Shapes: N seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

Record = dict[str, Any]
MEASURES = {
    "final": "hypervolume of the archive of validations at the end",
    "area": "mean of that hypervolume over all validations after the first, so that speed counts",
    "test": "hypervolume of the last policy on the test split",
}
GUIDED = "hypervolume, corrected"
MULTIPLIED = ("fixed, nudged", "hypervolume, published", GUIDED, "fixed, doubled")
"""The arms of experiment 1."""
PLACES = ("rewards", "advantages")
UNFAIR = ("fixed, gradients clipped to 0.1", "fixed, PPO clip 0.02", "fixed, twice the learning rate")
"""The arms of experiment 3 that differ from `fixed` in no weight."""


def compare(differences: Sequence[float]) -> Record:
    """Return mean and 95 % intervals (percentile bootstrap and t) of differences of pairs with the same seed (N,)."""
    values = np.array(differences)
    mean = float(values.mean())
    record: Record = {"differences": values.tolist(), "mean": mean, "bootstrap": None, "t": None}
    if len(values) < 2:
        return record
    if np.ptp(values) == 0:
        return record | {"bootstrap": [mean, mean], "t": [mean, mean]}
    bootstrap = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    interval = bootstrap.confidence_interval
    return record | {"bootstrap": [float(interval.low), float(interval.high)], "t": [mean - half, mean + half]}


def word(comparison: Record) -> str:
    """Return what the t interval says: better, worse, or not distinguishable."""
    if comparison["t"] is None:
        return "too few seeds"
    low, high = comparison["t"]
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return f"not distinguishable with {len(comparison['differences'])} seeds"


def spread(values: Sequence[float], form: str = ".3f") -> str:
    """Return median and extremes."""
    return f"{np.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def interval(ends: Sequence[float] | None) -> str:
    """Return an interval in words."""
    return "" if ends is None else f"{ends[0]:+.4f} to {ends[1]:+.4f}"


def verdicts(record: Record) -> list[Record]:
    """Return what was expected, what was measured, and by which rule the one shows in the other."""
    return [*_multiplier_verdicts(record), *_saturation_verdicts(record), *_clipping_verdicts(record)]


def _verdict(claim: str, measured: str, rule: str, shown: bool) -> Record:
    return {"claim": claim, "measured": measured, "rule": rule, "shown": bool(shown)}


def _multiplier_verdicts(record: Record) -> list[Record]:
    def changes(order: str, *algorithms: str) -> tuple[float, float]:
        rows = [r for r in record["advantages"] if (r["place"], r["order"]) == ("rewards", order)]
        rows = [r for r in rows if r["algorithm"] in algorithms]
        return max(r["change"] for r in rows), max(r["largest_change"] for r in rows)

    grpo, grpo_largest = changes("weigh_first", "grpo")
    normalised, normalised_largest = changes("normalise_first", "grpo", "rloo", "reinforce")
    rows = [r for r in record["advantages"] if r["place"] == "advantages" or r["order"] == "weigh_first"]
    rows = [r for r in rows if r["place"] == "advantages" or r["algorithm"] != "grpo"]
    lost = {place: max(abs(r["factor"] / r["multiplier"] - 1) for r in rows if r["place"] == place) for place in PLACES}
    return [
        _verdict(
            "on the rewards, GRPO cancels the multiplier (the expected change of advantages: about 1e-6)",
            f"changes by {grpo:.1e} (median over batches; largest {grpo_largest:.1e})",
            "median below 1e-4",
            grpo < 1e-4,
        ),
        _verdict(
            "on the rewards, RLOO and REINFORCE keep it (weigh_first)",
            f"what arrives is off by {lost['rewards']:.1e} at most",
            "below 1e-6",
            lost["rewards"] < 1e-6,
        ),
        _verdict(
            "on the rewards, normalise_first cancels it for all three algorithms",
            f"changes by {normalised:.1e} (largest {normalised_largest:.1e})",
            "median below 1e-4",
            normalised < 1e-4,
        ),
        _verdict(
            "on the advantages, all algorithms and orders keep it",
            f"what arrives is off by {lost['advantages']:.1e} at most",
            "below 1e-6",
            lost["advantages"] < 1e-6,
        ),
        *_training_verdicts(record),
        *_optimizer_verdicts(record),
    ]


def _training_verdicts(record: Record) -> list[Record]:
    def apart(arm: str) -> list[float]:
        return [r["distances"][-1] for r in record["divergence"] if r["arm"] == arm]

    nudged, published, corrected, doubled = (apart(arm) for arm in MULTIPLIED)
    texts = [f"parameters {spread(arm, '.2g')} from fixed" for arm in (published, corrected, doubled)]
    return [
        _verdict(
            "GRPO's training: the published multiplier does no more than rounding",
            f"{texts[0]}; nudged {spread(nudged, '.2g')}",
            "median at most the largest of the nudged runs",
            float(np.median(published)) <= max(nudged),
        ),
        _verdict(
            "GRPO's training: the corrected one does more than rounding",
            f"{texts[1]}; nudged {spread(nudged, '.2g')}",
            "median above the largest of the nudged runs",
            float(np.median(corrected)) > max(nudged),
        ),
        _verdict(
            "GRPO's training: doubling all advantages does less than the corrected multiplier's changes",
            texts[2],
            "median below the corrected one's",
            float(np.median(doubled)) < float(np.median(corrected)),
        ),
    ]


def _optimizer_verdicts(record: Record) -> list[Record]:
    def replayed(clip: str, course: str, key: str) -> float:
        rows = [r for r in record["gradients"] if (r["clip"], r["course"]) == (clip, course)]
        return float(np.median([r[key] for r in rows]))

    constant = max(replayed("none", "2 throughout", "largest"), 1 / replayed("none", "2 throughout", "smallest"))
    once = [replayed("none", "1, then 2 from half", key) for key in ("largest", "last")]
    own, fixed = (
        [replayed(clip, "0.5 and 2 in turn", key) for key in ("turn", "largest_turn")]
        for clip in ("own units", "fixed norm")
    )
    return [
        _verdict(
            "AdamW hides the level of a constant multiplier of 2",
            f"lengths of updates change by a factor of {constant:.4f} at most",
            "below 1.01",
            constant < 1.01,
        ),
        _verdict(
            "AdamW feels a change from 1 to 2",
            f"updates up to {once[0]:.2f} times as long, {once[1]:.2f} times at the end",
            "at least 1.1 times",
            once[0] >= 1.1,
        ),
        _verdict(
            "AdamW lets the whole of a change through",
            f"updates up to {once[0]:.2f} times as long for a multiplier of 2",
            "at least 1.9 times",
            once[0] >= 1.9,
        ),
        _verdict(
            "clipping to a fixed norm cancels changes too, clipping in units of the unmultiplied gradient keeps them",
            f"0.5 and 2 in turn turn updates by {fixed[0]:.1f}° (median; at most {fixed[1]:.1f}°, where norms are too "
            f"small for the clip) and by {own[0]:.1f}° (at most {own[1]:.1f}°)",
            "median less than a tenth",
            fixed[0] < own[0] / 10,
        ),
    ]


def _saturation_verdicts(record: Record) -> list[Record]:
    return [_saturation_verdict(row) for row in record["saturation"]]


def _saturation_verdict(row: Record) -> Record:
    low, high, between = (row[f"{name}_of_gains"] or 0.0 for name in ("low", "high", "between"))
    measured = f"near 0.5 {low:.0%}, near 2 {high:.0%}, between {between:.0%} of the validations that gain"
    claim, rule, shown = f"{row['unit']}: the adaptive scale uses the range", "most between", between > 0.5
    if row["scale"] == "1" and row["unit"] == "in [0, 1]":
        highest = max(row["meta_rewards"])
        claim, rule, shown = "in [0, 1], scale 1: r_meta hardly moves from 0.5", "highest below 0.65", highest < 0.65
        measured += f"; highest {highest:.3f}"
    elif row["scale"] == "1":
        claim, rule = f"{row['unit']}, scale 1: a switch between 0.5 and 2", "at most a tenth between"
        shown = between <= 0.1
    if not row["positive"]:
        measured, shown = "no validation gains anything", False
    return _verdict(claim, measured, rule, shown)


def _clipping_verdicts(record: Record) -> list[Record]:
    verdicts = []
    for measure in ("final", "area"):
        by_arm = {c["arm"]: c for c in record["comparisons"] if c["measure"] == measure}
        for arm in UNFAIR:
            c = by_arm[arm]
            verdicts.append(
                _verdict(
                    f"{arm}: the same weights look different ({measure})",
                    f"{c['mean']:+.4f} (t {interval(c['t'])}): {word(c)}",
                    "t interval without 0",
                    word(c) in ("better", "worse"),
                )
            )
        guided, most = abs(by_arm[GUIDED]["mean"]), max(abs(by_arm[arm]["mean"]) for arm in UNFAIR)
        verdicts.append(
            _verdict(
                f"unequal settings make a larger difference than hypervolume-guided weights ({measure})",
                f"at most {most:.4f} and {guided:.4f} (means; {GUIDED}: {word(by_arm[GUIDED])})",
                "larger",
                most > guided,
            )
        )
    return verdicts
