"""Page and picture of toy_fronts.py: statistics over seeds, verdicts in words.

Shapes: N seeds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
Record = dict[str, Any]
SUITE = "all"
ROUNDING = 1e-6
"""Differences of shares up to this are none."""
COLOURS = {"ours": "#D55E00", "others": "#0072B2", "random": "0.55"}
MEASURES = {
    "policies": "policies that the method hands over: for a sweep, all that were validated; for the others, all that "
    "the trained agent acts out (33 weights, 66 for 3 objectives; every return it promises; every command it keeps)",
    "known": "the best of those and of all texts written in training",
    "last": "for a sweep, only the last policy of each run",
}


def shares(results: Sequence[Record], measure: str, environment: str, method: str) -> Array:
    """Return the shares of the front (N,) of a method in an environment, or its means over all of them, by seed.

    A seed that misses one of the environments is left out of the means.
    """
    wanted = len(columns(results)) - 1 if environment == SUITE else 1
    rows = [r for r in results if r["method"] == method and environment in (SUITE, r["environment"])]
    by_seed = [[r[measure] for r in rows if r["seed"] == seed] for seed in sorted({r["seed"] for r in rows})]
    return np.array([np.mean(values) for values in by_seed if len(values) == wanted])


def half_width(values: Array) -> float:
    """Return half of the 95 % t interval of the mean of `values` (N,); NaN for a single one."""
    if len(values) < 2:
        return float("nan")
    return float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))


def verdict(mine: Array, theirs: Array) -> str:
    """Return in words what the 95 % interval of the difference of means (Welch's t) says, for shares (N,) of each."""
    if len(mine) < 2 or len(theirs) < 2:
        return "too few seeds"
    difference = mine.mean() - theirs.mean()
    errors = np.array([stats.sem(mine) ** 2, stats.sem(theirs) ** 2])
    half = 0.0
    if errors.sum() > ROUNDING**2:
        freedom = errors.sum() ** 2 / (errors**2 / [len(mine) - 1, len(theirs) - 1]).sum()
        half = stats.t.ppf(0.975, freedom) * np.sqrt(errors.sum())
    low, high, seeds = difference - half, difference + half, min(len(mine), len(theirs))
    word = f"not distinguishable with {seeds} seeds"
    if low > ROUNDING or high < -ROUNDING:
        word = "better" if low > 0 else "worse"
    return f"{word} ({difference:+.3f}, from {low:+.3f} to {high:+.3f})"


def best_of(results: Sequence[Record], measure: str, environment: str, methods: Sequence[str]) -> str | None:
    """Return the method with the highest mean, if there is any that did not fail."""
    values = {m: shares(results, measure, environment, m) for m in methods}
    return max((m for m in values if len(values[m])), key=lambda m: values[m].mean(), default=None)


def columns(results: Sequence[Record]) -> list[str]:
    """Return the environments that there are results of, and the suite."""
    return [*dict.fromkeys(r["environment"] for r in results), SUITE]


def shares_table(results: Sequence[Record], measure: str, methods: Sequence[str]) -> list[str]:
    """Return a Markdown table: methods by environments, mean and half of the interval."""
    environments = columns(results)
    lines = [f"| method | {' | '.join(environments)} | median s |", "|---|" + "---:|" * (len(environments) + 1)]
    for method in methods:
        cells = [shares(results, measure, environment, method) for environment in environments]
        seconds = [r["seconds"] for r in results if r["method"] == method]
        texts = [f"{c.mean():.3f} ± {half_width(c):.3f}" if len(c) else "failed" for c in cells]
        lines.append(f"| {method} | {' | '.join(texts)} | {np.median(seconds) if seconds else 0:.0f} |")
    return lines


def verdict_table(results: Sequence[Record], measure: str, ours: Sequence[str], rivals: Sequence[str]) -> list[str]:
    """Return a Markdown table: each environment's best rival, and what the interval says of each of our methods."""
    lines = [f"| environment | best rival | {' | '.join(ours)} |", "|---|---|" + "---|" * len(ours)]
    for environment in columns(results):
        rival = best_of(results, measure, environment, rivals)
        if rival is None:
            continue
        theirs = shares(results, measure, environment, rival)
        words = [verdict(shares(results, measure, environment, method), theirs) for method in ours]
        lines.append(f"| {environment} | {rival} ({theirs.mean():.3f}) | {' | '.join(words)} |")
    return lines


def goal(results: Sequence[Record], measure: str, ours: Sequence[str], rivals: Sequence[str]) -> str:
    """Return in a sentence whether the best of ours is at least the best of the others over all environments."""
    mine, theirs = (best_of(results, measure, SUITE, methods) for methods in (ours, rivals))
    if mine is None or theirs is None:
        return f"- Goal for {measure}: no results."
    a, b = (shares(results, measure, SUITE, method) for method in (mine, theirs))
    met = "met" if a.mean() >= b.mean() else "not met"
    return (
        f"- Goal for {measure}, the best of ours at least the best of the others over all environments: **{met}**; "
        f"{mine} {a.mean():.3f}, {theirs} {b.mean():.3f}: {verdict(a, b)}."
    )


def table(record: Record, ours: Sequence[str], rivals: Sequence[str]) -> str:
    """Return the results as a Markdown page."""
    results, settings = record["results"], record["settings"]
    methods = list(dict.fromkeys(r["method"] for r in results))
    ours, rivals = ([m for m in group if m in methods] for group in (ours, rivals))
    lines = [
        "# How much of a known front is reached?",
        "",
        f"`python examples/benchmarks/toy_fronts.py --jobs {settings['jobs']}` at commit {record['commit']}, "
        f"{record['machine']}, one thread per cell. {settings['steps']} environment steps per cell, "
        f"{settings['seeds']} seeds from {settings['first_seed']}. Token...-v0 at default size; hypervolume of "
        "undiscounted returns over zero as a share of the exact front's; mean and 95 % t interval over seeds; `all` is "
        "the mean over the environments, by seed.",
        "",
    ]
    if ours and rivals:
        lines += [goal(results, measure, ours, rivals) for measure in ("policies", "known")] + [""]
    for measure in ("policies", "known"):
        lines += [f"## {measure.capitalize()}: {MEASURES[measure]}", ""]
        lines += shares_table(results, measure, methods)
        if ours and rivals:
            lines += ["", "Against the best rival of each environment (Welch's t interval of the difference):", ""]
            lines += verdict_table(results, measure, ours, rivals)
        lines.append("")
    if ours:
        lines += [f"## Last: {MEASURES['last']}", "", *shares_table(results, "last", ours), ""]
    return "\n".join([*lines, *_settings_text(record)]) + "\n"


def _settings_text(record: Record) -> list[str]:
    steps = {r["method"]: r["steps"] for r in record["results"]}
    failed = [f"{r['environment']}, {r['method']}, seed {r['seed']}: {r['error']}" for r in record["failed"]]
    return [
        "## Settings",
        "",
        "One setting for all environments. Ours were chosen on seeds 100 and 101 among 28 settings of RLOO with fixed "
        "weights, the others' on seed 100 among 1 (Envelope) to 7 (PCN) each; no such seed is reported.",
        "",
        f"- Ours: `{json.dumps(record['sweep'])}`, as many training steps as the budget allows; every validation is "
        f"paid with environment steps. Gradient-guided weights: `{json.dumps(record['gradient'])}`.",
        f"- Others, beyond examples/morl_baselines_agents.py: `{json.dumps(record['rivals'])}`. Their "
        "evaluations are not counted. `every` is the number of environment steps per gradient update, raised to keep "
        "the whole benchmark short: 1, as in that example, takes 23 s per 4,000 steps, almost five minutes per cell. "
        "PCN ends with the batch of texts that crosses the limit.",
        "- The best rival is chosen on the same seeds that it is compared on, which favours it.",
        f"- Environment steps of the last cell: {', '.join(f'{m} {n}' for m, n in steps.items())}.",
        f"- Failed cells: {'; '.join(failed) or 'none'}.",
    ]


def draw(results: Sequence[Record], ours: Sequence[str]) -> Figure:
    """Return a picture: a panel for each environment, a row for each method with its seeds, mean and interval."""
    environments = columns(results)
    methods = list(dict.fromkeys(r["method"] for r in results))
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    rows = -(-len(environments) // 3)
    panels = list(figure.subplots(rows, min(3, len(environments)), sharex=True, sharey=True, squeeze=False).flat)
    for panel, environment in zip(panels, environments, strict=False):
        for y, method in enumerate(methods):
            values = shares(results, "policies", environment, method)
            if not len(values):
                continue
            kind = "ours" if method in ours else "random" if method.startswith("random") else "others"
            panel.scatter(values, [y] * len(values), s=12, color=COLOURS[kind], alpha=0.45, linewidths=0)
            error = np.nan_to_num(half_width(values))
            panel.errorbar(values.mean(), y, xerr=error, fmt="o", ms=5, capsize=3, color=COLOURS[kind])
        panel.set_title("mean of all" if environment == SUITE else f"Token{environment}-v0", fontsize=10)
        panel.grid(axis="x", color="0.9")
        panel.axvline(1.0, color="0.3", linewidth=1, linestyle="--")
    for panel in panels[len(environments) :]:
        panel.axis("off")
    panels[0].set_yticks(range(len(methods)), methods)
    panels[0].invert_yaxis()
    panels[0].set_xlim(0, 1.04)
    figure.supxlabel("share of the exact front's hypervolume: seeds, mean and 95 % interval", fontsize=10)
    return figure
