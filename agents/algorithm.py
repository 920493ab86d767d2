"""What tells one policy-gradient algorithm from another."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.agents.settings import LossMean
from paretune.weighting.advantages import AdvantageRule


@dataclass(frozen=True, kw_only=True)
class Algorithm(AdvantageRule):
    """An advantage function and the defaults of the loss.

    Attributes:
        name: Its name on the command line.
        clip: PPO clip range unless the settings give one; 0 is no clip.
        loss_mean: Mean over the tokens unless the settings give one.
    """

    name: str
    clip: float = 0.0
    loss_mean: LossMean = "constant"
