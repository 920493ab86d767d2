"""`paretune replay`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tyro
from numpy.typing import NDArray

from paretune.agents.pictures.replay_picture import draw_replays
from paretune.agents.rules import Vector
from paretune.agents.runs.replaying import Replay, replay
from paretune.cli.arguments.options import Options
from paretune.cli.arguments.parsing import parse
from paretune.cli.tables import format_table


@dataclass(kw_only=True)
class ReplaySettings:
    """Show which weights other strategies would have set on the history of a run: a table, and a picture.

    The strategies see the rewards, validations and Gram matrices that the run logged; nothing is trained and no model
    is loaded. What the run logged is the doing of its own weights: other ones would have trained another policy, which
    had earned other rewards. A replay shows how a strategy reacts, not what it leads to. Strategies that need gradients
    can be replayed on runs trained with --record-gram. Example: paretune replay runs/a --weighting sa-mrpo saw
    """

    folder: tyro.conf.Positional[Path]
    """Folder of the run, finished or not."""
    weighting: tuple[str, ...]
    """Strategies that are replayed; `paretune weightings` lists them."""
    weighting_options: Options = field(default_factory=dict)
    """Options of the strategies, such as floor=0.1; all of them get these."""
    preference: Vector | None = None
    """Weights of the objectives that the strategies start from; None is those of the run."""
    out: Path | None = None
    """Picture that is written (PNG); None is replay-NAME.png in the run's folder."""


def run(words: Sequence[str]) -> int:
    """Replay as the command line says; print the weights and the picture's path.

    Raises:
        ValueError: If the folder holds no history that can be replayed, or an option is wrong.
    """
    settings = parse(words, ReplaySettings, "paretune replay")
    if not settings.weighting:
        raise ValueError("weighting: must be the name of at least one strategy, got none")
    replays = [
        replay(settings.folder, name, settings.preference, settings.weighting_options) for name in settings.weighting
    ]
    picture = settings.out or settings.folder / f"replay-{'-'.join(settings.weighting)}.png"
    path = draw_replays(picture, replays)
    print(report(settings.folder, replays))
    print(f"\npicture:  {path}")
    return 0


def report(folder: Path, replays: Sequence[Replay]) -> str:
    """Return the run's own weights and the replayed ones as a table: shares of the sum, and the scale."""
    first = replays[0]
    rows = _rows(f"{first.own_name} (the run's own)", first, first.own_shares, first.own_scale)
    for one in replays:
        rows += _rows(one.name, one, one.shares, one.scale)
    steps = f"{first.steps[0]} to {first.steps[-1]}"
    header = ("strategy", "share of", "first", "mean", "last", "largest difference from the run")
    return f"{folder}, steps {steps}\n\n{format_table(header, rows, numbers=False)}"


def _rows(name: str, one: Replay, shares_SK: NDArray[np.float64], scale_S: NDArray[np.float64]) -> list[list[str]]:
    """One row for each objective and one for the scale; the name stands in the first only."""
    columns = [
        *zip(one.objectives, shares_SK.T, one.own_shares.T, strict=True),
        ("(scale)", scale_S, one.own_scale),
    ]
    rows = []
    for row, (label, value_S, own_S) in enumerate(columns):
        numbers = [f"{number:.4f}" for number in (value_S[0], value_S.mean(), value_S[-1])]
        rows.append(["" if row else name, label, *numbers, _largest(one.steps, value_S - own_S)])
    return rows


def _largest(steps_S: NDArray[np.int64], difference_S: NDArray[np.float64]) -> str:
    at = int(np.abs(difference_S).argmax())
    return f"{difference_S[at]:+.4f} at step {steps_S[at]}" if difference_S[at] else "-"
