"""How near estimates of the objectives' influences come to the truth, by what they cost.

tiny-math on Arithmetic at three moments of a run with equal weights. At each of them the policy is held, and many
independent batches are drawn. The truth is made of the products of gradients of different batches (a U-statistic with
a batch for each part); every estimate sees one batch.

`python examples/benchmarks/influences.py` writes influences.json and .md.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from influences_report import page
from numpy.typing import NDArray
from origin import origin

from paretune.agents import GRPO
from paretune.agents.files import write_json, write_text
from paretune.agents.runs.metrics import Line
from paretune.agents.seeds import generator
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.tasks.step_rewards import step_rewards
from paretune.envs import Accuracy, Clarity, Conciseness, make_env
from paretune.weighting.advantages import per_objective
from paretune.weighting.gram_estimate import GramEstimate, estimate_of_parts

Array = NDArray[np.float64]

K = 3

SETTINGS: dict[str, dict[str, Any]] = {
    "batch, all responses": {"gradient_estimate": "batch"},
    "batch, 8 of 128": {"gradient_estimate": "batch", "gradient_responses": 8},
    "2 parts": {"gradient_parts": 2},
    "4 parts": {"gradient_parts": 4},
    "8 parts (default)": {},
    "a part for each prompt": {"gradient_parts": 16},
    "8 parts, 32 of 128": {"gradient_responses": 32},
    "8 parts, 8 of 128": {"gradient_responses": 8},
    "8 parts, sketch": {"gradient_mode": "sketch"},
}
"""The estimates, as settings of an agent."""

OF_GROUPS = {
    "batch, all responses": 1,
    "2 parts": 2,
    "4 parts": 4,
    "8 parts (default)": 8,
    "a part for each prompt": 16,
}
"""Those that follow from the products of all groups' gradients, with their parts."""


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    batches: int = 64
    """Independent batches at each moment."""
    moments: tuple[int, ...] = (0, 20, 60)
    """Training steps after which the policy is held."""
    lr: float = 1e-4
    """Learning rate of the training in between."""
    prompts_per_step: int = 16
    """Prompts in a batch."""
    group_size: int = 8
    """Responses to each."""
    timed_steps: int = 7
    """Steps whose times are measured for each estimate; the first two are left out."""
    seed: int = 0
    """Seed of the run."""
    out: Path = Path(__file__).parent
    """Folder for the results."""


def make(settings: Settings, weighting: str = "fixed", **options: Any) -> GRPO:
    """Make an agent on arithmetic."""
    return GRPO(
        make_env("paretune/Arithmetic-v0", objectives=[Accuracy("last_number"), Conciseness(max_tokens=64), Clarity()]),
        "tiny-math",
        weighting,
        prompts_per_step=settings.prompts_per_step,
        group_size=settings.group_size,
        seed=settings.seed,
        lr=settings.lr,
        eval_every=10**9,
        eval_prompts=1,
        **options,
    )


def batches(made: GRPO, settings: Settings, moment: int) -> Iterator[tuple[Decisions, Array]]:
    """Yield independent batches of the policy as it is: responses, and the objectives' advantages (B, 1, K)."""
    g = settings.group_size
    for number in range(settings.batches):
        draw = 10_000 * (moment + 1) + number  # of no training step
        starts = made.task.draw(settings.prompts_per_step, generator(settings.seed, draw, "prompts"))
        every = [start for start in starts for _ in range(g)]
        outcome = made.task.act(every, generator(settings.seed, draw, "responses"))
        earned = step_rewards(made.task, outcome, made.processes, g)
        judged_PGTK = per_objective(earned.credit, made.algorithm, made.settings.order)
        yield outcome.decisions, judged_PGTK.reshape(-1, *judged_PGTK.shape[2:])


def gradients(made: GRPO, decisions: Decisions, advantages: Array) -> NDArray[np.float32]:
    """Return the K gradients of a batch (K, N), by backward passes of their own."""
    passes, everything = made.updater.passes, np.arange(len(advantages))
    decisions = passes.policy.arranged(decisions, made.settings.tokens_per_batch)
    total: list[torch.Tensor | float] = [0.0] * K
    for rows, part, weights_BT in passes.micro_batches(decisions, everything, decisions.lengths, of=everything):
        weighed_B = (passes.policy.log_probs(part, made.settings.temperature) * weights_BT).sum(1)
        for k, advantages_B in enumerate(torch.as_tensor(advantages[rows, 0].T, dtype=torch.float32)):
            score = (weighed_B * advantages_B).sum()
            found = torch.autograd.grad(score, passes.trained, retain_graph=k < K - 1)
            total[k] = total[k] + torch.cat([gradient.flatten() for gradient in found])
    return np.stack([torch.as_tensor(one).numpy() for one in total])


def of_groups(made: GRPO, number: int, decisions: Decisions, advantages: Array) -> dict[str, GramEstimate | Array]:
    """Return the estimates that follow from the products of the groups' gradients, with one pass for all of them."""
    made.settings.gradient_responses = len(advantages)
    rows, weighed, split = made.gradients.drawn(number, decisions, advantages)
    assert split is not None and len(rows) == len(advantages)
    products, _ = made.gradients.compare(decisions, weighed, rows, split=split)
    s = split.number
    products_SKSK = products.reshape(s, K, s, K)
    found: dict[str, GramEstimate | Array] = {}
    for name, parts in OF_GROUPS.items():
        parts = min(parts, s)
        member_PS = np.eye(parts)[np.arange(s) % parts]  # the groups' own order is random
        merged = np.einsum("ap,akbl,bq->pkql", member_PS, products_SKSK, member_PS).reshape(parts * K, -1)
        found[name] = merged if parts == 1 else estimate_of_parts(merged, np.full(parts, 1 / parts))
    return found


def estimates(agents: dict[str, GRPO], number: int, decisions: Decisions, advantages: Array) -> dict[str, Any]:
    """Return every estimate for a batch."""
    found = of_groups(agents["a part for each prompt"], number, decisions, advantages)
    for name, made in agents.items():
        if name not in OF_GROUPS:
            made.gradients.last = None
            found[name] = made.gradients.at(number, decisions, advantages, False)[0]
    return found


def measure(made: GRPO, settings: Settings, moment: int) -> list[dict[str, Any]]:
    """Return what the truth and the estimates are at a moment."""
    agents = {name: make(settings, "gradient", **options) for name, options in SETTINGS.items()}
    for agent in agents.values():
        agent.policy.model.load_state_dict(made.policy.model.state_dict())
    every, found = [], []
    for number, (decisions, advantages) in enumerate(batches(made, settings, moment)):
        every.append(gradients(made, decisions, advantages))
        found.append(estimates(agents, number, decisions, advantages))
    n = len(every)
    products = products_of(every)
    truth, without = cross(products), np.array([cross(np.delete(np.delete(products, i, 0), i, 1)) for i in range(n)])
    rows = [summary("truth", moment, truth, without)]
    for name in SETTINGS:
        matrices = np.array([one[name].matrix if isinstance(one[name], GramEstimate) else one[name] for one in found])
        left_out = (matrices.sum(axis=0) - matrices) / (n - 1)
        row = summary(name, moment, matrices.mean(axis=0), left_out)
        influences = matrices.sum(axis=2)
        row |= {
            "off": error_of(left_out - without),
            "off_influences": error_of((left_out - without).sum(axis=2)),
            "single": influences.std(axis=0, ddof=1).tolist(),
            "rmse": np.sqrt(np.square(influences - truth.sum(axis=1)).mean(axis=0)).tolist(),
            "order": float((influences.argmax(axis=1) == truth.sum(axis=1).argmax()).mean()),
        }
        if isinstance(found[0][name], GramEstimate) and found[0][name].noise is not None:
            variances = np.mean([np.einsum("jkjl->j", one[name].noise[0]) for one in found], axis=0)
            row["stated"] = np.sqrt(variances.clip(0)).tolist()
        rows.append(row)
    return rows


def products_of(every: list[NDArray[np.float32]]) -> Array:
    """Return the products (N, N, K, K) of the K gradients of N batches."""
    flat = np.concatenate(every)
    products = sum(chunk.astype(np.float64) @ chunk.T.astype(np.float64) for chunk in np.array_split(flat, 64, axis=1))
    n = len(every)
    return np.asarray(products).reshape(n, K, n, K).transpose(0, 2, 1, 3)


def cross(products: Array) -> Array:
    """Return the mean product (K, K) of different ones of N batches."""
    n = len(products)
    total_KK = products.sum(axis=(0, 1)) - products[np.arange(n), np.arange(n)].sum(axis=0)
    return (total_KK + total_KK.T) / (2 * n * (n - 1))


def error_of(left_out: Array) -> list[Any]:
    """Return the jackknife's standard error from values (N, ...) without one batch each."""
    n = len(left_out)
    error: list[Any] = np.sqrt((n - 1) / n * np.square(left_out - left_out.mean(axis=0)).sum(axis=0)).tolist()
    return error


def summary(name: str, moment: int, matrix: Array, left_out: Array) -> dict[str, Any]:
    """Return a matrix and its influences with standard errors."""
    return {
        "estimate": name,
        "moment": moment,
        "matrix": matrix.tolist(),
        "matrix_error": error_of(left_out),
        "influences": matrix.sum(axis=1).tolist(),
        "influences_error": error_of(left_out.sum(axis=2)),
    }


def seconds(settings: Settings, weighting: str, **options: Any) -> dict[str, float]:
    """Return the median times of the parts of a training step."""
    made, lines = make(settings, weighting, **options), list[Line]()
    record = made.recorder.record

    def noted(agent: Any, line: Line) -> None:
        lines.append(line)
        record(agent, line)

    made.recorder.record = noted  # type: ignore[method-assign]
    made.train(settings.timed_steps)
    names = ("sample", "gradients", "update")
    return {name: float(np.median([line["times"].get(name, 0.0) for line in lines[3:]])) for name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and write the results."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    made, rows, step = make(settings, pictures=False), [], 0
    for moment in settings.moments:
        if moment > step:
            made.train(moment - step)
            step = moment
        rows += measure(made, settings, moment)
        print(f"moment {moment} measured", flush=True)
    times = {"fixed": seconds(settings, "fixed")}
    times |= {name: seconds(settings, "gradient", **options) for name, options in SETTINGS.items()}
    record: dict[str, Any] = {
        **origin("influences.py", argv),
        "settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)},
        "objectives": list(made.objectives),
        "rows": rows,
        "times": times,
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    write_json(settings.out / "influences.json", record)
    text = page(record)
    write_text(settings.out / "influences.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
