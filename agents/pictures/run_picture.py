"""The pictures of a run: the Pareto front, and the course of objectives and weights.

Shapes: N validations, M points of the Pareto archive, T logged steps, K objectives.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from paretune.agents.pictures.drawing import PALETTE, save, step_ticks, tidy, widen
from paretune.agents.pictures.front_picture import draw_front
from paretune.weighting import ParetoArchive

GREY = "#666666"


def draw_run(folder: str | os.PathLike[str], lines: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Draw front.png (with two objectives or more) and weights.png.

    Args:
        folder: Where the pictures go.
        lines: The T lines of a run's `metrics.jsonl`, by ascending `step`, at least one.

    Returns:
        The paths of the pictures.

    Raises:
        ValueError: If `lines` is empty.
    """
    target = Path(folder)
    pictures = [draw_history(target / "weights.png", lines)]
    objectives = list(lines[0]["weights"])
    if len(objectives) > 1:
        validated = [line for line in lines if "validation" in line]
        means_NK = [_validation(line, objectives, "mean") for line in validated]
        errors_NK = [_validation(line, objectives, "standard_error") for line in validated]
        steps_N = [line["step"] for line in validated]
        archive = ParetoArchive(len(objectives))
        for means_K in means_NK:
            archive.add(means_K)
        picture = draw_front(target / "front.png", objectives, steps_N, means_NK, archive.front, errors_NK)
        pictures.insert(0, picture)
    return pictures


def draw_history(path: str | os.PathLike[str], lines: Sequence[Mapping[str, Any]]) -> Path:
    """Draw objectives, weights, scale (where it moves) and hypervolume over the training steps.

    Objectives share a panel if all their means are in [0, 1]; else their ranges may differ, and each has its own.

    Args:
        path: The PNG file to write; a file that is there is replaced at once, never left half written.
        lines: The T lines of a run's `metrics.jsonl`, by ascending `step`.

    Returns:
        The path of the file.

    Raises:
        ValueError: If `lines` is empty.
    """
    if not lines:
        raise ValueError("lines: must hold at least one step, got none")
    objectives = list(lines[0]["weights"])
    moving_scale = any("meta_reward" in line or abs(line.get("scale", 1.0) - 1.0) > 1e-9 for line in lines)
    groups = _groups(objectives, lines)
    heights = [2.2 if len(groups) == 1 else 1.2] * len(groups) + [1.3, *([1.0] if moving_scale else []), 1.0]
    figure = Figure(figsize=(9.5, 1.6 * sum(heights) + 0.8), dpi=150, layout="constrained")
    axes = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))

    for panel, group in zip(axes, groups, strict=False):
        _draw_objectives(panel, objectives, group, lines)
    _draw_weights(axes[len(groups)], objectives, lines)
    if moving_scale:
        _draw_series(axes[-2], lines, "scale", "scale of the\nadvantages")
    _draw_series(axes[-1], lines, "hypervolume", "hypervolume of\nthe archive")
    for panel in axes:
        tidy(panel)
    figure.align_ylabels(axes)
    axes[-1].set_xlabel("training step")
    axes[-1].xaxis.set_major_locator(step_ticks())
    _draw_legends(figure, objectives)
    return save(figure, path)


def _draw_legends(figure: Figure, objectives: Sequence[str]) -> None:
    """Say above the panels which colour is which objective, and below them what kinds of lines there are."""
    named = [Line2D([], [], color=_colour(k), lw=2.5, label=name) for k, name in enumerate(objectives)]
    styles = [
        Line2D([], [], color=GREY, lw=0.8, alpha=0.7, label="training"),
        Line2D([], [], color=GREY, lw=1.8, marker="o", ms=4, label="validation"),
        Patch(color=GREY, alpha=0.2, lw=0, label="one standard error"),
    ]
    figure.legend(handles=named, loc="outside upper center", ncols=4, frameon=False)
    figure.legend(handles=styles, loc="outside lower center", ncols=3, frameon=False)


def _groups(objectives: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return which objectives share a panel."""
    entries = [entry for line in lines for key in ("rewards", "validation") for entry in line.get(key, {}).values()]
    comparable = all(0 <= entry["mean"] <= 1 for entry in entries)
    return [list(objectives)] if comparable else [[name] for name in objectives]


def _draw_objectives(
    axes: Axes, objectives: Sequence[str], group: Sequence[str], lines: Sequence[Mapping[str, Any]]
) -> None:
    """Draw a group's training means as fine lines and validation means with bands of one standard error."""
    trained = [line for line in lines if "rewards" in line]
    validated = [line for line in lines if "validation" in line]
    for name in group:
        k = objectives.index(name)
        means_T = [line["rewards"][name]["mean"] for line in trained]
        axes.plot([line["step"] for line in trained], means_T, color=_colour(k), lw=0.8, alpha=0.55)
        steps_N = [line["step"] for line in validated]
        means_N, errors_N = (
            np.array([_validation(line, [name], key)[0] for line in validated]) for key in ("mean", "standard_error")
        )
        axes.plot(steps_N, means_N, color=_colour(k), lw=1.8, marker="o", ms=4)
        axes.fill_between(steps_N, means_N - errors_N, means_N + errors_N, color=_colour(k), alpha=0.18, lw=0)
    widen(axes.yaxis)
    axes.set_ylabel("mean of the objective\n(larger is better)" if len(group) > 1 else f"mean of\n{group[0]}")


def _draw_weights(axes: Axes, objectives: Sequence[str], lines: Sequence[Mapping[str, Any]]) -> None:
    """Draw each weight's share of the sum; lines that would hide each other are dashed in turn."""
    steps_T = [line["step"] for line in lines]
    weights_TK = np.array([[line["weights"][name] for name in objectives] for line in lines], dtype=float)
    shares_TK = weights_TK / weights_TK.sum(axis=1, keepdims=True)
    for k in range(len(objectives)):
        dashes = (0, ()) if k == 0 else (3.0 * k, (3.0, 3.0 * k))
        axes.plot(steps_T, shares_TK[:, k], color=_colour(k), lw=1.8, ls=dashes if _overlap(shares_TK, k) else "-")
    axes.set_ylim(0.0, max(0.6, 1.1 * shares_TK.max()))
    axes.set_ylabel("weight\n(share of the sum)")


def _overlap(shares_TK: NDArray[np.float64], k: int) -> bool:
    """Whether objective k's line lies on an earlier one's nearly all the way."""
    return any(np.mean(np.abs(shares_TK[:, k] - shares_TK[:, j])) < 0.005 for j in range(k))


def _draw_series(axes: Axes, lines: Sequence[Mapping[str, Any]], key: str, label: str) -> None:
    """Draw one number per step, which holds until the next; the last one a little beyond its step, to be seen."""
    present = [line for line in lines if key in line]
    steps, values = [line["step"] for line in present], [line[key] for line in present]
    end = steps[-1] + max(0.5, 0.015 * (steps[-1] - steps[0]))
    axes.step([*steps, end], [*values, values[-1]], where="post", color="#333333", lw=1.5)
    axes.margins(y=0.15)
    widen(axes.yaxis)
    axes.set_ylabel(label)


def _validation(line: Mapping[str, Any], objectives: Sequence[str], key: str) -> list[float]:
    """One number per objective of a line's validation; NaN where it is not defined."""
    return [np.nan if line["validation"][name][key] is None else line["validation"][name][key] for name in objectives]


def _colour(k: int) -> str:
    """The colour of objective k."""
    return PALETTE[k % len(PALETTE)]
