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
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import tyro

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from known_flaws_runs import ARMS, SHARED, train_cell  # noqa: E402


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    steps: int = 20
    """Training steps of each cell."""
    seeds: int = 5
    """Seeds of each arm, from 0."""
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
    cells = [(arm, seed) for seed, arm in itertools.product(range(settings.seeds), ARMS)]
    with ProcessPoolExecutor(settings.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {pool.submit(train_cell, *cell, settings): cell for cell in cells}
        for done, job in enumerate(as_completed(jobs), start=1):
            result = job.result()
            volume = result["hypervolumes"][-1]
            print(f"{done}/{len(cells)} {jobs[job]} hypervolume {volume:.3f} in {result['seconds']:.0f} s", flush=True)
        return [job.result() for job in jobs]


def main(settings: Settings) -> None:
    """Run all cells, make the three experiments of them, and write results, page and picture."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    results = run_all(settings)


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
