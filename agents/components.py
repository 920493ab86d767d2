"""From names and options to the parts of an agent, and back to what a settings file says of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from typing import Any, get_type_hints

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Discrete
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker

from paretune.agents.algorithm import Algorithm
from paretune.agents.episode_task import EpisodeTask
from paretune.agents.language_model import LanguageModelPolicy
from paretune.agents.launcher import ZERO_STAGES, chosen_sharding
from paretune.agents.network import NetworkPolicy
from paretune.agents.policy import Policy
from paretune.agents.processes import Processes, launched_number
from paretune.agents.settings import AgentSettings, check_settings
from paretune.agents.task import Task
from paretune.agents.text_task import TextTask
from paretune.agents.updater import Updater
from paretune.envs import ResponseEnv, TokenEnv
from paretune.envs.registration import make_wrapped_env
from paretune.envs.suggest import unknown_name

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


def make_task(
    env: gym.Env[Any, Any], policy: Policy, settings: AgentSettings, processes: Processes | None = None
) -> Task:
    """Put environment and policy together, in one process or several.

    Raises:
        ValueError: If they do not fit.
    """
    if isinstance(env, ResponseEnv) and isinstance(policy, LanguageModelPolicy):
        return TextTask(env, policy, settings, processes)
    assert isinstance(policy, NetworkPolicy)
    return EpisodeTask(env, policy, settings)


def make_updater(
    algorithm: Algorithm,
    policy: Policy,
    reference: Policy | None,
    settings: AgentSettings,
    task: Task,
    processes: Processes,
) -> Updater:
    """Return what makes the optimizer updates; settings that are None are the algorithm's."""
    return Updater(
        policy=policy,
        settings=settings,
        clip=algorithm.clip if settings.clip is None else settings.clip,
        loss_mean=settings.loss_mean or algorithm.loss_mean,
        longest=task.longest,
        reference=reference,
        processes=processes,
        zero_stage=ZERO_STAGES.get(chosen_sharding(settings.sharding, processes.size), 0),
    )


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


def check_group_size(algorithm: Algorithm, settings: AgentSettings) -> None:
    """Raise ValueError if the algorithm has too few responses to compare."""
    p, g = settings.prompts_per_step, settings.group_size
    if algorithm.group and g < 2:
        raise ValueError(
            f"group_size: must be at least 2 for {algorithm.name}, which compares the responses of a group, got {g}"
        )
    if p * g < 2:
        raise ValueError(f"prompts_per_step: must be at least 2 with group_size=1, to compare responses, got {p}")


def check_shares(processes: Processes, settings: AgentSettings) -> None:
    """Raise ValueError if the prompts of a step or of an evaluation cannot be shared out among the processes."""
    if settings.prompts_per_step % processes.size:
        raise ValueError(
            f"prompts_per_step: must be a multiple of the number of processes, which is {processes.size}, got "
            f"{settings.prompts_per_step}"
        )
    if settings.eval_prompts is not None and settings.eval_prompts < processes.size:
        raise ValueError(
            f"eval_prompts: must be at least the number of processes, which is {processes.size}, got "
            f"{settings.eval_prompts}"
        )


def agent_settings(values: Mapping[str, Any]) -> AgentSettings:
    """Return the settings with these values.

    Raises:
        ValueError: If a name is unknown (the message has the nearest ones), a value breaks its rule, or accelerate was
            launched for what is not supported.
    """
    known = [field.name for field in fields(AgentSettings)]
    for name in values:
        if name not in known:
            raise ValueError(unknown_name("setting", name, known))
    values = {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value for name, value in values.items()
    }
    reference = values.get("reference")
    for name in ("stop", "lora_targets"):
        texts = values.get(name, ())
        values = {**values, name: (texts,) if isinstance(texts, str) else tuple(texts)}
    values["reference"] = None if reference is None else tuple(map(float, reference))
    hints = get_type_hints(AgentSettings)
    whole = [name for name, value in values.items() if type(value) is int and hints[name] in (float, float | None)]
    settings = AgentSettings(**(values | {name: float(values[name]) for name in whole}))
    check_settings(settings)
    chosen_sharding(settings.sharding, launched_number())
    return settings
