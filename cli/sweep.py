"""`paretune sweep`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from paretune.agents.rules import Count, CountFromZero
from paretune.agents.settings import AgentSettings
from paretune.cli.arguments.settings import RunSettings, agent_arguments, parse_settings
from paretune.cli.main import DONE, INTERRUPTED
from paretune.cli.tables import format_table

if TYPE_CHECKING:
    from paretune.agents import SweepResult


@dataclass(kw_only=True)
class ManyRunsSettings(RunSettings):
    """What a sweep has besides."""

    preferences: Count = 8
    """Number of evenly spread preferences, with a run each."""
    refine: CountFromZero = 0
    """Runs after those, each halfway across the widest gap that the front has by then."""


@dataclass(kw_only=True)
class SweepSettings(AgentSettings, ManyRunsSettings):
    """Train for a set of preferences, one run each, and put all of them into one archive and one picture.

    The same command again goes on with a sweep that was interrupted. Example: paretune sweep --env
    paretune/TokenConvex-v0 --agent rloo --weighting fixed --lr 0.01 --entropy 0.1 --out runs/convex
    """

    weighting: str = "fixed"
    """Strategy that weighs the objectives, from each preference; `paretune weightings` lists them."""

    @property
    def folder(self) -> Path:
        """The folder that the runs are written to."""
        name = f"sweep-{self.env.rpartition('/')[2]}-{self.agent}-{self.weighting}-{self.seed}"
        return Path("runs", name) if self.out is None else self.out


def run(words: Sequence[str]) -> int:
    """Train as the command line says, and print what came of each preference.

    Returns:
        0, or 130 if a signal ended the sweep before its last run.

    Raises:
        ValueError: If a setting is wrong.
    """
    settings, _ = parse_settings(words, SweepSettings, "paretune sweep")
    from paretune.agents import Sweep, agent_class  # needs torch, which a help text need not wait for
    from paretune.agents.display import make_display
    from paretune.envs import ResponseEnv

    sweep = Sweep(
        agent_class(settings.agent),
        steps=settings.steps,
        preferences=settings.preferences,
        refine=settings.refine,
        out=settings.folder,
        **agent_arguments(settings),
    )
    if isinstance(sweep.env, ResponseEnv):  # others take seconds
        sweep.display = lambda: make_display(settings.quiet)
    total = settings.preferences + settings.refine

    def report(number: int, preference: NDArray[np.float64], performance: NDArray[np.float64]) -> None:
        weights, values = in_words(preference, sweep.objectives), in_words(performance, sweep.objectives)
        print(f"run {number + 1} of {total}: weights {weights} | {values}", flush=True)

    result = sweep.run(None if settings.quiet else report)
    if not settings.quiet:
        print(summary(result))
        if result.interrupted:
            print("\nstopped; the same command goes on with the sweep")
    return INTERRUPTED if result.interrupted else DONE


def in_words(values: NDArray[np.float64], names: Sequence[str]) -> str:
    """Return K values with their names."""
    return ", ".join(f"{name} {value:.3f}" for name, value in zip(names, values, strict=True))


def summary(result: SweepResult) -> str:
    """Return what each preference led to, the hypervolume of all runs together, and where they are."""
    rows = [
        (str(number), str(steps), *(f"{value:.3f}" for pair in zip(weights, values, strict=True) for value in pair))
        for number, (steps, weights, values) in enumerate(
            zip(result.steps, result.preferences, result.performances, strict=True)
        )
    ]
    header = ("run", "steps", *(text for name in result.objectives for text in (f"weight of {name}", name)))
    lines = [format_table(header, rows), "", f"hypervolume of the archive: {result.archive.hypervolume():.4f}"]
    if result.share_of_front is not None:
        lines[-1] += f", {result.share_of_front:.1%} of the exact front's"
    if result.folder is not None:
        lines += [f"sweep:    {result.folder}"]
        lines += [f"picture:  {path}" for path in [result.folder / "front.png"] if path.exists()]
    return "\n".join(lines)
