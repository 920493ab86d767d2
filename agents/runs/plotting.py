"""The pictures of a run folder: reading what there is, and having it drawn."""

from __future__ import annotations

from pathlib import Path

from paretune.agents.pictures.run_picture import draw_run
from paretune.agents.runs.run_folder import RunFolder


def plot_run(run: RunFolder) -> list[Path]:
    """Draw front.png (with two objectives or more) and weights.png into a run's folder, from what it holds.

    Args:
        run: The folder of a run, finished or not.

    Returns:
        The paths of the pictures.

    Raises:
        ValueError: If the folder holds no run, or nothing was measured yet.
    """
    run.config()
    lines = run.metrics()
    if not lines:
        raise ValueError(f"run: must hold at least one validation to draw, got none yet in {str(run.path)!r}")
    return draw_run(run.path, lines)
