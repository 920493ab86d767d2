"""The picture of replays: the weights of a run, and those that other strategies set on its history.

Shapes: S training steps, K objectives.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from paretune.agents.pictures.drawing import PALETTE, save, step_ticks, tidy, widen

Array = NDArray[np.float64]

OWN: dict[str, Any] = {"color": "#BBBBBB", "lw": 4.0}
"""The run's own weights: broad and light, so that a line on them does not hide them."""

FEW_STEPS = 30
"""With at most this many steps, each is marked."""


class Replay(Protocol):
    """What is drawn of a replay; `paretune.agents.Replay` has it."""

    @property
    def objectives(self) -> Sequence[str]:
        """Names of the K objectives, in order."""
        ...

    @property
    def steps(self) -> NDArray[np.int64]:
        """The training steps (S,)."""
        ...

    @property
    def name(self) -> str:
        """Name of the strategy that was replayed."""
        ...

    @property
    def shares(self) -> Array:
        """Each of its weights' share of the sum (S, K)."""
        ...

    @property
    def scale(self) -> Array:
        """The sums of its weights (S,)."""
        ...

    @property
    def own_name(self) -> str:
        """Name of the run's own strategy."""
        ...

    @property
    def own_shares(self) -> Array:
        """Each of the run's own weights' share of the sum (S, K)."""
        ...

    @property
    def own_scale(self) -> Array:
        """The sums of the run's own weights (S,)."""
        ...


def draw_replays(path: str | os.PathLike[str], replays: Sequence[Replay]) -> Path:
    """Draw a panel for each objective, and one for the scale where any moves, with a line for each strategy.

    Args:
        path: The PNG file to write; a file that is there is replaced at once, never left half written.
        replays: Replays of the same run, at least one.

    Returns:
        The path of the file.

    Raises:
        ValueError: If there is no replay.
    """
    if not replays:
        raise ValueError("replays: must hold at least one, got none")
    first = replays[0]
    scales = [first.own_scale, *(one.scale for one in replays)]
    moving_scale = any(np.ptp(np.append(scale_S, 1.0)) > 1e-9 for scale_S in scales)
    heights = [1.5] * len(first.objectives) + ([1.1] if moving_scale else [])
    figure = Figure(figsize=(9.5, 1.3 * sum(heights) + 1.2), dpi=150, layout="constrained")
    panels = list(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0])
    top = max(float(shares_SK.max()) for shares_SK in (first.own_shares, *(one.shares for one in replays)))
    for k, (panel, name) in enumerate(zip(panels, first.objectives, strict=False)):
        _draw_lines(panel, first.steps, first.own_shares[:, k], [one.shares[:, k] for one in replays])
        panel.set_ylim(-0.02, max(0.6, 1.1 * top))
        panel.set_ylabel(f"weight of\n{name}")
    if moving_scale:
        _draw_lines(panels[-1], first.steps, first.own_scale, [one.scale for one in replays], "steps-mid")
        panels[-1].margins(y=0.15)
        widen(panels[-1].yaxis)
        panels[-1].set_ylabel("scale of the\nadvantages")
    for panel in panels:
        tidy(panel)
    figure.align_ylabels(panels)
    panels[-1].set_xlabel("training step")
    panels[-1].xaxis.set_major_locator(step_ticks())
    figure.suptitle("Weights (shares of the sum) on the history that the run's own weights led to", fontsize=11)
    _draw_legend(figure, first.own_name, [one.name for one in replays])
    return save(figure, path)


def _draw_lines(
    axes: Axes, steps_S: NDArray[np.int64], own_S: Array, others: Sequence[Array], style: str = "default"
) -> None:
    """Draw a line for each strategy; those that would hide each other are dashed in turn."""
    marker = "o" if len(steps_S) <= FEW_STEPS else ""
    axes.plot(steps_S, own_S, marker=marker, ms=7, drawstyle=style, **OWN)
    for n, other_S in enumerate(others):
        hides = any(np.mean(np.abs(other_S - earlier_S)) < 0.005 for earlier_S in others[:n])
        dashes: Any = (3.0 * n, (3.0, 3.0 * n)) if hides else "-"
        colour = PALETTE[n % len(PALETTE)]
        axes.plot(steps_S, other_S, marker=marker, ms=3.5, color=colour, lw=1.4, ls=dashes, drawstyle=style)


def _draw_legend(figure: Figure, own: str, others: Sequence[str]) -> None:
    handles = [Line2D([], [], label=f"{own} (the run's own)", **OWN)]
    handles += [
        Line2D([], [], color=PALETTE[n % len(PALETTE)], lw=1.8, label=f"{name} (replayed)")
        for n, name in enumerate(others)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False)
