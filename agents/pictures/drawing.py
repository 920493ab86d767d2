"""What the pictures of a run have in common."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from paretune.agents.files import atomic_path

# Okabe and Ito's palette, which colour-blind readers can tell apart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def tidy(axes: Axes) -> None:
    """Take away what is no data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E5E5E5", lw=0.6)
    axes.set_axisbelow(True)


def widen(axis: Axis) -> None:
    """Give an axis on which all data are (nearly) the same number a readable span around it."""
    low, high = axis.get_data_interval()
    span = 0.02 * max(1.0, abs(low), abs(high))
    if 0 <= high - low < 1e-6 * span:
        axis.set_view_interval((low + high - span) / 2, (low + high + span) / 2, ignore=True)


def grid(panels: int) -> tuple[int, int]:
    """Return rows and columns for a number of panels: a square of up to four, else rows of four."""
    columns = ceil(panels**0.5) if panels <= 4 else 4
    return ceil(panels / columns), columns


def step_ticks() -> MaxNLocator:
    """Whole, round numbers of steps."""
    return MaxNLocator(integer=True, steps=[1, 2, 5, 10])


def save(figure: Figure, path: str | os.PathLike[str]) -> Path:
    """Write the figure beside its place and move it there in one step."""
    target = Path(path)
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png")
    return target
