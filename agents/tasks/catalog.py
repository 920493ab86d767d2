"""From an environment or its id to the task that an agent trains on, and back to what a settings file says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from paretune.agents.policies.base import Policy
from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.policies.network import NetworkPolicy
from paretune.agents.processes.distributed import Processes
from paretune.agents.settings import AgentSettings
from paretune.agents.spaces import discrete_actions, objective_count
from paretune.agents.tasks.episode_task import EpisodeTask
from paretune.agents.tasks.text_task import TextTask
from paretune.envs import ResponseEnv, TokenEnv
from paretune.envs.catalog import make_wrapped_env

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
            f"env: must come without further wrappers if it is a paretune.envs.ResponseEnv, got {env!r}; agents read "
            "prompts and vector rewards in batches, which wrappers do not see"
        )
    discrete_actions(env)
    objective_count(env)


def make_task(
    env: gym.Env[Any, Any], policy: Policy, settings: AgentSettings, processes: Processes | None = None
) -> TextTask | EpisodeTask:
    """Put environment and policy together, in one process or several.

    Raises:
        ValueError: If they do not fit.
    """
    if isinstance(env, ResponseEnv) and isinstance(policy, LanguageModelPolicy):
        return TextTask(env, policy, settings, processes)
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


def _is_as_registered(spec: EnvSpec) -> bool:
    """Whether an id and options are all that an environment was made from: no further wrappers, no other time limit."""
    registered = gym.registry.get(spec.id)
    return registered is not None and (spec.additional_wrappers, spec.max_episode_steps) == (
        registered.additional_wrappers,
        registered.max_episode_steps,
    )
