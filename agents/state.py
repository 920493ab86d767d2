"""What training changes of an agent, and what a checkpoint holds of that.

Shapes: K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.agents.policies.base import Policy
from paretune.agents.tasks.base import Task
from paretune.agents.updates.comparison import Found, GradientComparison
from paretune.agents.updates.updater import Updater
from paretune.weighting import ParetoArchive, Weighting
from paretune.weighting.gram_estimate import GramEstimate, from_lists, to_lists

Array = NDArray[np.float64]


class TrainingState:
    """The parts of an agent that training changes: what a run is recorded from.

    Attributes:
        policy: The policy that is trained.
        task: The environment, with the policy that acts in it.
        weighting: The strategy that weighs the objectives.
        archive: Pareto archive of validation performances; tags name the steps.
        updater: Makes the optimizer updates; it holds the optimizer.
        gradients: Compares the objectives' gradients.
        step: Training steps done.
        performances: Validation performance (K,) by step.
    """

    policy: Policy
    task: Task[Any, Any]  # of one kind or the other: the loop hands starts and outcomes on, and looks into neither
    weighting: Weighting
    archive: ParetoArchive
    updater: Updater
    gradients: GradientComparison
    step: int
    performances: dict[int, Array]

    def trained_front(self) -> list[int]:
        """Return the steps, ascending, whose performance no other trained policy's dominates or equals.

        The untrained policy's (step 0) is left out, and what it alone dominates is in.
        """
        archive = ParetoArchive(self.archive.reference)
        for step in sorted(self.performances):
            if step > 0:
                archive.add(self.performances[step], tag=step)
        return sorted(archive.tags)

    def state_dict(self) -> dict[str, Any]:
        """Return all but the policy and the optimizer, JSON-able."""
        last = self.gradients.last
        return {
            "step": self.step,
            "weighting": self.weighting.state_dict(),
            "archive": self.archive.state_dict(),
            "env": self.task.state_dict(),
            "gram": None if last is None else [last[0], _listed(last[1])],
            "trained": self.policy.trained_parameters(),
            "performances": {str(step): performance.tolist() for step, performance in self.performances.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.step = state["step"]
        self.weighting.load_state_dict(state["weighting"])
        self.archive.load_state_dict(state["archive"])
        self.task.load_state_dict(state["env"])
        self.gradients.last = None if state["gram"] is None else (state["gram"][0], _found(state["gram"][1]))
        self.performances = {int(step): np.array(performance) for step, performance in state["performances"].items()}


def _listed(found: Found) -> Any:
    return to_lists(found) if isinstance(found, GramEstimate) else found.tolist()


def _found(listed: Any) -> Found:
    return from_lists(listed) if isinstance(listed, dict) else np.array(listed)
