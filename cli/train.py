"""`paretune train`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from paretune import agents
from paretune.agents.display import make_display
from paretune.cli.arguments.settings import TrainSettings, agent_arguments, read_settings
from paretune.cli.main import DONE, INTERRUPTED
from paretune.cli.tables import format_table


def run(words: Sequence[str]) -> int:
    """Train as the command line says, and print what came of it.

    Returns:
        0, or 130 if a signal ended the training before its last step.

    Raises:
        ValueError: If a setting is wrong.
    """
    settings = read_settings(words)
    agent = resumed_agent(settings) if settings.resume else new_agent(settings)
    if settings.steps <= agent.step:
        raise ValueError(
            f"steps: must be above {agent.step}, the steps with which the run in {str(settings.folder)!r} is complete, "
            f"got {settings.steps}; --steps N continues it"
        )
    result = agent.train(settings.steps - agent.step)
    if not settings.quiet and agent.processes.main:
        print(report(result, agent.objectives, keeps_front=agent.settings.keep != "last"))
        if result.interrupted:
            command = shlex.join(["paretune", "train", "--resume", "--out", str(settings.folder)])
            print(f"\nstopped at step {result.steps} of {settings.steps}; go on with: {command}")
    return INTERRUPTED if result.interrupted else DONE


def new_agent(settings: TrainSettings) -> agents.Agent:
    """Return the agent of a new run."""
    return agents.agent_class(settings.agent)(
        preference=settings.preference,
        out=settings.folder,
        display=make_display(settings.quiet),
        **agent_arguments(settings),
    )


def resumed_agent(settings: TrainSettings) -> agents.Agent:
    """Return the agent of the run in the folder, as its last checkpoint holds it."""
    return agents.Agent.load(
        settings.folder, display=make_display(settings.quiet), tracker=settings.tracker, device=settings.device
    )


def report(result: agents.TrainResult, objectives: Sequence[str], *, keeps_front: bool = False) -> str:
    """Return what training led to: objectives and hypervolume before and after, and where the run is.

    Args:
        result: What training led to.
        objectives: Names of the K objectives.
        keeps_front: Whether the front's policies have checkpoints, so that they can be measured again.
    """
    before_after = zip(objectives, result.performance_before, result.performance_after, strict=True)
    rows = [
        *((name, f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}") for name, before, after in before_after),
        (
            "hypervolume of the archive",
            f"{result.hypervolume_before:.4f}",
            f"{result.hypervolume_after:.4f}",
            f"{result.hypervolume_after - result.hypervolume_before:+.4f}",
        ),
    ]
    lines = [format_table(("validation", "before", "after", "change"), rows)]
    if result.folder is not None and keeps_front:
        command = shlex.join(["paretune", "evaluate", str(result.folder), "--front"])
        lines += ["", f"The best of many validations are above the truth; on other prompts: {command}"]
    if result.folder is not None:
        pictures = [result.folder / name for name in ("front.png", "weights.png")]
        lines += ["", f"run:      {result.folder}", *(f"picture:  {path}" for path in pictures if path.exists())]
    return "\n".join(lines)
