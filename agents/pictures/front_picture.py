"""The picture of a run's Pareto front among the objectives.

Shapes: N validations, M points of the Pareto archive, K objectives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from paretune.agents.pictures.drawing import PALETTE, grid, save, step_ticks, tidy, widen

FRONT_COLOUR = PALETTE[1]
STEP_COLOURS = "cividis"
PATH_COLOUR = "#BBBBBB"
START: dict[str, Any] = {"marker": "X", "s": 64, "color": "black", "edgecolor": "white", "linewidths": 0.8}
RING: dict[str, Any] = {"marker": "o", "s": 110, "facecolors": "none", "edgecolors": FRONT_COLOUR, "linewidths": 1.6}
MAX_PAIRS = 11


def draw_front(
    path: str | os.PathLike[str],
    objectives: Sequence[str],
    steps: ArrayLike,
    performance: ArrayLike,
    front: ArrayLike,
    standard_error: ArrayLike | None = None,
) -> Path:
    """Draw validation performance and Pareto front: a panel per pair of objectives, and one in 3-D from three on.

    With more than `MAX_PAIRS` pairs the first ones are drawn; the 3-D panel shows the first three objectives.

    Args:
        path: The PNG file to write; a file that is there is replaced at once, never left half written.
        objectives: The K names, K >= 2.
        steps: Training step of each validation, ascending, shape (N,); the first is the untrained policy's.
        performance: Mean of each objective on the validation split, shape (N, K), N >= 1; larger is better.
        front: The archive's points, shape (M, K).
        standard_error: Standard errors of `performance`, shape (N, K); drawn as fine bars if given.

    Returns:
        The path of the file.

    Raises:
        ValueError: With fewer than two objectives or no validation.

    Example:
        >>> draw_front("/tmp/front.png", ["accuracy", "clarity"], [0, 5], [[0.1, 0.5], [0.4, 0.6]], [[0.4, 0.6]]).name
        'front.png'
    """
    steps_N = np.asarray(steps, dtype=float)
    points_NK = np.asarray(performance, dtype=float)
    front_MK = np.asarray(front, dtype=float).reshape(-1, len(objectives))
    errors_NK = None if standard_error is None else np.asarray(standard_error, dtype=float)
    if len(objectives) < 2:
        raise ValueError(f"objectives: must hold at least two names to draw a front, got {list(objectives)}")
    if len(points_NK) == 0:
        raise ValueError("performance: must hold at least one validation, got none")

    all_pairs = list(combinations(range(len(objectives)), 2))
    pairs = all_pairs[:MAX_PAIRS]
    panels = len(pairs) + (len(objectives) > 2)
    rows, columns = grid(panels)
    figure = Figure(figsize=(4.2 * columns + 1.0, 3.9 * rows + 0.6), dpi=150, layout="constrained")
    colours = ScalarMappable(Normalize(steps_N.min(), max(steps_N.max(), steps_N.min() + 1)), STEP_COLOURS)
    for place, (x, y) in enumerate(pairs, start=1):
        axes = figure.add_subplot(rows, columns, place)
        errors = None if errors_NK is None else errors_NK[:, (x, y)]
        _draw_pair(axes, points_NK[:, (x, y)], front_MK[:, (x, y)], errors, colours.to_rgba(steps_N))
        axes.set_xlabel(objectives[x])
        axes.set_ylabel(objectives[y])
    if len(objectives) > 2:
        axes = figure.add_subplot(rows, columns, panels, projection="3d")
        _draw_space(axes, objectives[:3], points_NK[:, :3], front_MK[:, :3], colours.to_rgba(steps_N))
    bar = figure.colorbar(colours, ax=figure.axes, label="training step", shrink=0.8, pad=0.02)
    bar.ax.yaxis.set_major_locator(step_ticks())
    left_out = f"; {len(pairs)} of {len(all_pairs)} pairs" if len(pairs) < len(all_pairs) else ""
    figure.suptitle(f"Validation performance (larger is better{left_out})", fontsize=11)
    legend = _front_legend(len(objectives), errors_NK is not None)
    figure.legend(handles=legend, loc="outside lower center", ncols=3 if columns > 1 else 2, frameon=False)
    return save(figure, path)


def staircase(points: ArrayLike) -> NDArray[np.float64]:
    """Return the corners of the region that points dominate, from its upper left to its lower right.

    Args:
        points: Points of two objectives (larger is better), shape (M, 2), M >= 1.

    Returns:
        Corners, shape (2 * m - 1, 2), where m of the points are non-dominated.

    Example:
        >>> staircase([[0.2, 0.8], [0.5, 0.5], [0.1, 0.1]]).tolist()
        [[0.2, 0.8], [0.2, 0.5], [0.5, 0.5]]
    """
    points_M2 = np.asarray(points, dtype=np.float64)
    best: list[NDArray[np.float64]] = []
    for point in points_M2[np.lexsort((points_M2[:, 1], points_M2[:, 0]))][::-1]:
        if not best or point[1] > best[-1][1]:
            best.append(point)
    best.reverse()
    corners = [best[0]]
    for left, right in pairwise(best):
        corners += [np.array([left[0], right[1]]), right]
    return np.array(corners)


def _draw_pair(
    axes: Axes,
    points_N2: NDArray[np.float64],
    front_M2: NDArray[np.float64],
    errors_N2: NDArray[np.float64] | None,
    colours_N4: ArrayLike,
) -> None:
    """Draw one pair of objectives."""
    if errors_N2 is not None:
        x_N, y_N = points_N2.T
        x_errors_N, y_errors_N = errors_N2.T
        axes.errorbar(x_N, y_N, y_errors_N, x_errors_N, fmt="none", ecolor=PATH_COLOUR, elinewidth=0.7, zorder=1)
    axes.plot(points_N2[:, 0], points_N2[:, 1], color=PATH_COLOUR, lw=0.7, zorder=1)
    axes.scatter(points_N2[:, 0], points_N2[:, 1], c=colours_N4, s=34, zorder=3)
    axes.scatter(points_N2[0, 0], points_N2[0, 1], zorder=4, **START)
    if len(front_M2):
        corners = staircase(front_M2)
        axes.plot(corners[:, 0], corners[:, 1], color=FRONT_COLOUR, lw=1.3, zorder=2)
        axes.scatter(front_M2[:, 0], front_M2[:, 1], zorder=5, **RING)
    axes.margins(0.1)
    widen(axes.xaxis)
    widen(axes.yaxis)
    tidy(axes)


def _draw_space(
    axes: Any,
    objectives: Sequence[str],
    points_N3: NDArray[np.float64],
    front_M3: NDArray[np.float64],
    colours_N4: NDArray[np.float64],
) -> None:
    """Draw three objectives in space; fine lines down to the floor show where each point of the front stands."""
    axes.computed_zorder = False
    floor = np.vstack([points_N3, front_M3])[:, 2].min()
    for x, y, z in front_M3:
        axes.plot([x, x], [y, y], [floor, z], color=FRONT_COLOUR, lw=0.7, alpha=0.6, zorder=1)
    axes.plot(*points_N3.T, color=PATH_COLOUR, lw=0.7, zorder=1)
    for point_3, colour in zip(
        points_N3, colours_N4, strict=True
    ):  # one by one: else the nearest would hide the latest
        axes.scatter(*point_3, color=colour, s=30, depthshade=False, zorder=3)
    axes.scatter(*points_N3[0], depthshade=False, zorder=4, **START)
    axes.scatter(*front_M3.T, depthshade=False, zorder=5, **RING)
    for axis, name in zip((axes.xaxis, axes.yaxis, axes.zaxis), objectives, strict=True):
        widen(axis)
        axis.set_label_text(name)
        axis.set_major_locator(MaxNLocator(5))
        axis.set_pane_color((0.97, 0.97, 0.97, 1.0))
        axis.set_tick_params(labelsize=8)
    axes.zaxis.labelpad = 9
    axes.view_init(elev=24, azim=-130)
    axes.set_box_aspect(None, zoom=0.9)


def _front_legend(objectives: int, error_bars: bool) -> list[Line2D]:
    """Return what the markers of the front picture stand for."""
    every = "both objectives" if objectives == 2 else f"all {objectives} objectives"
    handles = [
        Line2D([], [], ls="", marker="o", color="#7C7B78", ms=6, label="validation"),
        Line2D([], [], ls="", marker="X", color="black", ms=7, label="untrained policy"),
        Line2D(
            [], [], ls="", marker="o", ms=9, mfc="none", mec=FRONT_COLOUR, mew=1.6, label=f"non-dominated in {every}"
        ),
    ]
    if objectives > 2:
        handles.append(Line2D([], [], color=FRONT_COLOUR, lw=1.3, label="front of the two objectives alone"))
    else:
        handles.append(Line2D([], [], color=FRONT_COLOUR, lw=1.3, label="front"))
    if error_bars:
        handles.append(Line2D([], [], ls="", marker="+", color="#999999", ms=10, label="one standard error"))
    return handles
