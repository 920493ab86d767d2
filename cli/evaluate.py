"""`paretune evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tyro

from paretune import agents
from paretune.agents.rules import Count
from paretune.cli.arguments.parsing import parse
from paretune.cli.tables import format_table


@dataclass(kw_only=True)
class EvaluateSettings:
    """Measure the policy of a run on a split: mean and standard error of each objective, and their hypervolume.

    With --front, measure all policies of its front that have a checkpoint, by other prompts than those that chose them.

    Example: paretune evaluate runs/a --split test
    """

    folder: tyro.conf.Positional[Path]
    """Folder of the run."""
    split: Literal["train", "validation", "test"] | None = None
    """Prompts that the policy answers; None is test, or validation with --front."""
    checkpoint: str | None = None
    """Name of a checkpoint, such as step-000010; None is the last one."""
    front: bool = False
    """Measure the policies of the run's front (trained with --keep front or all), and note it in archive.json. The
    prompts of the validation split that chose them are left out."""
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
    if settings.front:
        evaluate_front(settings)
        return 0
    split = settings.split or "test"
    agent = agents.Agent.load(settings.folder, settings.checkpoint, device=settings.device)
    evaluation = agent.assess(split, settings.prompts, settings.sampled)
    if settings.json:
        head = {"folder": str(settings.folder), "step": agent.step, "split": split}
        print(json.dumps(head | as_dictionary(evaluation), indent=2))
    else:
        print(f"{settings.folder}, step {agent.step}, {len(evaluation.rewards)} {split} prompts\n")
        print(as_table(evaluation))
    return 0


def evaluate_front(settings: EvaluateSettings) -> None:
    """Measure the policies of a run's front again, and print how they were chosen and what they turn out to be.

    Raises:
        ValueError: If a checkpoint is named as well, or the front cannot be measured.
    """
    if settings.checkpoint is not None:
        raise ValueError(
            f"checkpoint: must be left out with --front, which measures several, got {settings.checkpoint}"
        )
    front = agents.remeasure_front(
        settings.folder,
        settings.split or "validation",
        settings.prompts,
        sampled=settings.sampled or None,
        device=settings.device,
    )
    if settings.json:
        print(json.dumps({"folder": str(settings.folder), **front.summary()}, indent=2))
        return
    behind = f" behind the first {front.skipped}" if front.skipped else ""
    print(f"{settings.folder}, {front.prompts} {front.split} prompts{behind}: chosen by -> measured again\n")
    print(front_table(front))
    if front.missing:
        print(f"\nnot measured, without a checkpoint: step {', '.join(map(str, front.missing))}")


def front_table(front: agents.RemeasuredFront) -> str:
    """Return the policies of a front, by which numbers they were chosen and what they do on other prompts."""
    cells_NK = np.vectorize("{:.4f} -> {:.4f} +- {:.4f}".format)(
        front.chosen_by, front.performance, front.standard_error
    )
    volumes = f"{front.hypervolume_chosen_by:.4f} -> {front.hypervolume:.4f}"
    rows = [(str(step), *cells) for step, cells in zip(front.steps, cells_NK.tolist(), strict=True)]
    total = ("hypervolume", volumes, *[""] * (len(front.objectives) - 1))
    return format_table(("step", *front.objectives), [*rows, total])


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
