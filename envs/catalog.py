"""The ids of the environments: registering, making and listing them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import gymnasium as gym
import mo_gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator
from typeguard import TypeCheckError, check_type

from paretune.envs.suggest import unknown_name

NAMESPACE = "paretune"


@dataclass(frozen=True, slots=True)
class Entry:
    """How an id is registered.

    Attributes:
        entry_point: The environment's class.
        vector_entry_point: What makes a vector of them, in paretune.envs.vector.
        summary: One line about it; empty takes that of the class.
        options: Options that differ from the class's own defaults.
        objectives: The names of the objectives that it has by default; empty takes those of the class.
    """

    entry_point: str
    vector_entry_point: str
    summary: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()


STYLE = ("paretune.envs.tokens.style:StyleEnv", "paretune.envs.vector:style")
ENVS = {
    "paretune/Arithmetic-v0": Entry("paretune.envs.text.arithmetic:ArithmeticEnv", "paretune.envs.vector:arithmetic"),
    "paretune/Math-v0": Entry("paretune.envs.text.math_dataset:MathEnv", "paretune.envs.vector:math"),
    "paretune/TokenConvex-v0": Entry(
        *STYLE, "Token by token; a convex front.", {"vocabulary": 16, "length": 10, "shape": "convex"}
    ),
    "paretune/TokenConcave-v0": Entry(
        *STYLE,
        "Token by token; a concave front, of which fixed linear weights reach only the ends.",
        {"vocabulary": 16, "length": 10, "shape": "concave"},
    ),
    "paretune/TokenDisconnected-v0": Entry(
        *STYLE, "Token by token; a front in three pieces.", {"vocabulary": 24, "length": 10, "shape": "disconnected"}
    ),
    "paretune/TokenThree-v0": Entry(
        *STYLE,
        "Token by token; three objectives, a convex front.",
        {"vocabulary": 21, "length": 10, "objectives": 3, "shape": "convex"},
        ("style_0", "style_1", "style_2"),
    ),
    "paretune/TokenDeceptive-v0": Entry(
        "paretune.envs.tokens.deceptive:DeceptiveEnv", "paretune.envs.vector:deceptive"
    ),
    "paretune/Token-v0": Entry(*STYLE, "Token by token; any size and shape of front."),
    "paretune/TokenText-v0": Entry("paretune.envs.text.token_text:TokenText", "paretune.envs.vector:token_text"),
}
"""What is registered, by id."""


@dataclass(frozen=True, slots=True)
class EnvInfo:
    """What there is to know about an environment before it is made.

    Attributes:
        id: The id to make it by.
        summary: One line about it.
        objectives: The names of the objectives that it has by default.
        options: The options that it takes, in order, with their defaults; `inspect.Parameter.empty` for one that must
            be given.
    """

    id: str
    summary: str
    objectives: tuple[str, ...]
    options: dict[str, Any]


def register_envs() -> None:
    """Register the environments with Gymnasium, unless they are registered already."""
    for env_id, entry in ENVS.items():
        if env_id not in gym.registry:
            gym.register(
                env_id,
                entry_point=entry.entry_point,
                vector_entry_point=entry.vector_entry_point,
                kwargs=dict(entry.options),
            )


def make_env(env_id: str, **options: Any) -> gym.Env[Any, Any]:
    """Make an environment and take Gymnasium's wrappers off; else as `make_wrapped_env`.

    Example:
        >>> make_env("paretune/Arithmetic-v0", max_tokens=32).max_tokens
        32
    """
    env: gym.Env[Any, Any] = make_wrapped_env(env_id, **options).unwrapped
    return env


def make_wrapped_env(env_id: str, **options: Any) -> gym.Env[Any, Any]:
    """Make an environment with the wrappers that belong to its id, such as a time limit.

    Args:
        env_id: The id of any registered environment; "module:id" imports the module, which registers it, first.
        options: What the environment's constructor takes.

    Returns:
        The environment.

    Raises:
        ValueError: If there is no such environment or option, with the nearest names, a needed option is missing, or
            one is of the wrong type.
    """
    spec = _find_spec(env_id)
    parameters = _options(_creator(spec))
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for name in options:
            if name not in parameters:
                raise ValueError(unknown_name(f"option of {spec.id}", name, parameters))
    if spec.namespace == NAMESPACE:
        _check_types(spec.id, options, get_type_hints(_creator(spec).__init__))
    given = spec.kwargs | options
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and name not in given
    ]
    if missing:
        raise ValueError(f"{missing[0]}: must be given, as {spec.id} has no default for it, got nothing")
    env: gym.Env[Any, Any] = mo_gymnasium.make(spec.id, **options)
    return env


def _check_types(env_id: str, options: Mapping[str, Any], hints: Mapping[str, Any]) -> None:
    for name, value in options.items():
        hint = hints.get(name, Any)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise ValueError(unknown_name(name, value, get_args(hint)))
        try:
            check_type(value, hint)
        except TypeCheckError as error:
            kind = hint.__name__ if isinstance(hint, type) else hint
            raise ValueError(f"{name}: must be {kind} for {env_id}, got {value!r} ({error})") from None


def list_envs() -> list[EnvInfo]:
    """Return what there is to know about each environment of paretune."""
    return [_info(spec) for spec in gym.registry.values() if spec.namespace == NAMESPACE]


def _info(spec: EnvSpec) -> EnvInfo:
    creator = _creator(spec)
    entry = ENVS.get(spec.id, Entry("", ""))
    summary = entry.summary or (inspect.getdoc(creator) or "").partition("\n")[0]
    options = {name: spec.kwargs.get(name, parameter.default) for name, parameter in _options(creator).items()}
    return EnvInfo(spec.id, summary, entry.objectives or getattr(creator, "default_objectives", ()), options)


def _find_spec(env_id: str) -> EnvSpec:
    module, _, name = env_id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise ValueError(f"env: must name a module that can be imported, got {env_id!r} ({error})") from error
    if name not in gym.registry:
        ours = [env_id for env_id, spec in gym.registry.items() if spec.namespace == NAMESPACE]
        others = get_close_matches(name, gym.registry)
        raise ValueError(unknown_name("environment", name, dict.fromkeys([*ours, *others])))
    return gym.registry[name]


def _creator(spec: EnvSpec) -> Callable[..., Any]:
    if spec.entry_point is None:
        raise ValueError(f"env: must exist one by one, got {spec.id!r}, which there is as a vector only")
    return load_env_creator(spec.entry_point) if isinstance(spec.entry_point, str) else spec.entry_point


def _options(creator: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(creator).parameters)
