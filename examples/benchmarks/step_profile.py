"""Where the time of a training step goes.

    python examples/benchmarks/step_profile.py

A step of GRPO on tiny-math as step_time.py has it: 16 prompts x 8 responses of 80 tokens, written to a run folder. Arms
that take turns: every response with a prompt of its own, prompts that are read once for all responses to them (the
default). Medians over the steps of each part. Writes step_profile.json and step_profile.md beside this file.
"""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import tyro
from step_settings import NEVER, StepSettings
from watching import put_in_place

from paretune.agents import GRPO, Agent, load_policy
from paretune.agents.files import write_json, write_text
from paretune.agents.updates import updater

ARMS: dict[str, dict[str, Any]] = {"whole sequences": {"share_prompts": False}, "prompts once": {}}
PARTS = ("sampling", "scoring", "forward", "backward", "clipping", "optimizer", "logging", "rest")


class Parts:
    """Seconds of each part of a step, of one agent."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time counts for a part, but for that of other parts within it."""

        def run(*args: Any, **kwargs: Any) -> Any:
            inside, start = sum(self.seconds.values()), time.perf_counter()
            result = function(*args, **kwargs)
            other = sum(self.seconds.values()) - inside
            self.seconds[part] += time.perf_counter() - start - other
            return result

        return run


def measured(agent: Agent, parts: Parts) -> None:
    """Have an agent's parts tell their time."""
    put_in_place(agent.task, "act", parts.timed("sampling", agent.task.act))
    put_in_place(agent.task, "returns", parts.timed("scoring", agent.task.returns))
    put_in_place(agent.policy, "log_probs", parts.timed("forward", agent.policy.log_probs))
    put_in_place(agent.updater.optimizer, "step", parts.timed("optimizer", agent.updater.optimizer.step))
    put_in_place(agent.recorder, "record", parts.timed("logging", agent.recorder.record))


@contextmanager
def functions_timed(parts: Parts) -> Iterator[None]:
    """Time what is no method of an agent."""
    with (
        patch.object(torch.Tensor, "backward", parts.timed("backward", torch.Tensor.backward)),
        patch.object(updater, "clip_grad_norm_", parts.timed("clipping", updater.clip_grad_norm_)),
    ):
        yield


def agent_of(settings: StepSettings, options: dict[str, Any], folder: Path) -> Agent:
    """Return an agent that makes such steps."""
    policy = load_policy("tiny-math", "cpu", "float32")
    policy.end_tokens = [NEVER]
    shape = {"prompts_per_step": settings.prompts, "group_size": settings.group_size}
    return GRPO(
        "paretune/Arithmetic-v0",
        policy,
        lr=1e-5,
        max_new_tokens=settings.tokens,
        out=folder,
        eval_every=10**9,
        eval_prompts=1,
        pictures=False,
        **shape,
        **options,
    )


def profile(settings: StepSettings, folder: Path) -> dict[str, list[dict[str, float]]]:
    """Return the seconds of each part of each timed step of each arm; the arms take turns."""
    agents = {name: agent_of(settings, options, folder / name) for name, options in ARMS.items()}
    steps: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for agent in agents.values():
        agent.train(1)  # validates, and opens the run folder
    parts_of = {name: Parts() for name in ARMS}
    for name, agent in agents.items():
        measured(agent, parts_of[name])
    for i in range(settings.warmup + settings.steps):
        for name, agent in agents.items():
            parts = parts_of[name]
            parts.seconds = dict.fromkeys(PARTS, 0.0)
            with functions_timed(parts):
                parts.timed("rest", one_step)(agent)
            if i >= settings.warmup:
                steps[name].append(dict(parts.seconds))
    return steps


def one_step(agent: Agent) -> None:
    """Make one training step and write its metrics."""
    agent.recorder.record(agent, agent._train_step(1e-5))


def page(steps: dict[str, list[dict[str, float]]], settings: StepSettings) -> str:
    """Return the medians as a Markdown page."""
    lines = [
        "# Where the time of a training step goes",
        "",
        f"`python examples/benchmarks/step_profile.py`: tiny-math, {settings.prompts} prompts x {settings.group_size} "
        f"responses of {settings.tokens} tokens, GRPO, float32, {torch.get_num_threads()} threads of "
        f"{platform.machine()}, torch {torch.__version__}. Milliseconds, medians of {settings.steps} steps; the arms "
        "take turns.",
        "",
        "| part | " + " | ".join(steps) + " |",
        "|---|" + "---:|" * len(steps),
    ]
    for part in PARTS:
        medians = [1e3 * statistics.median(step[part] for step in of_arm) for of_arm in steps.values()]
        lines.append(f"| {part} | " + " | ".join(f"{median:.1f}" for median in medians) + " |")
    totals = [1e3 * statistics.median(sum(step.values()) for step in of_arm) for of_arm in steps.values()]
    lines.append("| **all** | " + " | ".join(f"**{total:.0f}**" for total in totals) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and write the results."""
    settings = tyro.cli(StepSettings, args=argv, description=__doc__)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory() as folder:
        steps = profile(settings, Path(folder))
    settings.out.mkdir(parents=True, exist_ok=True)
    record = {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)}
    rounded = {
        name: [{part: round(value, 6) for part, value in step.items()} for step in of_arm]
        for name, of_arm in steps.items()
    }
    write_json(settings.out / "step_profile.json", {"settings": record, "seconds": rounded})
    text = page(steps, settings)
    write_text(settings.out / "step_profile.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
