"""The picture of a sweep: what each preference led to, the archive of all runs, and the exact front where it is known.

Shapes: N runs, M points of the archive, E points of the exact front, K objectives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from paretune.agents.pictures.drawing import grid, save, tidy, widen
from paretune.agents.pictures.front_picture import FRONT_COLOUR, MAX_PAIRS, RING, staircase

PREFERENCE_COLOURS = "viridis"
EXACT_COLOUR = "#8C8C8C"


def draw_sweep(
    path: str | os.PathLike[str],
    objectives: Sequence[str],
    preferences: ArrayLike,
    performances: ArrayLike,
    front: ArrayLike,
    exact: ArrayLike | None = None,
) -> Path:
    """Draw a sweep, a panel per pair of objectives.

    Args:
        path: The PNG file to write; a file that is there is replaced at once, never left half written.
        objectives: The K names, K >= 2.
        preferences: What was trained for (N, K).
        performances: What came of it (N, K), N >= 1; larger is better.
        front: The archive's points (M, K).
        exact: The exact front (E, K), if it is known.

    Returns:
        The path of the file.

    Raises:
        ValueError: With fewer than two objectives or no run.
    """
    k = len(objectives)
    if k < 2:
        raise ValueError(f"objectives: must hold at least two names to draw a sweep, got {list(objectives)}")
    weights_NK, ends_NK, front_MK = (
        np.asarray(x, dtype=float).reshape(-1, k) for x in (preferences, performances, front)
    )
    if len(ends_NK) == 0:
        raise ValueError("performances: must hold at least one run, got none")
    exact_EK = None if exact is None else np.asarray(exact, dtype=float).reshape(-1, k)
    pairs = list(combinations(range(k), 2))[:MAX_PAIRS]
    rows, columns = grid(len(pairs))
    figure = Figure(figsize=(4.6 * columns + 1.0, 4.2 * rows + 0.7), dpi=150, layout="constrained")
    colours = ScalarMappable(Normalize(0, 1), PREFERENCE_COLOURS)
    for place, (x, y) in enumerate(pairs, start=1):
        axes = figure.add_subplot(rows, columns, place)
        exact_E2 = None if exact_EK is None else exact_EK[:, (x, y)]
        _draw_pair(axes, ends_NK[:, (x, y)], front_MK[:, (x, y)], exact_E2, colours.to_rgba(weights_NK[:, x]))
        axes.set_xlabel(f"{objectives[x]} (colour: weight of it)")
        axes.set_ylabel(objectives[y])
        widen(axes.xaxis)
        widen(axes.yaxis)
    figure.colorbar(colours, ax=figure.axes, label="weight", shrink=0.8, pad=0.02)
    figure.suptitle(f"{len(ends_NK)} preferences: validation performance (larger is better)", fontsize=11)
    figure.legend(handles=_legend(k, exact is not None), loc="outside lower center", ncols=2, frameon=False)
    return save(figure, path)


def _draw_pair(
    axes: Axes,
    ends_N2: NDArray[np.float64],
    front_M2: NDArray[np.float64],
    exact_E2: NDArray[np.float64] | None,
    colours_N4: ArrayLike,
) -> None:
    if exact_E2 is not None:
        axes.plot(*staircase(exact_E2).T, color=EXACT_COLOUR, lw=1.0, ls=":", zorder=1)
        axes.scatter(exact_E2[:, 0], exact_E2[:, 1], marker="s", s=14, color=EXACT_COLOUR, zorder=2)
    if len(front_M2):
        axes.plot(*staircase(front_M2).T, color=FRONT_COLOUR, lw=1.2, zorder=3)
        axes.scatter(front_M2[:, 0], front_M2[:, 1], zorder=5, **RING)
    axes.scatter(ends_N2[:, 0], ends_N2[:, 1], c=colours_N4, s=46, edgecolor="white", linewidths=0.6, zorder=4)
    axes.margins(0.08)
    tidy(axes)


def _legend(objectives: int, exact: bool) -> list[Line2D]:
    """Return what the markers stand for."""
    everywhere = "" if objectives == 2 else f" in all {objectives} objectives"
    handles = [
        Line2D([], [], ls="", marker="o", color="#21918C", ms=7, label="last policy of a run"),
        Line2D([], [], ls="", marker="o", ms=10, mfc="none", mec=FRONT_COLOUR, mew=1.6, label=f"archive{everywhere}"),
        Line2D([], [], color=FRONT_COLOUR, lw=1.2, label="its front in the plane"),
    ]
    if exact:
        handles.append(Line2D([], [], ls=":", marker="s", ms=4, color=EXACT_COLOUR, label=f"exact front{everywhere}"))
    return handles
