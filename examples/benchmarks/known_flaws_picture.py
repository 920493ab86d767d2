"""Picture of known_flaws.py: one panel for each thing that was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Record = dict[str, Any]
COLOURS = ("0.55", "#0072B2", "#D55E00", "#009E73", "0.8")
COURSES = {"2 throughout": "#009E73", "1, then 2 from half": "#D55E00", "0.5 and 2 in turn": "#0072B2"}


def draw(record: Record) -> Figure:
    """Return a picture of four panels."""
    figure = Figure(figsize=(13, 9), layout="constrained")
    first, second, third, fourth = figure.subplots(2, 2).flat
    _draw_divergence(first, record["divergence"])
    _draw_gradients(second, record["gradients"])
    _draw_saturation(third, record["saturation"])
    _draw_comparisons(fourth, [c for c in record["comparisons"] if c["measure"] == "area"])
    return figure


def _draw_divergence(axes: Axes, rows: Sequence[Record]) -> None:
    """Draw how far runs are from the fixed one: median over seeds, and extremes as a band."""
    for arm, colour in zip(dict.fromkeys(row["arm"] for row in rows), COLOURS, strict=False):
        curves = np.array([row["distances"] for row in rows if row["arm"] == arm])
        curves[curves == 0] = np.nan  # bit for bit the same
        steps = np.arange(1, curves.shape[1] + 1)
        known = ~np.isnan(curves).any(axis=0)
        axes.plot(steps[known], np.median(curves[:, known], axis=0), color=colour, label=arm, linewidth=1.8)
        axes.fill_between(
            steps[known], curves[:, known].min(axis=0), curves[:, known].max(axis=0), color=colour, alpha=0.15
        )
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("training step")
    axes.set_ylabel("distance from the fixed run / its own way")
    axes.set_title("1b. Parameters: how far from the fixed run with the same seed?", fontsize=10)
    axes.legend(fontsize=8)


def _draw_gradients(axes: Axes, rows: Sequence[Record]) -> None:
    """Draw the replayed updates' lengths: lines without clipping, dashes with clipping to a fixed norm."""
    for course, colour in COURSES.items():
        for clip, style in (("none", "-"), ("fixed norm", ":")):
            curves = [row["ratios"] for row in rows if (row["course"], row["clip"]) == (course, clip)]
            label = course if clip == "none" else None
            axes.plot(np.median(curves, axis=0), style, color=colour, label=label, linewidth=1.5)
    axes.plot([], ":", color="0.3", label="any, clipped to a fixed norm")
    axes.axhline(1, color="0.6", linewidth=0.8, zorder=0)
    axes.set_ylim(top=axes.get_ylim()[1] + 0.15)
    axes.set_xlabel("update")
    axes.set_ylabel("update's length / that with multiplier 1")
    axes.set_title("1c. What AdamW leaves of a multiplier (median over seeds)", fontsize=10)
    axes.legend(fontsize=8, ncols=2, loc="upper center")


def _draw_saturation(axes: Axes, rows: Sequence[Record]) -> None:
    """Draw every meta-reward as a point, one row for each unit and scale; open where nothing was gained."""
    rng = np.random.default_rng(0)
    for y, row in enumerate(rows):
        gains, meta_rewards = np.array(row["gains"]), np.array(row["meta_rewards"])
        height = y + rng.uniform(-0.25, 0.25, len(gains))
        colour = COLOURS[2] if row["scale"] == "1" else COLOURS[1]
        for which, face in ((gains > 0, colour), (gains <= 0, "none")):
            axes.scatter(meta_rewards[which], height[which], s=22, facecolors=face, edgecolors=colour, linewidths=0.8)
    axes.set_yticks(range(len(rows)), [f"{row['unit']}\nscale {row['scale']}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0.4, 2.1)
    axes.grid(axis="x", color="0.9")
    axes.set_xlabel("r_meta after a validation (filled: something was gained)")
    axes.set_title("2. r_meta on the same validations in other units", fontsize=10)


def _draw_comparisons(axes: Axes, comparisons: Sequence[Record]) -> None:
    """Draw each arm's differences from the fixed one: seeds, mean and t interval."""
    for y, comparison in enumerate(comparisons):
        weights = comparison["arm"].startswith("hypervolume")
        colour = COLOURS[1] if weights else COLOURS[2]
        values, mean = comparison["differences"], comparison["mean"]
        low, high = comparison["t"] or (mean, mean)
        axes.scatter(values, [y] * len(values), s=22, color=colour, alpha=0.4, linewidths=0)
        axes.errorbar(mean, y, xerr=[[mean - low], [high - mean]], fmt="o", ms=5, capsize=3, color=colour)
    axes.axvline(0, color="0.4", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(comparisons)), [c["arm"] for c in comparisons], fontsize=8)
    axes.invert_yaxis()
    axes.grid(axis="x", color="0.9")
    axes.set_xlabel("mean archive hypervolume, minus that of fixed (95 % t interval)")
    axes.set_title("3. Other weights (blue), other settings (orange)", fontsize=10)
