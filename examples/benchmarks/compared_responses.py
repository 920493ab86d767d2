"""How well few responses stand for all of a step's when gradients are compared, by how they are drawn.

Runs of tiny-math on Arithmetic under the gradient weighting, which sees all responses of a step. At each step the
scalar products of all responses' gradients are computed one by one; they give the Gram matrix that any draw of
responses would have led to. (What a batch's matrix itself is worth, influences.py measures.) Measured are the errors of
the influences (over the mean squared norm of the gradients, as the weighting takes them) and the largest difference of
the weights that the weighting would have had in that run.

`python examples/benchmarks/compared_responses.py` writes compared_responses.json and .md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from numpy.typing import NDArray
from origin import origin, told
from toy_fronts_report import half_width

from paretune.agents import GRPO
from paretune.agents.display import SilentDisplay
from paretune.agents.files import write_json, write_text
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.updates.passes import Passes
from paretune.envs import Accuracy, Clarity, Conciseness, make_env
from paretune.weighting.strategies.gradient import GradientWeighting, influences

Array = NDArray[np.float64]
Rows = NDArray[np.int64]
Draw = Callable[[int, int], tuple[Rows, Array]]
"""From a step and a repetition to the responses drawn and their coefficients (rows, K)."""

K = 3


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    seeds: int = 5
    """Runs."""
    steps: int = 60
    """Steps of a run."""
    repeats: int = 20
    """Draws of each kind at each step."""
    numbers: tuple[int, ...] = (8, 16, 32)
    """Responses drawn by what they add to the gradients."""
    evenly: tuple[int, ...] = (8, 16, 32, 64)
    """Responses drawn evenly, one by one and in whole groups."""
    prompts_per_step: int = 16
    """Prompts per step."""
    group_size: int = 8
    """Responses per prompt."""
    out: Path = Path(__file__).parent
    """Folder for the results."""


@dataclass(frozen=True)
class Step:
    """What is known of a training step's B responses.

    Attributes:
        number: Of the step, from 0.
        decisions: The responses.
        advantages: (B, 1, K).
        products: Of the gradients of the responses' scores (B, B).
    """

    number: int
    decisions: Decisions
    advantages: Array
    products: Array


def products(passes: Passes, decisions: Decisions) -> Array:
    """Return the scalar products (B, B) of the gradients of each response's part of the loss."""
    everything, gradients = np.arange(len(decisions.lengths)), []
    for row in everything:
        parts = passes.micro_batches(decisions, np.array([row]), decisions.lengths, of=everything)
        ((_, part, weights_BT),) = parts
        score = (passes.policy.log_probs(part, passes.settings.temperature) * weights_BT).sum()
        by_parameter = torch.autograd.grad(score, passes.trained)
        gradients.append(torch.cat([gradient.flatten() for gradient in by_parameter]))
    gradients_BP = torch.stack(gradients)
    return (gradients_BP @ gradients_BP.T).double().numpy()


def run(seed: int, settings: Settings) -> tuple[GRPO, list[Step]]:
    """Train, and return what is known of the steps."""
    made = GRPO(
        make_env("paretune/Arithmetic-v0", objectives=[Accuracy("last_number"), Conciseness(max_tokens=64), Clarity()]),
        "tiny-math",
        "gradient",
        display=SilentDisplay(),
        prompts_per_step=settings.prompts_per_step,
        group_size=settings.group_size,
        seed=seed,
        eval_every=10**9,
        eval_prompts=1,
        gradient_estimate="batch",
        gradient_responses=settings.prompts_per_step * settings.group_size,
    )
    steps, at = [], made.gradients.at

    def noted(step: int, decisions: Decisions, advantages: Array, reuse: bool) -> Any:
        steps.append(Step(step, decisions, advantages, products(made.updater.passes, decisions)))
        return at(step, decisions, advantages, reuse)

    # one object's method is watched, which types cannot say
    made.gradients.at = noted  # type: ignore[method-assign]
    made.train(settings.steps)
    return made, steps


def draws(made: GRPO, steps: list[Step], settings: Settings) -> dict[tuple[str, int], Draw]:
    """Return the ways to draw responses, by kind and number."""
    rng, size = np.random.default_rng(0), settings.group_size
    groups = np.arange(settings.prompts_per_step * size).reshape(-1, size)

    def by_parts(number: int) -> Draw:
        def draw(step: int, repetition: int) -> tuple[Rows, Array]:
            made.settings.gradient_responses = number
            s = steps[step]
            rows, weighed_B1K, _ = made.gradients.drawn(s.number + 1000 * repetition, s.decisions, s.advantages)
            return rows, weighed_B1K[rows, 0]

        return draw

    def plain(number: int, order: Callable[[], Rows]) -> Draw:
        def draw(step: int, repetition: int) -> tuple[Rows, Array]:
            rows = order()[:number]
            return rows, steps[step].advantages[rows, 0] * (groups.size / number)

        return draw

    found = {("by their parts", number): by_parts(number) for number in settings.numbers}
    found |= {("one by one", n): plain(n, lambda: rng.permutation(groups.size)) for n in settings.evenly}
    found |= {("whole groups", n): plain(n, lambda: rng.permutation(groups).flatten()) for n in settings.evenly}
    return found


def path(steps: list[Step], draw: Draw, repetition: int) -> tuple[Array, Array]:
    """Return the influences over the mean squared norm (steps, K), and the weights (steps, K)."""
    weighting, moved, weights = GradientWeighting(K), [], []
    for i, step in enumerate(steps):
        rows, coefficients = draw(i, repetition)
        gram_KK = coefficients.T @ step.products[np.ix_(rows, rows)] @ coefficients
        weighting.on_gradients(gram_KK, lr=0.0)
        size = gram_KK.trace() / K
        moved.append(influences(gram_KK) / size if size > 0 else np.zeros(K))
        weights.append(weighting.weights)
    return np.array(moved), np.array(weights)


def measure(seed: int, settings: Settings) -> list[dict[str, Any]]:
    """Return the errors of each way to draw in one run."""
    made, steps = run(seed, settings)
    everything = np.arange(settings.prompts_per_step * settings.group_size)
    moved, weights = path(steps, lambda step, _: (everything, steps[step].advantages[:, 0]), 0)
    rows = []
    for (kind, number), draw in draws(made, steps, settings).items():
        paths = [path(steps, draw, repetition) for repetition in range(settings.repeats)]
        rows.append(
            {
                "seed": seed,
                "kind": kind,
                "number": number,
                "influences": float(np.sqrt(np.mean([(one - moved) ** 2 for one, _ in paths]))),
                "weights": float(np.mean([np.abs(one - weights).max() for _, one in paths])),
                "moved": float(np.abs(weights - 1 / K).max()),
            }
        )
    return rows


def page(record: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    settings, rows = record["settings"], record["rows"]
    total = settings["prompts_per_step"] * settings["group_size"]
    moved = np.mean([row["moved"] for row in rows])
    lines = [
        "# Which responses' gradients to compare",
        "",
        told(record),
        "",
        f"tiny-math on Arithmetic, GRPO, {total} responses a step ({settings['prompts_per_step']} prompts), K = {K}, "
        f"{settings['steps']} steps under the gradient weighting; {settings['seeds']} runs, {settings['repeats']} "
        f"draws of each kind at each step. All {total} responses give the influences and weights that are taken for "
        f"right; the weights move by up to {moved:.3f}. Influences: root mean square of the errors of I_k / mean_j "
        "M_jj. Weights: largest difference in a run. Means over the runs with 95 % intervals (Student's t).",
        "",
        "| drawn | responses | error of the influences | error of the weights |",
        "|---|---:|---:|---:|",
    ]
    for kind, number in dict.fromkeys((row["kind"], row["number"]) for row in rows):
        some = [row for row in rows if (row["kind"], row["number"]) == (kind, number)]
        errors = [interval([row[name] for row in some]) for name in ("influences", "weights")]
        lines.append(f"| {kind} | {number} | {errors[0]} | {errors[1]} |")
    lines += [
        "",
        "*By their parts*: as agents draw them "
        "([proportional_draw.py](../../weighting/gradients/proportional_draw.py)), with chances by advantages and "
        "unlikely tokens. *One by one*, *whole groups*: evenly.",
    ]
    return "\n".join(lines) + "\n"


def interval(values: list[float]) -> str:
    """Return a mean with its interval, where there are several values."""
    mean = f"{np.mean(values):.3f}"
    if len(values) == 1:
        return mean
    half = half_width(np.array(values))
    return f"{mean} [{np.mean(values) - half:.3f}, {np.mean(values) + half:.3f}]"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the results."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    record: dict[str, Any] = {
        **origin("compared_responses.py", argv),
        "settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)},
        "rows": [row for seed in range(settings.seeds) for row in measure(seed, settings)],
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    write_json(settings.out / "compared_responses.json", record)
    text = page(record)
    write_text(settings.out / "compared_responses.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
