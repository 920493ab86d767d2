"""From names and options to the parts of an agent, and back to what a settings file says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from os import PathLike
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from paretune.agents.language_model import LanguageModelPolicy
from paretune.agents.loading import load_policy, precision_name
from paretune.agents.settings import AgentSettings, check_settings, default_learning_rate
from paretune.envs import ResponseEnv, make_env
from paretune.envs.suggest import unknown_name
from paretune.weighting import Weighting, make_weighting

TRANSPARENT = (OrderEnforcing, PassiveEnvChecker)
"""Wrappers that `gymnasium.make` adds and that change nothing."""


def resolve_env(env: str | gym.Env, options: Mapping[str, Any] | None) -> ResponseEnv:
    """Return the environment that an id, a wrapped or a bare environment stands for.

    Raises:
        ValueError: If the id or an option is unknown, if `env` has wrappers that the agent would pass by, or if it is
            not a `ResponseEnv`.
    """
    if isinstance(env, str):
        env = make_env(env, **(options or {}))
    elif options:
        raise ValueError(f"env_options: must be empty when env is not an id, got {dict(options)!r}")
    while isinstance(env, TRANSPARENT):
        env = env.env
    if not isinstance(env, ResponseEnv):
        raise ValueError(
            f"env: must be an id or a paretune.envs.ResponseEnv without further wrappers, got {env!r}; agents read "
            "prompts and vector rewards in batches, which wrappers do not see"
        )
    return env


def env_config(env: ResponseEnv) -> dict[str, Any]:
    """Return what a settings file says of `env`; its id is empty where it cannot be made again from a file."""
    if env.spec is None:
        return {"env": "", "env_options": {}}
    options = {name: str(value) if isinstance(value, PathLike) else value for name, value in env.spec.kwargs.items()}
    try:
        json.dumps(options)
    except TypeError:
        return {"env": "", "env_options": {}}
    return {"env": env.spec.id, "env_options": options}


def resolve_policy(
    policy: str | Path | LanguageModelPolicy, settings: AgentSettings
) -> tuple[LanguageModelPolicy, AgentSettings]:
    """Return the policy that a name or an object stands for, and the settings with what follows from it.

    A policy object keeps its device and precision, which the settings then tell.
    """
    if isinstance(policy, LanguageModelPolicy):
        settings = replace(settings, device=str(policy.device), precision=precision_name(policy.precision))
    else:
        policy = load_policy(policy, settings.device, settings.precision)
    if settings.lr is None:
        settings = replace(settings, lr=default_learning_rate(policy.parameters))
    return policy, settings


def resolve_weighting(
    weighting: str | Weighting,
    preference: Sequence[float] | None,
    options: Mapping[str, Any] | None,
    objectives: Sequence[str],
) -> Weighting:
    """Return the strategy that a name or an object stands for, for these objectives.

    Raises:
        ValueError: If the name or an option is unknown, or the number of weights is not that of the objectives.
    """
    if isinstance(weighting, str):
        chosen: int | Sequence[float] = len(objectives) if preference is None else preference
        weighting = make_weighting(weighting, chosen, **(options or {}))
    elif preference is not None or options:
        raise ValueError(
            "preference, weighting_options: must be left out when weighting is an object, which has its own"
        )
    if len(weighting.weights) != len(objectives):
        raise ValueError(
            f"preference: must have {len(objectives)} weights, one for each of {', '.join(objectives)}, "
            f"got {len(weighting.weights)}"
        )
    return weighting


def weighting_config(weighting: Weighting) -> dict[str, Any]:
    """Return what a settings file says of `weighting`."""
    options = weighting.options()
    return {"weighting": weighting.name, "preference": options.pop("preference"), "weighting_options": options}


def agent_settings(values: Mapping[str, Any]) -> AgentSettings:
    """Return the settings with these values.

    Raises:
        ValueError: If a name is unknown (the message has the nearest ones) or a value breaks its rule.
    """
    known = [field.name for field in fields(AgentSettings)]
    for name in values:
        if name not in known:
            raise ValueError(unknown_name("setting", name, known))
    stop = values.get("stop", ())
    settings = AgentSettings(**{**values, "stop": (stop,) if isinstance(stop, str) else tuple(stop)})
    check_settings(settings)
    return settings
