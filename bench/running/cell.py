"""One cell of a benchmark: train, or go on training, then measure the policies that validation chose on test data.

Shapes: K objectives, S validations, T training steps that are kept.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paretune.agents import Agent, agent_class
from paretune.agents.files import atomic_path, remove, write_json
from paretune.agents.runs.metrics import Line
from paretune.agents.runs.run_folder import RunFolder
from paretune.bench.outcome import Course, Curve, Outcome, Point
from paretune.bench.running.grid import KEEP, Cell, agent_arguments, own_weights
from paretune.bench.running.memory import peak_memory_mb
from paretune.bench.statistics.measures import measure
from paretune.weighting import ParetoArchive

SETUP, RESULT, ERROR, RUN = "setup.json", "outcome.json", "error.txt", "run"
"""Names in the folder of a cell: what it is, its outcome or why it failed, and the folder of its run."""

COURSE_POINTS = 100
"""Training steps of which an outcome keeps weights and rewards."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A cell to be run, and how.

    Attributes:
        cell: The cell.
        folder: Its folder.
        threads: Threads of torch; None leaves them as they are.
        keep_checkpoints: Leave the checkpoints in the run's folder.
        trial: Try settings: only validation counts, and test data is not looked at.
    """

    cell: Cell
    folder: Path
    threads: int | None = None
    keep_checkpoints: bool = False
    trial: bool = False

    @property
    def ended(self) -> bool:
        """Whether the cell has finished or failed."""
        return (self.folder / RESULT).exists() or (self.folder / ERROR).exists()

    @property
    def step(self) -> int:
        """Training steps that the cell's run has done, as far as its metrics tell."""
        return RunFolder(self.folder / RUN).last_step()


def attempt(work: Work) -> bool:
    """Run a cell; an error goes to its folder with the traceback, and no further.

    Returns:
        Whether the cell has ended, finished or failed; False where a signal stopped it.
    """
    try:
        return run_cell(work)
    except KeyboardInterrupt:
        return False
    except Exception:  # whatever goes wrong in one cell, the others go on
        note_error(work, traceback.format_exc())
        return True


def note_error(work: Work, text: str) -> None:
    """Write down why a cell failed."""
    work.folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(work.folder / ERROR) as temporary:
        temporary.write_text(text, encoding="utf-8")


def run_cell(work: Work) -> bool:
    """Train a cell and write its outcome to its folder, or go on with one that was stopped.

    Returns:
        Whether the cell is finished; False where a signal stopped its training.
    """
    if work.threads is not None:
        torch.set_num_threads(work.threads)
    work.folder.mkdir(parents=True, exist_ok=True)
    remove(work.folder / ERROR)
    setup, run = work.cell.setup, RunFolder(work.folder / RUN)
    write_json(work.folder / SETUP, setup)
    agent = _agent(setup, run)
    if agent.step < setup["steps"] and agent.train(setup["steps"] - agent.step).interrupted:
        return False
    if work.trial:
        write_json(work.folder / RESULT, _trial(agent, setup))
    else:
        points = _test(agent, run, setup["test_prompts"])
        _outcome(work.cell, agent, run, points).write(work.folder / RESULT)
    if not work.keep_checkpoints:
        remove(run.path / "checkpoints")
    return True


def _agent(setup: Mapping[str, Any], run: RunFolder) -> Agent:
    """Return the agent of a cell as far as it is trained."""
    if run.config_path.exists() and run.checkpoints() and run.config().get("keep") == KEEP:  # else some may be gone
        return Agent.load(run.path)
    return agent_class(setup["agent"])(out=run.path, overwrite=True, **agent_arguments(setup))


def _test(agent: Agent, run: RunFolder, prompts: int | None) -> dict[int, Point]:
    """Return, by step, the untrained policy, the last one, and those on the fronts with and without step 0."""
    points = {}
    for step in sorted({0, *agent.archive.tags, *agent.trained_front(), agent.step}):
        last = step == agent.step
        policy = agent if last else Agent.load(run.path, run.checkpoint_path(step).name, env=agent.env)
        test = policy.assess("test", len(agent.task.starts("test", prompts))).mean
        points[step] = Point(step=step, validation=agent.performances[step].tolist(), test=test.tolist())
    return points


def _trial(agent: Agent, setup: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the preference (K,), and the validation performance (K,) of the untrained and of the last policy."""
    return {
        "weights": own_weights(setup, len(agent.objectives)),
        "untrained": agent.performances[0].tolist(),
        "last": agent.performances[agent.step].tolist(),
    }


def _outcome(cell: Cell, agent: Agent, run: RunFolder, points: Mapping[int, Point]) -> Outcome:
    metrics = run.metrics()
    lines = [line for line in metrics if line["step"] > 0]
    reference = agent.archive.reference.tolist()
    per_step = agent.settings.epochs * agent.settings.minibatches
    curve = _curve(agent, lines, per_step)
    front = [points[step] for step in sorted(agent.archive.tags)]
    trained = [points[step] for step in agent.trained_front()]
    final, exact = points[agent.step], _exact_front(agent)
    return Outcome(
        env=cell.env,
        agent=cell.agent,
        weighting=cell.weighting,
        preference=cell.preference,
        seed=cell.seed,
        objectives=list(agent.objectives),
        reference=reference,
        curve=curve,
        course=_course(agent.objectives, lines),
        front=front,
        final=final,
        exact=exact,
        measures=measure(curve, front, final, reference, exact, trained),
        cost={"updates": agent.step * per_step, **_cost(agent, metrics)},
        setup=dict(cell.setup),
        own_weights=own_weights(cell.setup, len(agent.objectives)),
        untrained=points[0],
        trained=trained,
    )


def _curve(agent: Agent, lines: Sequence[Line], updates_per_step: int) -> Curve:
    steps = sorted(agent.performances)
    tokens = np.cumsum([0, *(line[agent.task.unit] for line in lines)])
    archive = ParetoArchive(agent.archive.reference)
    hypervolumes = []
    for step in steps:
        archive.add(agent.performances[step], tag=step)
        hypervolumes.append(archive.hypervolume())
    return Curve(
        steps=steps,
        updates=[step * updates_per_step for step in steps],
        tokens=tokens[steps].tolist(),
        performance=[agent.performances[step].tolist() for step in steps],
        hypervolume=hypervolumes,
    )


def _course(objectives: Sequence[str], lines: Sequence[Line]) -> Course:
    """Return weights and rewards at evenly spread steps, the first and the last among them."""
    chosen = np.unique(np.linspace(0, len(lines) - 1, min(COURSE_POINTS, len(lines))).round().astype(int))
    kept = [lines[i] for i in chosen]
    return Course(
        steps=[line["step"] for line in kept],
        direction=[[line["weights"][name] / line["scale"] for name in objectives] for line in kept],
        scale=[line["scale"] for line in kept],
        rewards=[[line["rewards"][name]["mean"] for name in objectives] for line in kept],
    )


def _cost(agent: Agent, metrics: Sequence[Line]) -> dict[str, float]:
    """Return what training and validation took; the timed parts add up over all processes of a resumed run."""
    lines = [line for line in metrics if line["step"] > 0]
    parts: dict[str, float] = {}
    for line in metrics:
        for part, seconds in line["times"].items():
            parts[part] = parts.get(part, 0.0) + seconds
    return {
        "responses": len(lines) * agent.settings.prompts_per_step * agent.settings.group_size,
        "tokens": sum(line[agent.task.unit] for line in lines),
        "seconds": sum(parts.values()),
        **{f"seconds/{part}": seconds for part, seconds in parts.items()},
        "peak_memory_mb": peak_memory_mb(),
    }


def _exact_front(agent: Agent) -> list[list[float]] | None:
    known = getattr(agent.env, "pareto_front", None)
    return None if known is None else [point.tolist() for point in known(gamma=agent.settings.gamma)]
