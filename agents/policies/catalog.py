"""From a name and options to a policy that suits an environment, and back to what a settings file says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym

from paretune.agents.policies import adapters
from paretune.agents.policies.base import Policy
from paretune.agents.policies.features import make_encoder
from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.policies.loading import load_policy, pick_device, precision_name
from paretune.agents.policies.network import KINDS, NetworkConfig, NetworkPolicy
from paretune.agents.processes.distributed import Processes
from paretune.agents.processes.launcher import chosen_sharding
from paretune.agents.settings import AgentSettings, default_learning_rate
from paretune.agents.spaces import discrete_actions
from paretune.envs import ResponseEnv
from paretune.envs.suggest import unknown_name

DEFAULT_LANGUAGE_MODEL, DEFAULT_NETWORK = "tiny-math", "mlp"
DEFAULT_HIDDEN = (64, 64)


def resolve_policy(
    policy: str | Path | Policy | None,
    options: Mapping[str, Any] | None,
    env: gym.Env[Any, Any],
    settings: AgentSettings,
) -> tuple[Policy, AgentSettings]:
    """Return the policy that a name or an object stands for, and the settings with what follows from it.

    A policy object keeps its device and precision, which the settings then tell.

    Raises:
        ValueError: If there is no such policy or option, or it is not of the environment's kind.
    """
    is_text = isinstance(env, ResponseEnv)
    if policy is None:
        policy = DEFAULT_LANGUAGE_MODEL if is_text else DEFAULT_NETWORK
    if isinstance(policy, Policy):
        if options:
            raise ValueError(f"policy_options: must be empty when policy is an object, got {dict(options)!r}")
        settings = replace(settings, device=str(policy.device), precision=precision_name(policy.precision))
    elif is_text:
        if options:
            raise ValueError(f"policy_options: must be empty for a language model, got {dict(options)!r}")
        policy = load_policy(policy, settings.device, settings.precision)
        if settings.lora_rank is not None and policy.foundation is None:
            policy = _with_lora(policy, settings)
    else:
        policy = _network(str(policy), options or {}, env, settings)
    wanted = LanguageModelPolicy if is_text else NetworkPolicy
    if not isinstance(policy, wanted):
        raise ValueError(f"policy: must be a {wanted.__name__} for this environment, got a {type(policy).__name__}")
    if isinstance(policy, NetworkPolicy):
        _check_network(policy, env)
    adapted = isinstance(policy, LanguageModelPolicy) and policy.foundation is not None
    if isinstance(policy, LanguageModelPolicy):
        _check_lora(policy, settings)
        bound_memory(policy, settings)
    if settings.lr is None:
        settings = replace(settings, lr=default_learning_rate(policy.parameters, adapted))
    return policy, settings


def bound_memory(policy: LanguageModelPolicy, settings: AgentSettings) -> None:
    """Have a policy's forward passes go by the settings."""
    policy.logits_at_once = settings.logits_at_once
    policy.gradient_checkpointing = settings.gradient_checkpointing
    policy.share_prompts = settings.share_prompts


def reference_of(
    policy: Policy, initial: Policy | None, settings: AgentSettings, processes: Processes
) -> Policy | None:
    """Return what a KL term compares with, if there is one; if both are to be in shards, they are from here on.

    Args:
        policy: The policy that is trained.
        initial: What to compare with; None is the policy as it is now.
        settings: The agent's settings.
        processes: Those that train together.

    Raises:
        ValueError: If something is to be in shards, but the policy is a small network, or if there is something to
            compare with that is not of the policy's kind, or no KL term.
    """
    reference = None
    if initial is not None:
        reference = _frozen(initial, policy, settings)
    elif settings.kl > 0:
        reference = policy.reference()
    chosen = chosen_sharding(settings.sharding, processes.size)
    if chosen != "none" and isinstance(policy, NetworkPolicy):
        raise ValueError(f"sharding: must be none for small networks, which every process has as a whole, got {chosen}")
    if chosen == "fsdp":
        _shard(policy, reference, processes)
    return reference


def _frozen(initial: Policy, policy: Policy, settings: AgentSettings) -> Policy:
    if settings.kl == 0:
        raise ValueError(f"initial: must be left out where no KL term compares with it (kl=0), got {initial!r}")
    if type(initial) is not type(policy):
        raise ValueError(f"initial: must be a {type(policy).__name__}, as the policy is, got {initial!r}")
    initial.model.requires_grad_(False)
    if isinstance(initial, LanguageModelPolicy):
        bound_memory(initial, settings)
    return initial


def _shard(policy: Policy, reference: Policy | None, processes: Processes) -> None:
    policy.shard(processes)
    if isinstance(policy, LanguageModelPolicy) and isinstance(reference, LanguageModelPolicy):
        if reference.model is policy.model:  # the policy without its adapter
            reference.shards = policy.shards
        else:
            reference.shard(processes)


def policy_config(policy: Policy) -> dict[str, Any]:
    """Return what a settings file says of `policy`."""
    options = {"hidden": list(policy.config.hidden)} if isinstance(policy, NetworkPolicy) else {}
    return {"policy": policy.name, "policy_options": options}


def _with_lora(policy: LanguageModelPolicy, settings: AgentSettings) -> LanguageModelPolicy:
    """Return a policy that trains new adapters on `policy`."""
    rank, alpha = settings.lora_rank, settings.lora_alpha
    assert rank is not None
    model = adapters.add_lora(policy.model, rank, alpha or 2.0 * rank, settings.lora_targets, settings.seed)
    base = str(Path(policy.name).resolve()) if Path(policy.name).exists() else policy.name
    foundation = adapters.Foundation(base=base, neutral=True)
    return LanguageModelPolicy(model, policy.tokenizer, policy.name, policy.precision, foundation)


def _check_lora(policy: LanguageModelPolicy, settings: AgentSettings) -> None:
    if settings.lora_rank is None:
        return
    ranks = [getattr(c, "r", None) for c in policy.model.peft_config.values()] if policy.foundation else []
    if ranks != [settings.lora_rank]:
        has = f"adapters of rank {ranks}" if ranks else "none"
        raise ValueError(
            "lora_rank: must be left out where the policy is an object or a folder with adapters, which stay what they "
            f"are, got {settings.lora_rank}, and the policy has {has}"
        )


def _network(kind: str, options: Mapping[str, Any], env: gym.Env[Any, Any], settings: AgentSettings) -> NetworkPolicy:
    if kind not in KINDS:
        raise ValueError(unknown_name("policy of a stepped environment", kind, KINDS))
    for name in options:
        if name != "hidden":
            raise ValueError(unknown_name(f"option of policy {kind!r}", name, ["hidden"]))
    hidden = options.get("hidden", DEFAULT_HIDDEN)
    if not isinstance(hidden, list | tuple) or not all(isinstance(width, int) and width > 0 for width in hidden):
        raise ValueError(f"hidden: must be a list of widths of at least 1, got {hidden!r}")
    device = "cpu" if settings.device == "auto" else settings.device  # small networks gain nothing from a GPU
    width, actions = _sizes(env)
    config = NetworkConfig(kind=kind, features=width, actions=actions, hidden=tuple(hidden))
    return NetworkPolicy(config, settings.seed, pick_device(device))


def _sizes(env: gym.Env[Any, Any]) -> tuple[int, int]:
    """Numbers of features and actions that a network has in an environment."""
    return make_encoder(env.observation_space)[1], int(discrete_actions(env).n)


def _check_network(policy: NetworkPolicy, env: gym.Env[Any, Any]) -> None:
    needed = _sizes(env)
    if (policy.config.features, policy.config.actions) != needed:
        raise ValueError(
            f"policy: must read {needed[0]} features and choose among {needed[1]} actions in this environment, got a "
            f"network with {policy.config.features} and {policy.config.actions}"
        )
