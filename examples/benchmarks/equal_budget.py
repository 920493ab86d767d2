"""One run that moves its weights, or the same training split among five fixed weights?

    paretune bench --config examples/benchmarks/toy.toml
    paretune bench --config examples/benchmarks/equal_budget.toml
    python examples/benchmarks/equal_budget.py runs/bench-toy runs/bench-equal-budget

The ranking of toy.toml compares single runs, by the front that each passes through. Who wants a front can also train
several short runs. This sets the strategies' runs of 200 steps beside five fixed runs of 40 steps, judged as one set of
policies, and writes equal_budget.md beside this file.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from paper_claims import HERE, read_outcomes

from paretune.agents.files import atomic_path
from paretune.bench import Outcome, whole_sweeps
from paretune.bench.reports.report_markdown import rival_cells
from paretune.bench.reports.texts import interval_text, table
from paretune.bench.statistics.estimates import compare, interquartile_interval
from paretune.bench.statistics.families import corrected

Key = tuple[str, str]
MEASURE = "share_of_front"


@dataclass(kw_only=True)
class Settings:
    """Settings of the comparison."""

    long: tyro.conf.Positional[Path]
    """Folder or results file of the benchmark with one run for each strategy and seed."""
    short: tyro.conf.Positional[Path]
    """Folder or results file of the benchmark with short runs of fixed weights for several preferences."""
    out: Path = HERE / "equal_budget.md"
    """Page to write."""


def shares(outcomes: Sequence[Outcome]) -> dict[Key, list[float]]:
    """Return the shares of the exact front by environment and agent."""
    found: dict[Key, list[float]] = defaultdict(list)
    for outcome in sorted(outcomes, key=lambda outcome: outcome.seed):
        share = outcome.measures[MEASURE]
        assert share is not None, "the environments of the grid know their fronts"
        found[outcome.env.partition(",")[0], outcome.agent].append(share)
    return found


def page(long: Sequence[Outcome], short: Sequence[Outcome]) -> str:
    """Return the page.

    Raises:
        ValueError: If the folders have no environment and agent in common.
    """
    sweeps = whole_sweeps(short)
    rival = shares(sweeps)
    by_strategy: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in long:
        if outcome.preference == "balanced":
            by_strategy[outcome.weighting].append(outcome)
    runs = {name: shares(outcomes) for name, outcomes in by_strategy.items()}
    keys = [key for key in rival if any(key in found for found in runs.values())]
    if not keys:
        raise ValueError("long, short: must have an environment and agent in common, but have none")
    parts = [_introduction(long, short, sweeps)]
    found_rows = []
    for name, found in runs.items():
        common = [key for key in keys if key in found]
        mine, theirs = [found[key] for key in common], [rival[key] for key in common]
        found_rows.append((interquartile_interval(mine), name, compare(mine, theirs)))
    found_rows.sort(key=lambda row: -row[0].value)
    names = [name for _, name, _ in found_rows]
    family = corrected([against for *_, against in found_rows])
    shown = [
        [name, interval_text(share), *rival_cells(against)]
        for (share, name, _), against in zip(found_rows, family, strict=True)
    ]
    split = interquartile_interval([rival[key] for key in keys])
    shown.append(["fixed, split among the preferences", interval_text(split), *["-"] * 4])
    headings = ["strategy", "share of the exact front", "P(better than split)", "verdict", "p", "after Holm"]
    parts += [
        "## All environments and agents",
        table(headings, shown),
        "## One by one",
        _one_by_one(names, keys, runs, rival),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(long: Sequence[Outcome], short: Sequence[Outcome], sweeps: Sequence[Outcome]) -> str:
    steps = {outcome.setup["steps"] for outcome in long}
    each = {outcome.setup["steps"] for outcome in short}
    number = {sweep.runs for sweep in sweeps}
    return (
        "# One run, or several short ones for the same price?\n\n"
        f"Runs of {_some(steps)} steps under each strategy, beside {_some(number)} runs of {_some(each)} steps under "
        "fixed weights that are judged as one set of policies. Front hypervolume on test data as a share of the exact "
        "front's: interquartile means over environments, agents and seeds with 95 % bootstrap intervals, and "
        "probabilities of improvement with p of the exact permutation test, also after Holm's correction; "
        "`python examples/benchmarks/equal_budget.py runs/bench-toy runs/bench-equal-budget`."
    )


def _some(numbers: set[int]) -> str:
    return " or ".join(map(str, sorted(numbers)))


def _one_by_one(
    names: Sequence[str],
    keys: Sequence[Key],
    runs: dict[str, dict[Key, list[float]]],
    rival: dict[Key, list[float]],
) -> str:
    rows = []
    for name in [*names, "fixed, split"]:
        found = runs.get(name, rival)
        means = [f"{interquartile_interval([found[key]]).value:.3f}" if key in found else "-" for key in keys]
        rows.append([name, *means])
    return table(["strategy", *(f"{env}, {agent}" for env, agent in keys)], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Read the cells and write the page."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    try:
        text = page(read_outcomes(settings.long), read_outcomes(settings.short))
    except ValueError as error:
        print(f"equal_budget: error: {error}", file=sys.stderr)
        return 2
    with atomic_path(settings.out) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
