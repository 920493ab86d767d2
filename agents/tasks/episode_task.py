"""Training a small network in any MO-Gymnasium environment with discrete actions.

Shapes: B episodes, T steps, D features, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paretune.agents.policies.network import NetworkPolicy
from paretune.agents.seeds import torch_seed
from paretune.agents.sequences.steps import Episodes, Steps
from paretune.agents.settings import AgentSettings
from paretune.agents.spaces import objective_count
from paretune.agents.tasks.env_copies import EnvCopies, GymCopies, TokenCopies
from paretune.envs import Split, TokenEnv

Array = NDArray[np.float64]

SPLIT_SIZE = 32
"""Starts of each split that policies are evaluated on."""

FIRST_SEED = {"validation": 0, "test": SPLIT_SIZE, "train": 2 * SPLIT_SIZE}
"""Least reset seed of each split; all from that of "train" on are for training."""

_ONLY_POSSIBLE: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("sampler", ("transformers",)),
    ("top_p", (1.0,)),
    ("stop", ((),)),
    ("precision", ("float32", "auto")),
    ("lora_rank", (None,)),
    ("gradient_checkpointing", (False,)),
)
"""What settings of language models must be for a network."""

LONGEST = 1000
"""Most steps of an episode where neither the environment nor the settings say."""


class EpisodeTask:
    """A stepped environment and a network: a start is the seed of a reset, a decision an action.

    Episodes of a group start from the same seed. Evaluation uses seeds that training never does.
    """

    unit = "env_steps"

    def __init__(self, env: gym.Env[Any, Any], policy: NetworkPolicy, settings: AgentSettings) -> None:
        """Put environment and policy together.

        Raises:
            ValueError: If the environment cannot be copied, or a setting is for language models only.
        """
        for name, possible in _ONLY_POSSIBLE:
            if getattr(settings, name) not in possible:
                raise ValueError(
                    f"{name}: must be {possible[0]!r} for a network policy, got {getattr(settings, name)!r}"
                )
        self._policy, self._settings = policy, settings
        self._copies = copies_of(env)
        self.objectives = objective_names(env)
        self.reported: tuple[str, ...] = ()
        self.longest = settings.max_new_tokens or _steps_at_most(env)

    def starts(self, split: Split, limit: int | None = None) -> list[int]:
        """Return the reset seeds of a split, the first `limit`."""
        first = FIRST_SEED[split]
        return list(range(first, first + SPLIT_SIZE))[:limit]

    def draw(self, n: int, rng: np.random.Generator) -> list[int]:
        """Draw `n` reset seeds to train from."""
        return rng.integers(FIRST_SEED["train"], 2**31, size=n).tolist()

    def act(self, starts: Sequence[int], rng: np.random.Generator, *, greedy: bool = False) -> Episodes:
        """Play B episodes, as many at a time as the setting `sample_batch` says."""
        size = self._settings.sample_batch
        parts = [self._play(starts[i : i + size], rng, greedy) for i in range(0, len(starts), size)]
        return Episodes.concatenate(parts)

    def returns(self, outcome: Episodes, *, held_out: bool = False) -> Array:
        """Return the episodes' discounted returns (B, K)."""
        return self._discounted(outcome).sum(axis=1)

    def report(self, outcome: Episodes) -> Array:
        """Return nothing (B, 0): stepped environments have no objectives for evaluation only."""
        return np.zeros((len(outcome.rewards), 0))

    def credit(self, outcome: Episodes, returns: Array) -> Array:
        """Return what each step's action can still change: the discounted rewards from it on (B, T, K).

        Discounts count from the episode's start, as in the gradient of the discounted return. With the setting
        credit="episode", all steps share the episode's return (B, 1, K).
        """
        if self._settings.credit == "episode":
            return returns[:, None]
        return np.flip(np.cumsum(np.flip(self._discounted(outcome), axis=1), axis=1), axis=1)

    def counts(self) -> dict[str, int]:
        """Return nothing: there are no counts."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Return nothing: every episode starts from its seed alone."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Do nothing."""

    def _discounted(self, outcome: Episodes) -> Array:
        return outcome.rewards * (self._settings.gamma ** np.arange(outcome.rewards.shape[1]))[:, None]

    def _play(self, seeds: Sequence[int], rng: np.random.Generator, greedy: bool) -> Episodes:
        temperature = 1.0 if greedy else self._settings.temperature
        features: list[Tensor] = []
        chosen, log_probs, mask, rewards = [], [], [], []
        seen = torch.as_tensor(self._copies.reset(seeds), device=self._policy.device)
        over, memory = np.zeros(len(seeds), dtype=bool), None
        with torch_seed(rng, self._policy.device), torch.no_grad():
            while len(features) < self.longest and not over.all():
                logits, memory = self._policy.step(seen, memory)
                log_probs_BA = (logits / temperature).log_softmax(-1)
                actions = log_probs_BA.argmax(1) if greedy else log_probs_BA.exp().multinomial(1)[:, 0]
                after, rewards_BK, ended = self._copies.step(actions.cpu().numpy())
                features.append(seen)
                chosen.append(actions)
                log_probs.append(log_probs_BA.gather(1, actions[:, None])[:, 0])
                mask.append(~over)
                rewards.append(np.where(over[:, None], 0.0, rewards_BK))
                seen, over = torch.as_tensor(after, device=self._policy.device), over | ended
        mask_BT = torch.as_tensor(np.stack(mask, axis=1), device=self._policy.device)
        steps = Steps(
            features=torch.stack(features, dim=1),
            actions=torch.stack(chosen, dim=1) * mask_BT,
            mask=mask_BT,
            log_probs=torch.stack(log_probs, dim=1) * mask_BT,
        )
        return Episodes(np.stack(rewards, axis=1), steps)


def copies_of(env: gym.Env[Any, Any]) -> EnvCopies:
    """Return what steps many copies of `env` together."""
    return TokenCopies(env) if isinstance(env, TokenEnv) else GymCopies(env)


def objective_names(env: gym.Env[Any, Any]) -> tuple[str, ...]:
    """Return the names that the environment gives its objectives, else objective_0, objective_1, ..."""
    k = objective_count(env)
    named = getattr(env.unwrapped, "objectives", ())
    if isinstance(named, list | tuple) and len(named) == k and all(isinstance(name, str) for name in named):
        return tuple(named)
    return tuple(f"objective_{i}" for i in range(k))


def _steps_at_most(env: gym.Env[Any, Any]) -> int:
    if isinstance(env, TokenEnv):
        return env.length
    return (env.spec and env.spec.max_episode_steps) or LONGEST
