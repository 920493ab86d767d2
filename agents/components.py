"""From names and options to the parts of an agent, and back to what a settings file says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from os import PathLike
from typing import Any, get_type_hints

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Discrete
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from paretune.agents.episode_task import EpisodeTask
from paretune.agents.language_model import LanguageModelPolicy
from paretune.agents.network import NetworkPolicy
from paretune.agents.policy import Policy
from paretune.agents.settings import AgentSettings, check_settings
from paretune.agents.task import Task
from paretune.agents.text_task import TextTask
from paretune.envs import ResponseEnv, TokenEnv
from paretune.envs.registration import make_wrapped_env
from paretune.envs.suggest import unknown_name
from paretune.weighting import Weighting, make_weighting
from paretune.weighting.catalog import option_names

TRANSPARENT = (OrderEnforcing, PassiveEnvChecker)
"""Wrappers that `gymnasium.make` adds and that change nothing."""


def resolve_env(env: str | gym.Env, options: Mapping[str, Any] | None) -> gym.Env[Any, Any]:
    """Return the environment that an id, a wrapped or a bare environment stands for.

    A `ResponseEnv` and a `TokenEnv` lose the wrappers that change nothing; others keep theirs, time limits for example.

    Raises:
        ValueError: If the id or an option is unknown, if a `ResponseEnv` has wrappers that the agent would pass by, or
            if the environment has no vector reward or no discrete actions.
    """
    if isinstance(env, str):
        env = make_wrapped_env(env, **(options or {}))
    elif options:
        raise ValueError(f"env_options: must be empty when env is not an id, got {dict(options)!r}")
    bare = env
    while isinstance(bare, TRANSPARENT):
        bare = bare.env
    if isinstance(bare, ResponseEnv | TokenEnv):
        return bare
    _check_steppable(env)
    return env


def _check_steppable(env: Any) -> None:
    if not isinstance(env, gym.Env):
        raise ValueError(f"env: must be an id or an environment, got {env!r}")
    if isinstance(env.unwrapped, ResponseEnv):
        raise ValueError(
            f"env: a paretune.envs.ResponseEnv must come without further wrappers, got {env!r}; agents read prompts "
            "and vector rewards in batches, which wrappers do not see"
        )
    if not isinstance(env.action_space, Discrete):
        raise ValueError(f"env: actions must be text or of a Discrete space, got {env.action_space} of {env!r}")
    space = getattr(env.unwrapped, "reward_space", None)
    if space is None or len(space.shape or ()) != 1:
        raise ValueError(
            f"env: must have a vector reward (unwrapped.reward_space), as MO-Gymnasium's have, got {env!r}"
        )


def _is_as_registered(spec: EnvSpec) -> bool:
    """Whether an id and options are all that an environment was made from: no further wrappers, no other time limit."""
    registered = gym.registry.get(spec.id)
    return registered is not None and (spec.additional_wrappers, spec.max_episode_steps) == (
        registered.additional_wrappers,
        registered.max_episode_steps,
    )


def make_task(env: gym.Env[Any, Any], policy: Policy, settings: AgentSettings) -> Task:
    """Put environment and policy together.

    Raises:
        ValueError: If they do not fit.
    """
    if isinstance(env, ResponseEnv) and isinstance(policy, LanguageModelPolicy):
        return TextTask(env, policy, settings)
    assert isinstance(policy, NetworkPolicy)
    return EpisodeTask(env, policy, settings)


def env_config(env: gym.Env[Any, Any]) -> dict[str, Any]:
    """Return what a settings file says of `env`; its id is empty where it cannot be made again from a file."""
    if env.spec is None or not _is_as_registered(env.spec):
        return {"env": "", "env_options": {}}
    options = {name: str(value) if isinstance(value, PathLike) else value for name, value in env.spec.kwargs.items()}
    try:
        json.dumps(options)
    except TypeError:
        return {"env": "", "env_options": {}}
    return {"env": env.spec.id, "env_options": options}


def resolve_weighting(
    weighting: str | Weighting,
    preference: Sequence[float] | None,
    options: Mapping[str, Any] | None,
    objectives: Sequence[str],
    reference: Sequence[float] | None = None,
) -> Weighting:
    """Return the strategy that a name or an object stands for, for these objectives.

    One given by name that measures hypervolumes takes over the reference point, unless its options have another.

    Raises:
        ValueError: If the name or an option is unknown, or the number of weights is not that of the objectives.
    """
    if isinstance(weighting, str):
        chosen: int | Sequence[float] = len(objectives) if preference is None else preference
        options = dict(options or {})
        if reference is not None and "reference" in option_names(weighting):
            options = {"reference": tuple(reference)} | options
        weighting = make_weighting(weighting, chosen, **options)
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


def check_reference(reference: Sequence[float] | None, objectives: Sequence[str]) -> Sequence[float] | int:
    """Return the reference point of the hypervolume, or K for zeros.

    Raises:
        ValueError: If it has not one number for each objective.
    """
    if reference is None:
        return len(objectives)
    if len(reference) != len(objectives):
        raise ValueError(
            f"reference: must have {len(objectives)} numbers, one for each of {', '.join(objectives)}, got "
            f"{list(reference)}"
        )
    return reference


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
    values = {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for name, value in values.items()
    }
    stop, reference = values.get("stop", ()), values.get("reference")
    values = {**values, "stop": (stop,) if isinstance(stop, str) else tuple(stop)}
    values["reference"] = None if reference is None else tuple(map(float, reference))
    hints = get_type_hints(AgentSettings)
    whole = [name for name, value in values.items() if type(value) is int and hints[name] in (float, float | None)]
    settings = AgentSettings(**(values | {name: float(values[name]) for name in whole}))
    check_settings(settings)
    return settings
