"""`paretune plot`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from paretune.agents.runs.plotting import plot_run
from paretune.agents.runs.run_folder import RunFolder
from paretune.cli.arguments.parsing import parse


@dataclass(kw_only=True)
class PlotSettings:
    """Draw front.png (the Pareto front) and weights.png (objectives and weights over time) into a run's folder.

    Works while the run is still going on, too. Example: paretune plot runs/a
    """

    folder: tyro.conf.Positional[Path]
    """Folder of the run."""


def run(words: Sequence[str]) -> int:
    """Draw as the command line says, and print the pictures' paths.

    Raises:
        ValueError: If the folder holds no run, or one without a validation.
    """
    settings = parse(words, PlotSettings, "paretune plot")
    for path in plot_run(RunFolder(settings.folder)):
        print(path)
    return 0
