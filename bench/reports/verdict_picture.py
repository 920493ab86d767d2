"""`verdicts.png`: where an arm is better than the fixed one that other seeds choose, and where it is not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from paretune.agents.pictures.drawing import PALETTE, save, tidy
from paretune.bench.statistics.measures import MEASURES
from paretune.bench.statistics.summary import Arm, Comparison, Interval, Summary

MOST_ARMS, MOST_COMPARISONS = 40, 16
"""What is drawn: the best arms, and the first comparisons."""

COLOURS = {"better": PALETTE[2], "worse": PALETTE[1]}
UNDECIDED = "#7F7F7F"
HOLLOW = "#FFFFFF"
ROW_INCHES, PANEL_INCHES = 0.24, 1.25


def draw_verdicts(path: str | os.PathLike[str], summary: Summary) -> Path:
    """Draw the score of each arm and, for each comparison, its probability of improvement over the chosen fixed arm.

    Args:
        path: The PNG file to write; a file that is there is replaced at once, never left half written.
        summary: The results, with at least one ranked arm.

    Returns:
        The path of the file.

    Raises:
        ValueError: If no arm is ranked.
    """
    ranking = summary.ranking[:MOST_ARMS]
    if not ranking:
        raise ValueError("summary: must have at least one arm in its ranking to draw it, got none")
    rows = [(arm.weighting, arm.preference) for arm in ranking]
    valid = [each for each in summary.comparisons if each.setting.verdict != "invalid"]
    comparisons = [each for each in valid if any(_key(arm) in rows for arm in each.arms)]
    comparisons = comparisons[:MOST_COMPARISONS]
    width, height = 3.2 + 1.8 + PANEL_INCHES * len(comparisons), 1.4 + ROW_INCHES * len(rows)
    figure = Figure(figsize=(max(6.0, width), height), dpi=110, layout="constrained")
    ratios = [1.4] + [1.0] * len(comparisons)
    score, *panels = figure.subplots(1, 1 + len(comparisons), sharey=True, squeeze=False, width_ratios=ratios)[0]
    for row, arm in enumerate(ranking):
        _dot(score, row, arm.score, PALETTE[0])
    score.set_title("score", fontsize=8)
    score.set_yticks(range(len(rows)), [f"{weighting} · {preference}" for weighting, preference in rows])
    score.set_ylim(len(rows) - 0.5, -0.5)
    for panel, comparison in zip(panels, comparisons, strict=True):
        _draw_comparison(panel, comparison, rows, summary.main)
    for axes in (score, *panels):
        tidy(axes)
        axes.tick_params(labelsize=7, length=0)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=4, frameon=False, fontsize=7)
    figure.suptitle(f"{summary.name}: {MEASURES[summary.main].label}, P(better than the chosen fixed arm)", fontsize=9)
    return save(figure, path)


def _draw_comparison(axes: Axes, comparison: Comparison, rows: Sequence[tuple[str, str]], main: str) -> None:
    axes.axvline(0.5, color="#000000", lw=0.8, ls=":")
    for arm in comparison.arms:
        rival = arm.against_best_fixed.get(main)
        if rival is not None and _key(arm) in rows:
            colour, holds = COLOURS.get(rival.verdict, UNDECIDED), rival.corrected == rival.verdict
            _dot(axes, rows.index(_key(arm)), rival.probability, colour, filled=holds or colour == UNDECIDED)
    axes.set_xlim(-0.06, 1.06)
    axes.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    axes.set_title(f"{comparison.env}\n{comparison.agent}", fontsize=8)


def _dot(axes: Axes, row: int, interval: Interval, colour: str, *, filled: bool = True) -> None:
    finite = abs(interval.low) != float("inf") and abs(interval.high) != float("inf")
    if finite:
        axes.plot([interval.low, interval.high], [row, row], color=colour, lw=1.4, solid_capstyle="round")
    face = colour if filled else HOLLOW
    axes.plot([interval.value], [row], "o", color=colour, markerfacecolor=face, ms=3.6)


def _legend() -> list[Line2D]:
    names = {"better": COLOURS["better"], "not distinguishable": UNDECIDED, "worse": COLOURS["worse"]}
    solid = [Line2D([], [], color=colour, marker="o", ms=4, lw=1.4, label=name) for name, colour in names.items()]
    hollow = Line2D([], [], color=UNDECIDED, marker="o", ms=4, lw=0, mfc=HOLLOW, label="hollow: not after Holm")
    return [*solid, hollow]


def _key(arm: Arm) -> tuple[str, str]:
    return arm.weighting, arm.preference
