"""The policies of a run's front, measured again by prompts that did not choose them.

Shapes: N policies of the front that have a checkpoint, K objectives.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from paretune.agents.catalog import Agent
from paretune.agents.files import write_json
from paretune.agents.runs.run_folder import RunFolder
from paretune.agents.tasks.evaluation import Evaluation
from paretune.envs import Split
from paretune.weighting.archive import hypervolume

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RemeasuredFront:
    """What a run's front is worth on other prompts than those that chose it.

    A policy is on the front because its validation was good, by skill or by luck, so that the front is above the truth.
    The mean over prompts that chose nothing has no such bias. (The hypervolume of N such means still has a little: it
    takes the best of them in every direction.)

    Attributes:
        objectives: Names of the K objectives.
        split: Split of the other prompts.
        skipped: Prompts at its beginning that were left out, because they chose the front.
        prompts: Number of prompts behind them that were used.
        steps: Training steps of the policies (N,), ascending.
        chosen_by: Their performance by which they were chosen (N, K).
        performance: Their performance on the other prompts (N, K).
        standard_error: Of that performance (N, K); NaN for a single prompt.
        missing: Steps of the front's policies that no checkpoint holds, ascending.
        reference: Reference point (K,) of the hypervolumes.
    """

    objectives: tuple[str, ...]
    split: Split
    skipped: int
    prompts: int
    steps: tuple[int, ...]
    chosen_by: Array
    performance: Array
    standard_error: Array
    missing: tuple[int, ...]
    reference: Array

    @property
    def hypervolume_chosen_by(self) -> float:
        """Hypervolume of the N policies by the performance by which they were chosen."""
        return hypervolume(self.chosen_by, self.reference)

    @property
    def hypervolume(self) -> float:
        """Hypervolume of the N policies by their performance on the other prompts."""
        return hypervolume(self.performance, self.reference)

    def summary(self) -> dict[str, Any]:
        """Return it JSON-able, as `archive.json` holds it under "remeasured"."""
        errors_NK = [[None if np.isnan(error) else error for error in row] for row in self.standard_error.tolist()]
        points = zip(self.steps, self.chosen_by.tolist(), self.performance.tolist(), errors_NK, strict=True)
        return {
            "objectives": list(self.objectives),
            "split": self.split,
            "skipped": self.skipped,
            "prompts": self.prompts,
            "points": [
                {"step": step, "chosen_by": chosen_by, "performance": performance, "standard_error": error}
                for step, chosen_by, performance, error in points
            ],
            "missing": list(self.missing),
            "hypervolume_chosen_by": self.hypervolume_chosen_by,
            "hypervolume": self.hypervolume,
        }


def remeasure_front(
    run_folder: str | Path,
    split: Split = "validation",
    prompts: int | None = None,
    *,
    sampled: bool | None = None,
    env: gym.Env[Any, Any] | None = None,
    device: str | None = None,
) -> RemeasuredFront:
    """Evaluate the policies of a run's front on other prompts, and note that in the run's `archive.json`.

    On the validation split these are the prompts behind the first `eval_prompts`, which chose the front. Test prompts
    are used where they are asked for, and never instead.

    Args:
        run_folder: Folder of a run. Its setting `keep` was "front" or "all", or the last policy alone can be measured.
        split: "validation", "test" or "train".
        prompts: Most prompts; None takes as many as chose the front (the setting `eval_prompts`).
        sampled: Draw what policies choose instead of taking the likeliest; None takes the setting `eval_sampled`.
        env: The environment, needed where the run was not made from an id.
        device: Device of the policies; None is that of the run's settings.

    Raises:
        ValueError: If the folder holds no front, no policy of it has a checkpoint, or the split has no other prompts.
    """
    run = RunFolder(run_folder)
    front = _front(run)
    kept = [step for step in front if run.checkpoint_path(step).is_dir()]
    if not kept:
        raise ValueError(
            f"folder: must hold a checkpoint of a policy on its front (of step {', '.join(map(str, front))}), got none "
            f"in {str(run.path)!r}; train with keep=front (on the command line --keep front)"
        )
    evaluations: list[Evaluation] = []
    for step in kept:
        agent = Agent.load(run.path, run.checkpoint_path(step).name, env=env, device=device)
        skip = _used(agent, split)
        evaluations.append(agent.assess(split, prompts, sampled, skip=skip))
    remeasured = RemeasuredFront(
        objectives=agent.objectives,
        split=split,
        skipped=skip,
        prompts=len(evaluations[0].rewards),
        steps=tuple(kept),
        chosen_by=np.array([front[step] for step in kept]),
        performance=np.array([evaluation.mean for evaluation in evaluations]),
        standard_error=np.array([evaluation.standard_error for evaluation in evaluations]),
        missing=tuple(step for step in front if step not in kept),
        reference=agent.archive.reference,
    )
    if agent.processes.main:
        archive = json.loads(run.archive_path.read_text(encoding="utf-8"))
        write_json(run.archive_path, archive | {"remeasured": remeasured.summary()})
    return remeasured


def _front(run: RunFolder) -> dict[int, Sequence[float]]:
    """Return the performance (K,) by step of the policies on a run's front, by ascending step."""
    run.config()
    if not run.archive_path.is_file():
        raise ValueError(f"folder: must hold an archive (archive.json), got none in {str(run.path)!r}")
    archive = json.loads(run.archive_path.read_text(encoding="utf-8"))
    return dict(sorted(zip(archive["tags"], archive["front"], strict=True)))


def _used(agent: Agent, split: Split) -> int:
    """Return how many prompts at the beginning of a split have chosen the front."""
    if split != "validation":
        return 0
    there = len(agent.task.starts(split))
    used = there if agent.settings.eval_prompts is None else min(there, agent.settings.eval_prompts)
    if used == there:
        raise ValueError(
            f"split: must have other prompts than those that chose the front, got {split!r}, whose {there} prompts all "
            "did (setting eval_prompts); more of them, fewer eval_prompts, or the split test would do"
        )
    return used
