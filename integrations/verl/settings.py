"""What a verl configuration says under `paretune`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, get_args

from omegaconf import DictConfig, OmegaConf

from paretune.envs import ResponseEnv, make_env
from paretune.envs.suggest import unknown_name
from paretune.integrations.driver import WeightingDriver
from paretune.weighting import make_weighting
from paretune.weighting.advantages import Order
from paretune.weighting.catalog import option_names


@dataclass(frozen=True, kw_only=True)
class VerlSettings:
    """The settings under `paretune` in a verl configuration, written on the command line as `+paretune.NAME=VALUE`.

    Attributes:
        weighting: Name of the strategy.
        preference: Weights (K,); None is equal ones.
        options: The strategy's options, by name.
        objectives: Names of the K rewards, as the reward function returns them; None takes those of `env`.
        reference: Reference point (K,) of the hypervolume; None is zeros.
        order: Order of weighing and normalising, "weigh_first" or "normalise_first".
        env: Id of the environment whose objectives the reward manager `paretune` scores responses with.
        env_options: What the environment's constructor takes, by name.
    """

    weighting: str = "fixed"
    preference: list[float] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    objectives: list[str] | None = None
    reference: list[float] | None = None
    order: Order = "weigh_first"
    env: str | None = None
    env_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what no other function does.

        Raises:
            ValueError: If a setting breaks its rule.
        """
        if self.order not in get_args(Order):
            raise ValueError(unknown_name("paretune.order", self.order, get_args(Order)))
        if self.objectives is None and self.env is None:
            raise ValueError(
                "paretune.objectives: must name the rewards that the reward function returns, such as "
                "[accuracy,brevity], unless paretune.env is set, got neither"
            )

    @classmethod
    def of(cls, config: DictConfig) -> VerlSettings:
        """Read them from verl's configuration.

        Raises:
            ValueError: If one is unknown or breaks its rule.
        """
        given = OmegaConf.to_container(config.get("paretune") or OmegaConf.create({}), resolve=True)
        known = [one.name for one in fields(cls)]
        if unknown := [name for name in given if name not in known]:
            raise ValueError(unknown_name("setting of paretune", unknown[0], known))
        return cls(**given)

    def make_env(self) -> ResponseEnv:
        """Make the environment that scores responses.

        Raises:
            ValueError: If there is none, or not one of prompts and responses.
        """
        if self.env is None:
            raise ValueError(
                "paretune.env: must be the id of an environment with reward.reward_manager.name=paretune, got null"
            )
        env = make_env(self.env, **self.env_options)
        if not isinstance(env, ResponseEnv):
            raise ValueError(f"paretune.env: must be of prompts and responses, got {self.env!r}")
        return env

    def make_driver(self) -> WeightingDriver:
        """Make the strategy, with an archive.

        Raises:
            ValueError: If the strategy, an option or a number of objectives is wrong.
        """
        objectives = self.objectives if self.objectives is not None else list(self.make_env().objectives)
        options = dict(self.options)
        if self.reference is not None and "reference" in option_names(self.weighting):
            options = {"reference": tuple(self.reference)} | options
        chosen = len(objectives) if self.preference is None else self.preference
        return WeightingDriver(make_weighting(self.weighting, chosen, **options), objectives, self.reference)
