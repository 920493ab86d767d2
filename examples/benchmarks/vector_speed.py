"""Steps per second of a vector of token-level environments: ours and MO-Gymnasium's, over the same environments.

    python examples/benchmarks/vector_speed.py

Both write the same random tokens in n texts at a time. They are timed in turn, so that a busy machine slows both, and
the median of the repeats counts. MO-Gymnasium's `MOSyncVectorEnv` runs over bare environments, without the wrappers
that `gymnasium.make` adds, which would slow it further. A step of a vector counts as n steps, also where it begins new
texts. Writes vector_speed.json and vector_speed.md beside this file.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro
from gymnasium.vector import VectorEnv
from mo_gymnasium.wrappers.vector import MOSyncVectorEnv
from numpy.typing import NDArray

from paretune.envs import TokenVectorEnv, list_envs, make_env

HERE = Path(__file__).parent
GOAL = 20
OBSERVATIONS = ("one_hot", "multi_discrete")


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    num_envs: int = 256
    """n, environments in a vector."""
    repeats: int = 7
    """Times that each vector is timed."""
    ours_steps: int = 2000
    """Steps of our vector for each time."""
    theirs_steps: int = 50
    """Steps of MO-Gymnasium's vector for each time."""
    out: Path = HERE
    """Folder for the results."""


def token_ids() -> list[str]:
    """Return the ids of the token-level environments."""
    return [info.id for info in list_envs() if info.id.startswith("paretune/Token") and "observation" in info.options]


def seconds(envs: VectorEnv[Any, Any, Any], actions: NDArray[np.int64]) -> float:
    """Return how long a vector takes for actions (steps, n)."""
    envs.reset(seed=0)
    start = time.perf_counter()
    for row in actions:
        envs.step(row)
    return time.perf_counter() - start


def compare(env_id: str, observation: str, settings: Settings) -> dict[str, Any]:
    """Return the median steps per second of both vectors, and how many times ours is faster, at least and at most."""
    n = settings.num_envs
    ours = gym.make_vec(env_id, num_envs=n, observation=observation)
    assert isinstance(ours, TokenVectorEnv)
    theirs = MOSyncVectorEnv([lambda: make_env(env_id, observation=observation)] * n)
    steps = max(settings.ours_steps, settings.theirs_steps)
    actions = np.random.default_rng(0).integers(ours.env.vocabulary, size=(steps, n))
    many, few = actions[: settings.ours_steps], actions[: settings.theirs_steps]
    seconds(ours, actions[:20]), seconds(theirs, actions[:20])
    fast, slow = [], []
    for _ in range(settings.repeats):
        fast.append(len(many) * n / seconds(ours, many))
        slow.append(len(few) * n / seconds(theirs, few))
    ratios = np.array(fast) / np.array(slow)
    return {
        "id": env_id,
        "observation": observation,
        "ours": float(np.median(fast)),
        "theirs": float(np.median(slow)),
        "ratio": float(np.median(ratios)),
        "least": float(ratios.min()),
        "most": float(ratios.max()),
    }


def table(results: list[dict[str, Any]], settings: Settings) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Vectors of token-level environments: steps per second",
        "",
        f"`python examples/benchmarks/vector_speed.py`, n = {settings.num_envs}, random tokens, default sizes, one "
        f"thread of {platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}. Median of "
        f"{settings.repeats} repeats that take turns, {settings.ours_steps} steps of `TokenVectorEnv` and "
        f"{settings.theirs_steps} of `MOSyncVectorEnv` each (goal: at least {GOAL} times as fast).",
        "",
        "| environment | observation | TokenVectorEnv | MOSyncVectorEnv | ratio | least | most |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        lines.append(
            f"| {r['id']} | {r['observation']} | {r['ours']:,.0f} | {r['theirs']:,.0f} | {r['ratio']:.0f} | "
            f"{r['least']:.0f} | {r['most']:.0f} |"
        )
    reached = sum(r["ratio"] >= GOAL for r in results)
    return "\n".join([*lines, "", f"{reached} of {len(results)} reached the goal."]) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Time all, write the results, and return 1 if one missed the goal."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    results = [compare(env_id, observation, settings) for env_id in token_ids() for observation in OBSERVATIONS]
    settings.out.mkdir(parents=True, exist_ok=True)
    record = {"settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)}}
    (settings.out / "vector_speed.json").write_text(json.dumps(record | {"results": results}, indent=1) + "\n")
    page = table(results, settings)
    (settings.out / "vector_speed.md").write_text(page)
    print(page)
    return int(any(r["ratio"] < GOAL for r in results))


if __name__ == "__main__":
    sys.exit(main())
