"""Which learning rate teaches? What fixed weights make of the embedded model and of small networks, by learning rate.

    python examples/benchmarks/defaults.py --jobs 2

An experiment on moving weights says nothing where training lowers what it is to raise. This trains with fixed weights,
of which each run knows what it is to raise: the objectives' sum with these weights. Learning rates are compared on
validation data with seeds of their own; what the default comes to is then measured on test data, with other seeds and
other weights. Writes defaults.json and defaults.md beside this file. Runs that defaults.json has are not run again.

Shapes: K objectives.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from cells import train_cells
from origin import origin, told
from scipy import stats

from paretune.agents import agent_class
from paretune.agents.files import write_json, write_text
from paretune.bench.reports.report_markdown import table

HERE = Path(__file__).parent
AGENTS = ("grpo", "rloo", "reinforce")
TASKS: dict[str, dict[str, Any]] = {
    "arithmetic": {"env": "paretune/Arithmetic-v0"},
    "tight budget": {
        "env": "paretune/Arithmetic-v0",
        "env_options": {"max_tokens": 36, "operations": "+", "word_problems": 0.0},
        "max_new_tokens": 48,
    },
    "convex": {"env": "paretune/TokenConvex-v0"},
    "deceptive": {"env": "paretune/TokenDeceptive-v0"},
    "README": {"env": "paretune/Arithmetic-v0", "weighting": "hypervolume"},
    "make demo": {
        "env": "paretune/Arithmetic-v0",
        "weighting": "hypervolume",
        "prompts_per_step": 8,
        "group_size": 8,
    },
    "accuracy alone": {"env": "paretune/Arithmetic-v0"},
}
"""What agents are made with. Convex and deceptive train a small network, all others the embedded model; the last three
are what newcomers run, and the simplest goal, and compare no learning rates."""
TEXTS = ("arithmetic", "tight budget")
GIVEN: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "README": ((0.5, 0.25, 0.25), ("grpo",)),
    "make demo": ((1.0, 1.0, 1.0), ("grpo",)),
    "accuracy alone": ((1.0, 0.0, 0.0), AGENTS),
}
"""Weights and agents of tasks that compare no learning rates."""
PREFERENCES: dict[int, tuple[tuple[float, ...], ...]] = {
    3: ((0.5, 0.25, 0.25), (0.25, 0.5, 0.25), (0.25, 0.25, 0.5)),
    2: ((0.75, 0.25), (0.25, 0.75)),
}
"""The weights of the runs, by K."""


@dataclass(kw_only=True)
class Settings:
    """Settings of the comparison."""

    lrs: tuple[float, ...] = (5e-5, 1e-4, 2e-4, 4e-4)
    """Learning rates of the embedded model."""
    network_lrs: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    """Learning rates of small networks."""
    warmups: tuple[int, ...] = (0, 5)
    """Steps of warm-up."""
    points: tuple[int, ...] = (20, 60)
    """Training steps after which policies are measured, ascending."""
    tasks: tuple[str, ...] = tuple(TASKS)
    """Tasks, by name."""
    agents: tuple[str, ...] = AGENTS
    """Agents, by name."""
    tuning_seeds: int = 1
    """Seeds that learning rates are compared with, from 100."""
    seeds: int = 5
    """Seeds that the default is measured with, from 0."""
    eval_prompts: int = 256
    """Prompts of a measurement."""
    jobs: int = 1
    """Runs at the same time, on one core each."""
    out: Path = HERE
    """Folder for the results."""


Cell = tuple[str, str, float | None, int | None, tuple[float, ...], int]
"""Task, agent, learning rate and warm-up (None is the default), weights, seed."""


def train(
    task: str, agent: str, lr: float | None, warmup: int | None, weights: Sequence[float], seed: int, limits: list[int]
) -> dict[str, Any]:
    """Train one run and return what its policies come to.

    Args:
        task: Name of the task.
        agent: Name of the agent.
        lr: Learning rate; None is the default.
        warmup: Steps of warm-up; None is the default.
        weights: Of the objectives (K,).
        seed: Of the run.
        limits: The number of prompts of a measurement, and the steps after which there is one.
    """
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    prompts, *points = limits
    options: dict[str, Any] = {name: value for name, value in (("lr", lr), ("warmup", warmup)) if value is not None}
    moves = TASKS[task].get("weighting", "fixed") != "fixed"
    options |= {"pictures": False, "eval_every": 5 if moves else 10**9, "seed": seed}
    arguments = {"weighting": "fixed", **TASKS[task], "preference": weights, **options}
    made = agent_class(agent)(**arguments)
    found = []
    for before, point in zip([0, 0, *points], [0, *points], strict=False):
        if point:
            made.train(point - before)
        found.append({split: made.assess(split, prompts).mean.tolist() for split in ("validation", "test")})
    return {"objectives": list(made.objectives), "lr": made.settings.lr, "performances": found}


def cells(settings: Settings) -> Iterator[Cell]:
    """Yield the runs: those that compare learning rates, then those that measure the default."""
    for task in settings.tasks:
        if task in GIVEN:
            own, agents = GIVEN[task]
            yield from ((task, agent, None, None, own, seed) for agent in agents for seed in range(settings.seeds))
            continue
        weights = PREFERENCES[3 if task in TEXTS or task == "deceptive" else 2]
        for agent in settings.agents:
            for seed in range(100, 100 + settings.tuning_seeds):
                for lr in settings.lrs if task in TEXTS else settings.network_lrs:
                    yield from (
                        (task, agent, lr, warmup, each, seed) for warmup in settings.warmups for each in weights
                    )
            yield from ((task, agent, None, None, each, seed) for each in weights for seed in range(settings.seeds))


def read(path: Path) -> dict[Cell, dict[str, Any]]:
    """Return the runs that a record holds, none if there is no record."""
    if not path.exists():
        return {}
    runs = json.loads(path.read_text(encoding="utf-8"))["runs"]
    return {(*run["cell"][:4], tuple(run["cell"][4]), run["cell"][5]): run["result"] for run in runs}


def change(result: Mapping[str, Any], weights: Sequence[float], split: str, point: int) -> float:
    """Return by how much the objectives' sum with these weights is above the untrained policy's at a point."""
    performances = [np.array(each[split]) for each in result["performances"]]
    return float((performances[point] - performances[0]) @ np.array(weights) / sum(weights))


def interval(values: Sequence[float]) -> str:
    """Return a mean with its 95 % t interval."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return f"{mean:+.3f}"
    half = float(stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def compared(runs: Mapping[Cell, dict[str, Any]], points: Sequence[int]) -> list[list[str]]:
    """Return the rows on learning rates: changes on validation data, over weights, seeds and tasks of a kind."""
    groups: dict[tuple[str, str, float, int], list[tuple[Cell, dict[str, Any]]]] = defaultdict(list)
    for cell, result in runs.items():
        task, agent, lr, warmup, *_ = cell
        if lr is not None and warmup is not None:
            groups[task, agent, lr, warmup].append((cell, result))
    rows = []
    for (task, agent, lr, warmup), found in groups.items():
        row = [task, agent, f"{lr:g}", str(warmup)]
        for point in range(1, len(points) + 1):
            changes = [change(result, cell[4], "validation", point) for cell, result in found]
            row += [f"{np.mean(changes):+.3f}", f"{min(changes):+.3f}"]
        rows.append(row)
    return rows


def measured(runs: Mapping[Cell, dict[str, Any]], points: Sequence[int]) -> list[list[str]]:
    """Return the rows on the default: changes on test data, over seeds, and how many runs raised what they are to."""
    groups: dict[tuple[str, str, tuple[float, ...]], list[dict[str, Any]]] = defaultdict(list)
    for (task, agent, lr, _, weights, _), result in runs.items():
        if lr is None:
            groups[task, agent, weights].append(result)
    rows = []
    for (task, agent, weights), found in groups.items():
        objectives, largest = found[0]["objectives"], int(np.argmax(weights))
        row = [task, agent, f"{found[0]['lr']:g}", " ".join(f"{weight:g}" for weight in weights)]
        for point in range(1, len(points) + 1):
            tests = [[np.array(result["performances"][at]["test"]) for at in (0, point)] for result in found]
            own = [change(result, weights, "test", point) for result in found]
            raised = [
                sum(value > 0 for value in own),
                sum(after[largest] > before[largest] for before, after in tests),
                sum(after.prod() > before.prod() for before, after in tests),
            ]
            row += [interval(own), " ".join(f"{number}/{len(found)}" for number in raised)]
        rows.append([*row, objectives[largest]])
    return rows


def page(record: Mapping[str, Any], runs: Mapping[Cell, dict[str, Any]]) -> str:
    """Return the results as a Markdown page."""
    points = record["points"]
    heads = [head for point in points for head in (f"{point} steps", f"{point} steps, least")]
    raised = [head for point in points for head in (f"{point} steps", "raised")]
    return "\n".join(
        [
            "# Defaults that teach",
            "",
            told(dict(record)),
            "",
            "Runs with fixed weights. A number is by how much the objectives, summed with the run's own weights, are "
            f"above the untrained policy's, greedy, on {record['eval_prompts']} prompts (stepped tasks: all starts).",
            "",
            "## Learning rates",
            "",
            "Validation data, seeds from 100: mean over weights and seeds, and the worst run.",
            "",
            table(["task", "agent", "lr", "warm-up", *heads], compared(runs, points)),
            "",
            "## The default",
            "",
            "Test data, seeds from 0: mean with 95 % t interval. Raised: how many runs raised the weighted objectives, "
            "the objective with the largest weight, and the hypervolume.",
            "",
            table(["task", "agent", "lr", "weights", *raised, "largest"], measured(runs, points)),
            "",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing and write the results."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    path = settings.out / "defaults.json"
    runs = read(path)
    record = {**origin("defaults.py", argv), "points": list(settings.points), "eval_prompts": settings.eval_prompts}
    limits = [settings.eval_prompts, *settings.points]
    missing = [(*cell, limits) for cell in cells(settings) if cell not in runs]
    settings.out.mkdir(parents=True, exist_ok=True)
    for (task, agent, lr, warmup, weights, seed, _), result in train_cells(train, missing, settings.jobs):
        cell = (task, agent, lr, warmup, weights, seed)
        runs[cell] = result
        entries = [{"cell": list(each), "result": found} for each, found in runs.items()]
        write_json(path, {**record, "settings": {"points": settings.points}, "runs": entries})
        print(f"{len(runs)}: {' '.join(map(str, cell))}", flush=True)
    text = page(record, runs)
    write_text(settings.out / "defaults.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
