"""The page about estimates of influences, from their record.

`python examples/benchmarks/influences_report.py` writes influences.md again from influences.json.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from origin import told

from paretune.agents.files import write_text

MILLI = 1000.0


def page(record: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    settings, names = record["settings"], record["objectives"]
    p, g = settings["prompts_per_step"], settings["group_size"]
    lines = [
        "# Influences: estimates and truth",
        "",
        told(record),
        "",
        f"tiny-math on Arithmetic, GRPO, {p} prompts x {g} responses a batch, K = {len(names)}; a run with equal "
        f"weights and lr {settings['lr']:g}, held after {', '.join(map(str, settings['moments']))} steps. *Truth*: "
        f"products of the gradients of {settings['batches']} independent batches, each with the others. *Batch*: "
        "products of one batch's gradients with themselves, as in the paper. *Parts*: products of the gradients of "
        "different parts of one batch's prompts. All numbers x 1000; +- is a standard error, of means over batches.",
        "",
    ]
    for moment in settings["moments"]:
        rows = [row for row in record["rows"] if row["moment"] == moment]
        lines += _of_moment(moment, rows, names)
    return "\n".join([*lines, *_verdict(record), *_costs(record)]) + "\n"


def _of_moment(moment: int, rows: list[dict[str, Any]], names: list[str]) -> list[str]:
    truth = rows[0]
    lines = [
        f"## After {moment} steps" if moment else "## The untrained policy",
        "",
        f"| estimate | {' | '.join(f'|g|^2 {name}' for name in names)} | {' | '.join(f'I {name}' for name in names)} "
        "| off, in errors | error of one batch | stated | leader right |",
        "|---|" + "---:|" * (2 * len(names) + 4),
    ]
    for row in rows:
        diagonal = [_with_error(row["matrix"][k][k], row["matrix_error"][k][k]) for k in range(len(names))]
        moved = [_with_error(*both) for both in zip(row["influences"], row["influences_error"], strict=True)]
        cells = ["", "", "", ""]
        if row is not truth:
            cells = [f"{_off(row, truth):.1f}", _all(row["rmse"]), _all(row.get("stated")), f"{row['order']:.0%}"]
        lines.append(f"| {' | '.join([row['estimate'], *diagonal, *moved, *cells])} |")
    return [*lines, ""]


def _off(row: dict[str, Any], truth: dict[str, Any]) -> float:
    """Return the largest difference from the truth of an influence or squared norm, in its standard errors."""
    matrix = np.array(row["matrix"]) - np.array(truth["matrix"])
    norms = np.abs(matrix.diagonal()) / np.diagonal(row["off"])
    influences = np.abs(matrix.sum(axis=1)) / np.array(row["off_influences"])
    return float(max(norms.max(), influences.max()))


def _verdict(record: dict[str, Any]) -> list[str]:
    truths = {row["moment"]: row for row in record["rows"] if row["estimate"] == "truth"}
    found: dict[str, list[float]] = {}
    for row in record["rows"]:
        if row["estimate"] != "truth":
            found.setdefault(row["estimate"], []).append(_off(row, truths[row["moment"]]))
    inside = [name for name, values in found.items() if max(values) <= 2]
    outside = [f"{name} ({max(values):.1f})" for name, values in found.items() if max(values) > 2]
    number = 2 * len(record["objectives"]) * len(truths)
    return [
        "*Off, in errors*: the largest difference between an estimate's mean and the truth, among the influences and "
        "the squared norms, in standard errors of that difference (jackknife over the batches). *Error of one batch*: "
        "root mean square of what one batch's influences are off, and *stated* the error that the estimate itself "
        "gives (root of the mean variance). *Leader right*: share of the batches that name the objective with the "
        "largest true influence.",
        "",
        f"Within two standard errors in each of {number} numbers: {', '.join(inside) or 'none'}. Not: "
        f"{', '.join(outside) or 'none'}. (Of {number} numbers without any bias one or so is beyond 2 by chance.)",
        "",
    ]


def _costs(record: dict[str, Any]) -> list[str]:
    times = record["times"]
    plain = times["fixed"]
    step = plain["sample"] + plain["update"]
    lines = [
        "## What they cost",
        "",
        f"Median seconds of a step's parts over {record['settings']['timed_steps'] - 2} steps; without a comparison of "
        f"gradients a step takes {plain['sample']:.2f} to sample and {plain['update']:.2f} to update. *More*: what a "
        "comparison adds to such a step, with what it spares the update.",
        "",
        "| estimate | gradients | update | more |",
        "|---|---:|---:|---:|",
    ]
    for name, found in times.items():
        if name != "fixed":
            more = found["gradients"] + found["update"] - plain["update"]
            lines.append(f"| {name} | {found['gradients']:.2f} | {found['update']:.2f} | {more / step:+.0%} |")
    return lines


def _with_error(value: float, error: float) -> str:
    return f"{MILLI * value:.1f} +- {MILLI * error:.1f}"


def _all(values: list[float] | None) -> str:
    return "" if values is None else " / ".join(f"{MILLI * value:.0f}" for value in values)


@dataclass(kw_only=True)
class Settings:
    """Settings of the page."""

    folder: Path = Path(__file__).parent
    """Folder of the record and the page."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page again."""
    folder = tyro.cli(Settings, args=argv, description=__doc__).folder
    write_text(folder / "influences.md", page(json.loads((folder / "influences.json").read_text())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
