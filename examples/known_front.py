"""What each strategy reaches of a front that is known exactly, in one picture.

    python examples/known_front.py

Small networks write texts token by token, on a convex and on a concave front. Fixed and hypervolume-guided weights are
trained for a sweep of preferences. Gradient-guided weights follow no preference: they are trained as many times from
equal weights with different seeds, and so are fixed equal weights, to show what the seeds alone do. Draws
known-front.png and prints means over repetitions with 95% intervals (Student's t): the share of the front's
hypervolume over zero that the last policies of the runs reach, and that all their validations on the way reached.

Any fixed weights are best served at a corner of the front's convex hull, a ring in the picture. On the convex front
every point is one; on the concave front only the ends are. Hypervolume-guided weights are best served there, too, as
they keep the preference's direction and move only its scale. What such runs hold between the ends is where they were
stopped, not an optimum; what they met on the way is worth more. Sizes and settings were chosen on overlapping seeds, so
the table shows what happens, and ranks nothing.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import sem, t

from paretune.agents import RLOO, Sweep
from paretune.agents.pictures.drawing import PALETTE, save, tidy
from paretune.cli.tables import format_table
from paretune.envs.catalog import make_env
from paretune.envs.tokens.fronts import pareto_set
from paretune.weighting.archive import hypervolume

Points = NDArray[np.float64]
STRATEGIES = {
    "fixed": ("fixed", True, "o", PALETTE[0]),
    "hypervolume": ("hypervolume", True, "s", PALETTE[1]),
    "gradient": ("gradient", False, "^", PALETTE[2]),
    "fixed, equal": ("fixed", False, "D", PALETTE[3]),
}
"""Weighting, whether its runs differ in preference (else in seed), marker and colour."""
RUN: dict[str, Any] = {
    "prompts_per_step": 1,
    "gradient_estimate": "batch",
    "group_size": 64,
    "lr": 1e-2,
    "entropy": 0.15,
    "eval_prompts": 1,
}


@dataclass(kw_only=True)
class Settings:
    """Settings of the example."""

    env: tuple[str, ...] = ("paretune/TokenConvex-v0", "paretune/TokenConcave-v0")
    """Token environments with two objectives, each a row of the picture."""
    vocabulary: int = 8
    """Tokens, which are styles of writing; at least 2."""
    length: int = 4
    """Tokens per text."""
    steps: int = 60
    """Training steps per run, of 64 texts each."""
    runs: int = 5
    """Runs per strategy: evenly spread preferences, or as many seeds."""
    seeds: int = 5
    """Repetitions of everything, from seed 0."""
    jobs: int = 2
    """Strategies trained at the same time, one thread each."""
    out: Path = Path("runs/known_front")
    """Folder for the picture."""


def train(env: str, name: str, seed: int, settings: Settings) -> tuple[Points, Points]:
    """Return the last performances (N, 2) of a strategy's runs, and the best that they met on the way (M, 2)."""
    weighting, swept, *_ = STRATEGIES[name]
    each = [(seed, settings.runs)] if swept else [(seed * settings.runs + n, 1) for n in range(settings.runs)]
    options = {"vocabulary": settings.vocabulary, "length": settings.length}
    shared = {"steps": settings.steps, "env_options": options, **RUN}
    results = [Sweep(RLOO, env, "mlp", weighting, preferences=n, seed=s, **shared).run() for s, n in each]
    met = np.concatenate([result.archive.front for result in results])
    return np.concatenate([result.performances for result in results]), pareto_set(met)


def share(points: Points, exact: Points) -> float:
    """Return the points' share of the front's hypervolume over zero."""
    return hypervolume(points, np.zeros(2)) / hypervolume(exact, np.zeros(2))


def interval(values: list[float]) -> str:
    """Return the mean of values and its 95% interval, which takes two of them."""
    error = f" +- {sem(values) * t.ppf(0.975, len(values) - 1):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):.3f}{error}"


def draw(axes: Any, name: str, repeats: list[tuple[Points, Points]], exact: Points, corners: Points) -> list[Any]:
    """Draw what a strategy reached of a front; return what the legend explains."""
    last, met = (np.concatenate(points) for points in zip(*repeats, strict=True))
    places, counts = np.unique(last.round(6), axis=0, return_counts=True)
    *_, marker, colour = STRATEGIES[name]
    axes.margins(0.12)
    axes.scatter(*places.T, s=32 * counts, color=colour, alpha=0.6, marker=marker, lw=0, zorder=3)
    tidy(axes)
    return [
        axes.scatter(*exact.T, s=30, color="0.75", zorder=2, label="exact front"),
        axes.scatter(*corners.T, s=190, facecolors="none", edgecolors="0.35", zorder=2, label="corner of its hull"),
        *axes.plot(*corners.T, color="0.6", lw=1, ls="--", zorder=1, label="hull: mixtures of corners"),
        axes.scatter(*pareto_set(met).T, s=14, color="black", marker="+", lw=0.9, zorder=4, label="met on the way"),
        *(axes.scatter([], [], s=32 * n, color="0.5", lw=0, label=f"runs that ended here: {n}") for n in (1, 10)),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Train, print the tables and draw the picture."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    envs: dict[str, Any] = {}
    for env in settings.env:
        envs[env] = make_env(env, vocabulary=settings.vocabulary, length=settings.length)
        if envs[env].reward_dim != 2:
            sys.exit(f"--env must be environments with two objectives, got {env!r}")
    figure = Figure(figsize=(11.5, 3.1 * len(envs) + 0.8), dpi=150, layout="constrained")
    grid = figure.subplots(len(envs), len(STRATEGIES), sharex=True, sharey=True, squeeze=False)
    with ProcessPoolExecutor(settings.jobs, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        jobs = {
            (env, name): [pool.submit(train, env, name, seed, settings) for seed in range(settings.seeds)]
            for env, name in itertools.product(envs, STRATEGIES)
        }
        found = {key: [job.result() for job in repeats] for key, repeats in jobs.items()}
    figure.suptitle("Share of the front's hypervolume: by the last policies, and by all that was met", fontsize=11)
    for line, (env, made) in zip(grid, envs.items(), strict=True):
        exact, corners = np.array(made.pareto_front()), np.array(made.convex_front())
        rows = [["corners of the hull", f"{share(corners, exact):.3f}", ""]]
        for axes, name in zip(line, STRATEGIES, strict=True):
            handles = draw(axes, name, found[env, name], exact, corners)
            shares = [[share(points, exact) for points in kind] for kind in zip(*found[env, name], strict=True)]
            rows.append([name, *map(interval, shares)])
            axes.set_title("{}: last {:.0%}, met {:.0%}".format(name, *np.mean(shares, axis=1)), fontsize=10)
        line[0].set_ylabel(f"{env.rpartition('/')[2]}\nreturn: {made.objectives[1]}")
        print(format_table([env, "last policies", "met on the way"], rows), end="\n\n")
    for axes in grid[-1]:
        axes.set_xlabel(f"return: {made.objectives[0]}")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, columnspacing=1.2)
    settings.out.mkdir(parents=True, exist_ok=True)
    print(save(figure, settings.out / "known-front.png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
