"""`paretune evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from paretune import agents
from paretune.agents.rules import Count
from paretune.cli.arguments.parsing import parse
from paretune.cli.tables import format_table


@dataclass(kw_only=True)
class EvaluateSettings:
    """Measure the policy of a run on a split: mean and standard error of each objective, and their hypervolume.

    Example: paretune evaluate runs/a --split test
    """

    folder: tyro.conf.Positional[Path]
    """Folder of the run."""
    split: Literal["train", "validation", "test"] = "test"
    """Prompts that the policy answers."""
    checkpoint: str | None = None
    """Name of a checkpoint, such as step-000010; None is the last one."""
    prompts: Count | None = None
    """Number of prompts, the first ones of the split; None is the run's setting eval_prompts."""
    sampled: bool = False
    """Sample responses with the run's temperature and top_p instead of taking the likeliest tokens."""
    device: str | None = None
    """Device of the model; None is the run's setting."""
    json: bool = False
    """Print JSON instead of a table."""


def run(words: Sequence[str]) -> int:
    """Evaluate as the command line says, and print the numbers.

    Raises:
        ValueError: If the folder holds no run, or an option is wrong.
    """
    settings = parse(words, EvaluateSettings, "paretune evaluate")
    agent = agents.Agent.load(settings.folder, settings.checkpoint, device=settings.device)
    evaluation = agent.assess(settings.split, settings.prompts, settings.sampled)
    if settings.json:
        head = {"folder": str(settings.folder), "step": agent.step, "split": settings.split}
        print(json.dumps(head | as_dictionary(evaluation), indent=2))
    else:
        print(f"{settings.folder}, step {agent.step}, {len(evaluation.rewards)} {settings.split} prompts\n")
        print(as_table(evaluation))
    return 0


def as_dictionary(evaluation: agents.Evaluation) -> dict[str, object]:
    """Return an evaluation's numbers, JSON-able; the standard error of a single prompt is None."""
    return {
        "prompts": len(evaluation.rewards),
        "objectives": evaluation.summary(),
        "hypervolume": evaluation.hypervolume,
    }


def as_table(evaluation: agents.Evaluation) -> str:
    """Return an evaluation's numbers as a table."""
    labels = {name: f"{name} (evaluation only)" for name in evaluation.reported}
    rows = [
        (
            labels.get(name, name),
            f"{entry['mean']:.4f}",
            "-" if entry["standard_error"] is None else f"{entry['standard_error']:.4f}",
        )
        for name, entry in evaluation.summary().items()
    ]
    return format_table(
        ("objective", "mean", "standard error"),
        [*rows, ("hypervolume of the policy", f"{evaluation.hypervolume:.4f}", "")],
    )
