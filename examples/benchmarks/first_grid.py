"""Three agents, three weightings, three seeds on Arithmetic with the embedded model: does every cell learn?

    python examples/benchmarks/first_grid.py

Each cell trains for 60 steps and is evaluated on the test split before the first and after the last. The measure is the
hypervolume of the policy's test performance to the reference point of zeros, which for a single policy is the product
of its objectives. Finished cells are kept in the runs folder and not run again. Writes first_grid.json, first_grid.md
and first_grid.png beside this file.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from cells import train_cells
from matplotlib.figure import Figure

HERE = Path(__file__).parent
AGENTS = ("reinforce", "rloo", "grpo")
WEIGHTINGS = ("fixed", "hypervolume", "gradient")
COLOURS = {"fixed": "#0072B2", "hypervolume": "#D55E00", "gradient": "#009E73"}
GOAL = 1.5


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    steps: int = 60
    """Training steps per cell."""
    seeds: int = 3
    """Seeds per cell, from 0."""
    lr: float = 3e-4
    """Learning rate of all cells."""
    prompts_per_step: int = 8
    """Prompts per training step."""
    group_size: int = 8
    """Responses per prompt."""
    eval_prompts: int = 256
    """Prompts of the test split."""
    jobs: int = 2
    """Cells trained at the same time, one thread each."""
    runs: Path = Path("runs/first_grid")
    """Folder for the run folders and the results of finished cells."""
    out: Path = HERE
    """Folder for table and picture."""


def run_cell(settings: Settings, agent_name: str, weighting: str, seed: int) -> dict[str, Any]:
    """Train one cell and return its test performance before and after; a finished cell is read back."""
    folder = settings.runs / f"{agent_name}-{weighting}-{seed}"
    finished = folder / "result.json"
    if finished.exists():
        return json.loads(finished.read_text())
    import torch

    from paretune.agents import agent_class

    torch.set_num_threads(1)
    agent = agent_class(agent_name)(
        "paretune/Arithmetic-v0",
        "tiny-math",
        weighting,
        out=folder,
        overwrite=True,
        seed=seed,
        lr=settings.lr,
        prompts_per_step=settings.prompts_per_step,
        group_size=settings.group_size,
        gradient_responses=32,
        checkpoint_every=settings.steps,
        eval_every=10,
    )
    before = agent.assess("test", settings.eval_prompts)
    start = time.perf_counter()
    if agent.train(settings.steps).interrupted:
        raise KeyboardInterrupt  # the cell is not finished, and no other starts
    seconds = time.perf_counter() - start
    after = agent.assess("test", settings.eval_prompts)
    result = {
        "agent": agent_name,
        "weighting": weighting,
        "seed": seed,
        "objectives": list(agent.objectives),
        "before": before.mean.tolist(),
        "after": after.mean.tolist(),
        "hypervolume_before": before.hypervolume,
        "hypervolume_after": after.hypervolume,
        "weights": agent.weighting.direction.tolist(),
        "seconds": seconds,
    }
    finished.write_text(json.dumps(result))
    return result


def run_all(settings: Settings) -> list[dict[str, Any]]:
    """Train all cells, some at the same time, and return their results in order."""
    cells = list(itertools.product(AGENTS, WEIGHTINGS, range(settings.seeds)))
    results: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell, result in train_cells(partial(run_cell, settings), cells, settings.jobs):
        results[cell] = result
        ratio = result["hypervolume_after"] / result["hypervolume_before"]
        print(f"{len(results)}/{len(cells)} {cell} hypervolume x{ratio:.2f} in {result['seconds']:.0f} s", flush=True)
    return [results[cell] for cell in cells]


def table(results: list[dict[str, Any]], settings: Settings) -> str:
    """Return the results as a Markdown page: one row per agent and weighting, means over seeds."""
    objectives = results[0]["objectives"]
    lines = [
        "# First grid: does every cell learn?",
        "",
        f"`python examples/benchmarks/first_grid.py`, {settings.steps} steps, {settings.prompts_per_step} prompts x "
        f"{settings.group_size} responses per step, learning rate {settings.lr:g}, {settings.seeds} seeds, equal "
        f"preference, gradients compared on 32 responses, greedy answers to {settings.eval_prompts} test prompts, "
        "2 CPU cores.",
        "",
        f"Hypervolume of the policy's test performance before and after; means over seeds, the smallest ratio "
        f"of any seed in the last column (goal: at least {GOAL}). Three seeds show that a cell learns; they do not "
        "rank cells.",
        "",
        f"| agent | weighting | {' | '.join(objectives)} | hypervolume before | after | ratio | smallest |",
        "|---|---|" + "---:|" * (len(objectives) + 4),
    ]
    for agent, weighting in itertools.product(AGENTS, WEIGHTINGS):
        cell = [r for r in results if (r["agent"], r["weighting"]) == (agent, weighting)]
        before = np.array([r["hypervolume_before"] for r in cell])
        after = np.array([r["hypervolume_after"] for r in cell])
        changes = " | ".join(
            f"{b:.2f} -> {a:.2f}"
            for b, a in zip(*(np.mean([r[key] for r in cell], axis=0) for key in ("before", "after")), strict=True)
        )
        lines.append(
            f"| {agent} | {weighting} | {changes} | {before.mean():.3f} | {after.mean():.3f} | "
            f"{after.mean() / before.mean():.2f} | {(after / before).min():.2f} |"
        )
    missed = sum(r["hypervolume_after"] < GOAL * r["hypervolume_before"] for r in results)
    seconds = np.median([r["seconds"] for r in results])
    lines += ["", f"{len(results) - missed} of {len(results)} runs reached the goal; {seconds:.0f} s per run (median)."]
    return "\n".join(lines) + "\n"


def draw(results: list[dict[str, Any]]) -> Figure:
    """Return a picture: hypervolume before and after of every run, by agent and weighting."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    before = np.mean([r["hypervolume_before"] for r in results])
    axes.axhline(before, color="0.4", linestyle="--", linewidth=1, label="before training")
    axes.axhline(GOAL * before, color="0.7", linestyle=":", linewidth=1, label=f"{GOAL} times that")
    for i, weighting in enumerate(WEIGHTINGS):
        for j, agent in enumerate(AGENTS):
            after = [r["hypervolume_after"] for r in results if (r["agent"], r["weighting"]) == (agent, weighting)]
            x = j + 0.25 * (i - 1)
            axes.scatter([x] * len(after), after, color=COLOURS[weighting], s=28, label=weighting if j == 0 else None)
            axes.hlines(np.mean(after), x - 0.09, x + 0.09, color=COLOURS[weighting], linewidth=2)
    axes.set_xticks(range(len(AGENTS)), AGENTS)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("test hypervolume after training")
    figure.legend(loc="outside right upper", frameon=False)
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Run the grid, write table and picture, and return 1 if a run missed the goal."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    results = run_all(settings)
    settings.out.mkdir(parents=True, exist_ok=True)
    record = {"settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)}}
    (settings.out / "first_grid.json").write_text(json.dumps(record | {"results": results}, indent=1) + "\n")
    page = table(results, settings)
    (settings.out / "first_grid.md").write_text(page)
    draw(results).savefig(settings.out / "first_grid.png", dpi=150)
    print(page)
    return int(any(r["hypervolume_after"] < GOAL * r["hypervolume_before"] for r in results))


if __name__ == "__main__":
    sys.exit(main())
