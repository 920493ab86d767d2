"""Three flaws of published comparisons of weightings, shown as experiments on Arithmetic with the embedded model.

    python examples/benchmarks/known_flaws.py

1. The multiplier that cancels: a batch's rewards times one number, before the advantages are normalised.
2. Saturation: r_meta = 0.5 + 1.5 tanh(gain / 1) on objectives in raw tokens.
3. Unfair clipping: arms with the same weights that differ in a clip or in the learning rate.

Every arm trains with each seed; 1 and 2 also replay the batches, gradients and validations of the fixed arm. Finished
cells are kept in the runs folder and not run again. Writes known_flaws.json, known_flaws.md and known_flaws.png beside
this file.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from paretune.envs import make_env

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import known_flaws_replays as replays  # noqa: E402
from cells import train_cells  # noqa: E402
from known_flaws_picture import draw  # noqa: E402
from known_flaws_report import page  # noqa: E402
from known_flaws_runs import ARMS, ENVIRONMENT, SHARED, train_cell  # noqa: E402
from known_flaws_verdicts import GUIDED, MEASURES, MULTIPLIED, UNFAIR, compare, verdicts  # noqa: E402

PAPER_TOKENS = 2048
CONTROLS = ("fixed, nudged", "hypervolume, published", "fixed, doubled")
"""The arms that only experiment 1 needs; they are trained last."""
Cells = dict[tuple[str, int], dict[str, Any]]


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    steps: int = 20
    """Training steps of each cell."""
    seeds: int = 5
    """Seeds of each arm, from 0."""
    control_seeds: int = 5
    """Seeds of the arms that only experiment 1 needs, at most `seeds`."""
    lr: float = 1e-4
    """Learning rate of all arms but the one that doubles it."""
    prompts_per_step: int = 8
    """Prompts per training step."""
    group_size: int = 8
    """Responses per prompt."""
    minibatches: int = 4
    """Updates per step; PPO's clip acts from the second on."""
    eval_every: int = 2
    """Training steps between two validations."""
    eval_prompts: int = 128
    """Prompts of the validation and of the test split."""
    jobs: int = 2
    """Cells trained at the same time, one thread each."""
    runs: Path = Path("runs/known_flaws")
    """Folder for the results of finished cells."""
    out: Path = HERE
    """Folder for results, page and picture."""


def run_all(settings: Settings) -> list[dict[str, Any]]:
    """Train all cells, some at the same time, and return their results in order."""
    cells = sorted(itertools.product(ARMS, range(settings.seeds)), key=lambda cell: (cell[0] in CONTROLS, cell[1]))
    cells = [(arm, seed) for arm, seed in cells if arm not in CONTROLS or seed < settings.control_seeds]
    results: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell, result in train_cells(partial(train_cell, settings), cells, settings.jobs):
        results[cell] = result
        volume = result["hypervolumes"][-1]
        print(f"{len(results)}/{len(cells)} {cell} hypervolume {volume:.3f} in {result['seconds']:.0f} s", flush=True)
    return [results[cell] for cell in cells]


def measure(results: list[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    """Return what the three experiments say of the cells' results."""
    cells = {(r["arm"], r["seed"]): r for r in results}
    arrays = {key: load_arrays(settings.runs / r["arrays"]) for key, r in cells.items()}
    seeds = range(settings.seeds)
    fixed = [arrays["fixed", seed] for seed in seeds]
    every = settings.eval_every * settings.minibatches
    gradients = [replays.gradient_replay(fixed[seed], arrays[GUIDED, seed]["scales"], seed, every) for seed in seeds]
    norms = np.concatenate([one["norms"] for one in fixed])
    allowance = make_env(ENVIRONMENT).unwrapped.max_tokens
    units = {"in [0, 1]": 1, f"tokens left of {allowance}": allowance, f"tokens left of {PAPER_TOKENS}": PAPER_TOKENS}
    return {
        "advantages": replays.advantages_under_multipliers([batch for one in fixed for batch in one["rewards"]]),
        "divergence": divergences(cells, arrays, seeds),
        "gradients": [row for rows in gradients for row in rows],
        "norms": {
            "median": float(np.median(norms)),
            "largest": float(norms.max()),
            "limit": replays.NORM_LIMIT,
            "clipped": float((norms > replays.NORM_LIMIT).mean()),
            "above_one": float((norms > 1).mean()),
        },
        "saturation": replays.saturation([cells["fixed", seed]["performances"] for seed in seeds], units),
        "comparisons": comparisons(cells, seeds),
        "levels": {m: float(np.mean([figure(cells["fixed", seed], m) for seed in seeds])) for m in MEASURES},
        "clip_fractions": {
            arm: float(np.mean([arrays[arm, seed]["clip_fractions"] for seed in seeds])) for arm in ("fixed", *UNFAIR)
        },
    }


def divergences(cells: Cells, arrays: dict[tuple[str, int], replays.Arrays], seeds: range) -> list[dict[str, Any]]:
    """Return how far each run of the arms of experiment 1 is from the fixed one, and fixed ones from each other."""
    pairs = [((arm, seed), ("fixed", seed)) for arm in MULTIPLIED for seed in seeds if (arm, seed) in cells]
    rows = [replays.divergence(cells[a], arrays[a], cells[b], arrays[b]) for a, b in pairs]
    for seed in seeds[1:]:
        a, b = ("fixed", seed), ("fixed", seed - 1)
        rows.append(replays.divergence(cells[a], arrays[a], cells[b], arrays[b]) | {"arm": "fixed, another seed"})
    return rows


def figure(result: dict[str, Any], measure: str) -> float:
    """Return one of MEASURES of a cell."""
    if measure == "test":
        return float(np.prod(result["test"]))
    return float(result["hypervolumes"][-1] if measure == "final" else np.mean(result["hypervolumes"][1:]))


def comparisons(cells: Cells, seeds: range) -> list[dict[str, Any]]:
    """Return each arm's differences from the fixed one with the same seed, by measure."""
    return [
        {"measure": m, "arm": arm}
        | compare([figure(cells[arm, s], m) - figure(cells["fixed", s], m) for s in seeds if (arm, s) in cells])
        for m, arm in itertools.product(MEASURES, [arm for arm in ARMS if arm != "fixed"])
    ]


def load_arrays(path: Path) -> replays.Arrays:
    """Return the arrays of a file."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all cells, make the three experiments of them, and write results, page and picture."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    results = run_all(settings)
    record = {
        "settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)},
        "shared": SHARED,
        "arms": {name: asdict(arm) for name, arm in ARMS.items()},
        "machine": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "seconds": float(np.median([result["seconds"] for result in results])),
        "results": results,
        **measure(results, settings),
    }
    record["verdicts"] = verdicts(record)
    settings.out.mkdir(parents=True, exist_ok=True)
    (settings.out / "known_flaws.json").write_text(json.dumps(rounded(record), indent=1) + "\n")
    text = page(record)
    (settings.out / "known_flaws.md").write_text(text)
    draw(record).savefig(settings.out / "known_flaws.png", dpi=130)
    print(text)
    return 0


def rounded(value: Any) -> Any:
    """Return nested results with numbers of six digits, which is all that a file needs."""
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one) for one in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
