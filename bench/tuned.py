"""What tuning came to: plain data, which a benchmark's folder and its results file keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Values that were tried for the tuned settings.

    Attributes:
        settings: The values, by name of the setting.
        runs: Fixed runs that were finished with them.
        failed: Fixed runs that failed.
        own: Own weighted objective of the last policies on validation data, by seed, each the mean over the fixed arms;
            None while runs are to be done, or where one failed.
        gain: The same, less the untrained policies'.
    """

    settings: dict[str, Any]
    runs: int
    failed: int
    own: list[float] | None
    gain: list[float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """What was tuned for one environment and agent.

    Attributes:
        env: Label of the environment.
        agent: Label of the agent.
        seeds: Seeds of the trials, which the benchmark itself does not use.
        trials: All values that were tried.
        chosen: The settings of the best trial; None while trials are to be done, or where all of them failed.
        remark: What to know about the choice, such as that the best may lie outside of what was tried.
    """

    env: str
    agent: str
    seeds: list[int]
    trials: list[Trial]
    chosen: dict[str, Any] | None
    remark: str = ""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Tuned:
        """Return what `dataclasses.asdict` made `values` of."""
        return cls(**{**values, "trials": [Trial(**trial) for trial in values["trials"]]})
