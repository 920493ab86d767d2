"""A weighting and its archive inside a trainer of somebody else's.

Shapes: B responses (those to a prompt side by side), P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.weighting import ParetoArchive, Weighting
from paretune.weighting.bookkeeping import batch_metrics, flatten, show_validation, weighting_metrics

Array = NDArray[np.float64]


class WeightingDriver:
    """Shows a weighting what a trainer saw, keeps the Pareto archive, and says what to log.

    Attributes:
        weighting: The strategy.
        objectives: Names of the K objectives, in order.
        archive: Pareto archive of validation performances; tags name the trainer's steps.
    """

    def __init__(
        self, weighting: Weighting, objectives: Sequence[str], reference: Sequence[float] | None = None
    ) -> None:
        """Put both together.

        Args:
            weighting: The strategy.
            objectives: Names of the trainer's K rewards.
            reference: Reference point (K,) of the hypervolume; None is zeros.

        Raises:
            ValueError: If weighting or reference have another number of objectives.
        """
        k = len(weighting.weights)
        if k != len(objectives):
            raise ValueError(
                f"weighting: must have {len(objectives)} weights, one for each of {', '.join(objectives)}, got {k}"
            )
        if reference is not None and len(reference) != k:
            raise ValueError(f"reference: must have {k} numbers, one for each objective, got {list(reference)}")
        self.weighting = weighting
        self.objectives = tuple(objectives)
        self.archive = ParetoArchive(k if reference is None else reference)
        self._validated: int | None = None  # the step of the last validation

    def on_rewards(self, rewards: ArrayLike, group_size: int) -> Array:
        """Show the weighting the rewards (B, K) of a training step, and return them as (P, G, K).

        Raises:
            ValueError: If a reward is missing (not a number).
        """
        rewards_BK = np.asarray(rewards, dtype=np.float64)
        missing_K = np.isnan(rewards_BK).sum(axis=0)
        if missing_K.any():
            name = self.objectives[int(missing_K.argmax())]
            raise ValueError(
                f"rewards: every response must have every reward, but {name!r} has none (None or nan) for "
                f"{int(missing_K.max())} of {len(rewards_BK)} responses"
            )
        rewards_PGK = rewards_BK.reshape(-1, group_size, len(self.objectives))
        self.weighting.on_rewards(rewards_PGK)
        return rewards_PGK

    def on_validation(self, performance: Sequence[float], step: int, standard_error: ArrayLike | None = None) -> None:
        """Show archive and weighting a validation performance (K,), one for each step of the trainer.

        A trainer that evaluates when it starts does so again where it resumes.

        Args:
            performance: Mean of each objective (K,).
            step: The trainer's step.
            standard_error: Of these means (K,), over prompts; None or NaN where the trainer does not know it.
        """
        if step == self._validated:
            return
        self._validated = step
        show_validation(performance, step, self.weighting, self.archive, standard_error)

    def metrics(self) -> dict[str, float]:
        """What to log at every step, by name: weights, scale, hypervolume, the archive's size, and diagnostics."""
        archive = {"hypervolume": self.archive.hypervolume(), "archive_size": float(len(self.archive))}
        return flatten({**archive, **weighting_metrics(self.weighting, self.objectives)})

    def advantage_metrics(self, rewards: Array, judged: Array) -> dict[str, float]:
        """What to log of a training step's rewards and of each objective's advantages, both (P, G, K), by name."""
        spread = {
            name: {"std": float(judged_PG.std()), "abs_mean": float(np.abs(judged_PG).mean())}
            for name, judged_PG in zip(self.objectives, np.moveaxis(judged, -1, 0), strict=True)
        }
        return flatten({"advantages": spread, **batch_metrics(rewards, judged, self.weighting.direction)})

    def state_dict(self) -> dict[str, Any]:
        """Return everything that is not an option, JSON-able."""
        return {
            "weighting": self.weighting.name,
            "objectives": list(self.objectives),
            "state": self.weighting.state_dict(),
            "archive": self.archive.state_dict(),
            "validated": self._validated,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ValueError: If it is of another strategy or other objectives.
        """
        for name, own in (("weighting", self.weighting.name), ("objectives", list(self.objectives))):
            if state[name] != own:
                raise ValueError(f"checkpoint: its {name} must be {own!r}, as in this run, got {state[name]!r}")
        self.weighting.load_state_dict(state["state"])
        self.archive.load_state_dict(state["archive"])
        self._validated = state["validated"]
