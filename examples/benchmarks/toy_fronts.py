"""How much of a known front do agents reach? Sweeps of ours beside four agents of morl-baselines, at equal steps.

    pip install "paretune[morl]"
    python examples/benchmarks/toy_fronts.py

The tasks are the token-level environments whose Pareto fronts are computed exactly; the measure is the hypervolume of
returns over zero as a share of the front's. Ours pay for every validation with environment steps, the others are
evaluated for free. Finished cells are kept in the runs folder and not run again; a cell that fails is reported and
stops no other. Writes toy_fronts.json, toy_fronts.md and toy_fronts.png beside this file.

Shapes: N runs, L tokens of a text, K objectives.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from paretune.agents import agent_class
from paretune.agents.sweeps.sweep import Sweep
from paretune.envs import TokenEnv, make_env

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import morl_baselines_agents as others  # noqa: E402
from cells import train_cells  # noqa: E402
from toy_fronts_report import draw, table  # noqa: E402
from watching import put_in_place  # noqa: E402

ENVIRONMENTS = ("Convex", "Concave", "Disconnected", "Three", "Deceptive")
OURS = {
    "RLOO": ("rloo", "fixed"),
    "RLOO, hypervolume": ("rloo", "hypervolume"),
    "RLOO, gradient": ("rloo", "gradient"),
    "GRPO": ("grpo", "fixed"),
    "REINFORCE": ("reinforce", "fixed"),
}
SWEEP: dict[str, Any] = {"preferences": 5, "refine": 0}
AGENT: dict[str, Any] = {
    "prompts_per_step": 1,
    "gradient_estimate": "batch",  # one prompt has no parts
    "group_size": 4,
    "eval_every": 2,
    "eval_prompts": 1,
    "lr": 1e-2,
    "entropy": 0.3,
}
GRADIENT = {"prior": 0.5}
"""Options of the gradient-guided weights: without a pull towards its preference, every run of a sweep drifts alike."""

RIVALS: dict[str, dict[str, Any]] = {
    "PQL": {"ref_point": 0.0},
    "PCN": {"random_share": 0.2, "buffer": 400, "texts": 20, "updates": 50, "learning_rate": 1e-3},
    "GPI-LS": {"every": 16},
    "Envelope": {"every": 16},
}
"""What is set otherwise than in examples/morl_baselines_agents.py."""

RANDOM = "random texts"


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    steps: int = 48_000
    """Environment steps of each cell."""
    seeds: int = 5
    """Seeds of each method in each environment, from first_seed."""
    first_seed: int = 0
    """The first seed; 100 and 101 are those that settings were chosen on."""
    environments: tuple[str, ...] = ENVIRONMENTS
    """The environments, Token...-v0."""
    methods: tuple[str, ...] = (*OURS, *RIVALS, RANDOM)
    """The methods."""
    jobs: int = 2
    """Cells run at the same time, one thread each."""
    runs: Path = Path("runs/toy_fronts")
    """Folder for the results of finished cells."""
    out: Path = HERE
    """Folder for results, page and picture."""


class Recorder:
    """Counts the steps that are taken in an environment, alone or many copies together, and keeps the returns."""

    def __init__(self, env: TokenEnv) -> None:
        """Watch `env`, through the one function that all its rewards come from."""
        self.steps = 0
        self.returns: list[np.ndarray] = []
        self._sum: np.ndarray | None = None
        self._length, self._rewards = env.length, env.step_rewards
        put_in_place(env, "step_rewards", self._step_rewards)

    def _step_rewards(self, position: Any, last: Any, new: Any) -> np.ndarray:
        rewards = self._rewards(position, last, new)
        rewards_BK = np.atleast_2d(rewards).astype(np.float64)
        self._sum = rewards_BK if position == 0 or self._sum is None else self._sum + rewards_BK
        self.steps += len(rewards_BK)
        if position == self._length - 1:
            self.returns.extend(self._sum)
        return rewards


def make(environment: str, method: str) -> TokenEnv:
    """Make an environment with the observations that a method wants."""
    observation = others.AGENTS[method].observation if method in RIVALS else "one_hot"
    env = make_env(f"paretune/Token{environment}-v0", observation=observation).unwrapped
    assert isinstance(env, TokenEnv)
    return env


def run_steps(settings: Settings, length: int) -> int:
    """Return the training steps of each run of a sweep, such that training and validation keep within the budget."""
    runs = SWEEP["preferences"] + SWEEP["refine"]
    group, every = AGENT["prompts_per_step"] * AGENT["group_size"], AGENT["eval_every"]
    texts = settings.steps // length // runs

    def cost(steps: int) -> int:
        return group * steps + 1 + -(-steps // every)

    return max([1, *itertools.takewhile(lambda steps: cost(steps) <= texts, itertools.count(1))])


def train_ours(method: str, env: TokenEnv, seed: int, settings: Settings) -> dict[str, list[np.ndarray]]:
    """Run a sweep; return the returns of all validated policies and of the last policy of each run."""
    agent, weighting = OURS[method]
    options = {"weighting_options": GRADIENT} if weighting == "gradient" else {}
    steps = run_steps(settings, env.length)
    result = Sweep(agent_class(agent), env, "mlp", weighting, steps=steps, seed=seed, **SWEEP, **AGENT, **options).run()
    if result.interrupted:
        raise KeyboardInterrupt  # the cell is not finished, and no other starts
    return {"policies": list(result.archive.front), "last": list(result.performances)}


def train_other(
    method: str, environment: str, env: TokenEnv, seed: int, settings: Settings
) -> dict[str, list[np.ndarray]]:
    """Train an agent of morl-baselines; return the returns of its policies."""
    twin = make(environment, method)
    options = dict(RIVALS[method])
    if "ref_point" in options:
        options["ref_point"] = np.full(env.reward_dim, options["ref_point"])
    returns = others.train(method, env, twin, settings.steps, seed, **options)
    return {"policies": returns, "last": returns}


def write_random(env: TokenEnv, seed: int, settings: Settings) -> dict[str, list[np.ndarray]]:
    """Write random texts; return the returns of all."""
    shape = (settings.steps // env.length, env.length)
    texts = np.random.default_rng(seed).integers(env.vocabulary, size=shape)
    for position in range(env.length):
        env.step_rewards(position, texts[:, position - 1] if position else 0, texts[:, position])
    returns = list(env.returns(texts))
    return {"policies": returns, "last": returns}


@cache
def exact_hypervolume(environment: str) -> float:
    """Return the hypervolume over zero of the exact front."""
    return others.best(make(environment, RANDOM).pareto_front()).hypervolume()


def run_cell(settings: Settings, environment: str, method: str, seed: int) -> dict[str, Any]:
    """Run one cell and return its shares of the front's hypervolume; a finished cell is read back."""
    import torch

    finished = settings.runs / f"{environment}-{method.replace(', ', '-').replace(' ', '-')}-{seed}.json"
    if finished.exists():
        return json.loads(finished.read_text())
    torch.set_num_threads(1)
    cell: dict[str, Any] = {"environment": environment, "method": method, "seed": seed}
    start = time.perf_counter()
    try:
        env = make(environment, method)
        env.action_space.seed(seed)
        recorder = Recorder(env)
        if method in OURS:
            found = train_ours(method, env, seed, settings)
        elif method in RIVALS:
            found = train_other(method, environment, env, seed, settings)
        else:
            found = write_random(env, seed, settings)
    except Exception as error:  # whatever went wrong, the other cells go on
        return {**cell, "error": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()}
    cell |= {"seconds": time.perf_counter() - start, "steps": recorder.steps}
    found["known"] = found["policies"] + recorder.returns
    for measure, returns in found.items():
        archive = others.best(returns)
        cell[measure] = archive.hypervolume() / exact_hypervolume(environment)
        cell[f"{measure}_front"] = archive.front.tolist()
    settings.runs.mkdir(parents=True, exist_ok=True)
    finished.write_text(json.dumps(cell))
    return cell


def run_all(settings: Settings) -> list[dict[str, Any]]:
    """Run all cells, some at the same time, and return their results in order."""
    seeds = range(settings.first_seed, settings.first_seed + settings.seeds)
    cells = list(itertools.product(settings.environments, settings.methods, seeds))
    results: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell, result in train_cells(partial(run_cell, settings), cells, settings.jobs):
        results[cell] = result
        said = result.get("error") or f"{result['policies']:.3f} of the front in {result['seconds']:.0f} s"
        print(f"{len(results)}/{len(cells)} {cell} {said}", flush=True)
    return [results[cell] for cell in cells]


def provenance(settings: Settings) -> dict[str, Any]:
    """Return what was run, with what and where."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True, cwd=HERE
    )
    return {
        "settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)},
        "sweep": SWEEP | AGENT,
        "gradient": GRADIENT,
        "rivals": RIVALS,
        "commit": commit.stdout.strip() or "unknown",
        "machine": f"{os.cpu_count()} CPU cores ({platform.machine()})",
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run all cells, write results, page and picture, and return 1 if a cell failed."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    results = run_all(settings)
    failed = [result for result in results if "error" in result]
    finished = [r for r in results if "error" not in r]
    shares = [{key: value for key, value in r.items() if not key.endswith("_front")} for r in finished]
    record = provenance(settings) | {"results": shares, "failed": failed}
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "toy_fronts.json").write_text(json.dumps(record, indent=1) + "\n")
    page = table(record, ours=tuple(OURS), rivals=tuple(RIVALS))
    (settings.out / "toy_fronts.md").write_text(page)
    draw(record["results"], ours=tuple(OURS)).savefig(settings.out / "toy_fronts.png", dpi=150)
    print(page)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
