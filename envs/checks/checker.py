"""Whether an environment keeps the contracts that wrappers, vectors and agents rely on."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import gymnasium as gym

from paretune.envs.checks.conformance import Breach, Case, ConformanceError, Rule
from paretune.envs.checks.copy_rules import COPY_RULES
from paretune.envs.checks.episode_rules import EPISODE_RULES
from paretune.envs.checks.text_rules import RESPONSE_RULES
from paretune.envs.checks.token_rules import TOKEN_RULES
from paretune.envs.suggest import unknown_name
from paretune.envs.text.response import ResponseEnv
from paretune.envs.tokens.token_env import TokenEnv


def check_env(
    env: gym.Env[Any, Any], *, seed: int = 0, episodes: int = 3, max_steps: int = 100, skip: Collection[str] = ()
) -> None:
    """Check an environment with vector rewards, and raise an error that names the first rule that it breaks.

    The rules, in this order:

        spaces         observation, action and reward space, `reward_dim` and `objectives` are there and fit together
        episodes       reset and step return what the spaces promise: fresh float32 rewards, Python bools
        gymnasium      Gymnasium's own checker accepts the environment with a scalar reward
        fresh rewards  writing into a reward changes no other: MO-Gymnasium's wrappers write in place
        determinism    the same seed and actions give the same episodes, in another instance as well
        pickle         a pickled copy behaves alike
        deepcopy       a deep copy behaves alike
        wrappers       LinearReward, MONormalizeReward, MOClipReward and MORecordEpisodeStatistics work
        vectors        MOSyncVectorEnv, and `gym.make_vec` where the id has an entry point for it, act like single ones

    For a `ResponseEnv` also:

        splits         prompts of the asked split, the same each time; no text in two splits
        samples        `sample_prompts` depends on its generator only, and draws from the environment's split
        scores         float32 (B, K) in [0, 1]; a batch scores like its members, `step` like `score`
        hostile texts  empty, huge, nested and odd responses get scores
        state          `state_dict` is JSON-able and complete; evaluation changes nothing in it
        reset options  an unknown option is refused, "prompt" sets the prompt

    For a `TokenEnv` also:

        token rewards  `rewards` is a pure function that broadcasts, within its bounds
        token steps    observations begin at index 0; steps and `returns` add up to the same
        fronts         `pareto_front` and `convex_front` are minimal, exact, and not beaten by random texts; fronts
                       that cost too much are left out

    Args:
        env: The environment; wrappers around it are taken off. It is played, and must be reset before it is used
            again; what its objectives have learned is put back.
        seed: Seed of everything that is drawn.
        episodes: Episodes that are played for each comparison, at least 1.
        max_steps: Steps after which an episode is left, at least 1.
        skip: Names of rules to leave out.

    Raises:
        ConformanceError: If a rule is broken: a ValueError with the rule, what was seen, and how to fix it.
        ValueError: If an argument is no environment, number or rule as described.

    Example:
        >>> from paretune.envs import make_env
        >>> check_env(make_env("paretune/TokenConvex-v0"))
    """
    if not isinstance(env, gym.Env):
        raise ValueError(f"env: must be a gymnasium.Env, got {env!r}")
    for name, number in {"episodes": episodes, "max_steps": max_steps}.items():
        if number < 1:
            raise ValueError(f"{name}: must be at least 1, got {number}")
    rules = _rules(env.unwrapped)
    for name in skip:
        if name not in ALL_RULES:
            raise ValueError(f"skip: {unknown_name('rule', name, ALL_RULES)}")
    case = Case(env.unwrapped, seed, episodes, max_steps)
    try:
        for name, rule in rules.items():
            if name not in skip:
                _apply(name, rule, case)
    finally:
        with suppress(Exception):  # where it fails, the rule "state" says so
            case.restore(case.env)


ALL_RULES: dict[str, Rule] = EPISODE_RULES | COPY_RULES | RESPONSE_RULES | TOKEN_RULES


def _rules(env: gym.Env[Any, Any]) -> dict[str, Rule]:
    rules = EPISODE_RULES | COPY_RULES
    if isinstance(env, ResponseEnv):
        rules = {"spaces": rules["spaces"], "state": RESPONSE_RULES["state"]} | rules | RESPONSE_RULES
    return rules | TOKEN_RULES if isinstance(env, TokenEnv) else rules


def _apply(name: str, rule: Rule, case: Case) -> None:
    """Apply a rule; whatever it raises, the error names it."""
    env = type(case.env).__name__
    try:
        rule(case)
    except Breach as breach:
        raise ConformanceError(name, f"{env}: {breach}") from None
    except Exception as error:
        raise ConformanceError(name, f"{env} raised {type(error).__name__}: {error}") from error
