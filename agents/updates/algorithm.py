"""What tells one policy-gradient algorithm from another."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.agents.settings import AgentSettings, LossMean
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

    def check_group_size(self, settings: AgentSettings) -> None:
        """Raise ValueError if there are too few responses to compare."""
        p, g = settings.prompts_per_step, settings.group_size
        if self.group and g < 2:
            raise ValueError(
                f"group_size: must be at least 2 for {self.name}, which compares the responses of a group, got {g}"
            )
        if p * g < 2:
            raise ValueError(f"prompts_per_step: must be at least 2 with group_size=1, to compare responses, got {p}")
