"""What the episodes of a training step earned, of all processes together.

Shapes: P prompts (or other starts), G responses (or episodes) from each, B = P*G, T decisions that are judged
separately (1 if all of a response share its reward), K objectives.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.agents.processes.distributed import Processes
from paretune.agents.tasks.base import Acted, Start, Task

Array = NDArray[np.float64]


@dataclass(frozen=True)
class StepRewards:
    """Rewards in groups.

    Attributes:
        rewards: What the episodes earned (P, G, K).
        credit: What each decision is answerable for (P, G, T, K).
        lengths: Numbers of decisions (B,).
        surprisal: Mean over decisions of -log p, in nats, p their probability when they were drawn: an estimate of the
            policy's entropy, at the temperature of sampling, that costs nothing.
    """

    rewards: Array
    credit: Array
    lengths: NDArray[np.int64]
    surprisal: float

    @property
    def judged(self) -> NDArray[np.bool_]:
        """Where `credit` is no padding (P, G, T, 1)."""
        p, g, t, _ = self.credit.shape
        return (np.arange(t) < self.lengths[:, None]).reshape(p, g, t, 1)


def step_rewards(task: Task[Start, Acted], outcome: Acted, processes: Processes, group_size: int) -> StepRewards:
    """Return what a step's episodes earned.

    Args:
        task: The environment.
        outcome: This process's share of the B episodes, those of a group side by side.
        processes: Those that share the episodes.
        group_size: G.
    """
    own_BK = task.returns(outcome)
    rewards_BK = processes.concatenated(own_BK)
    credit_BTK = processes.concatenated(task.credit(outcome, own_BK))
    rewards_PGK, credit_PGTK = (x.reshape(-1, group_size, *x.shape[1:]) for x in (rewards_BK, credit_BTK))
    lengths_B = processes.concatenated(outcome.decisions.lengths)
    nats = processes.summed({"nats": -float(outcome.decisions.log_probs.sum())})["nats"]
    return StepRewards(rewards_PGK, credit_PGTK, lengths_B, nats / max(1, int(lengths_B.sum())))
