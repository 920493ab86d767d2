"""Episodes of stepped environments: copies, seeds, returns and credit."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import mo_gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from paretune.agents import AgentSettings, NetworkConfig, NetworkPolicy
from paretune.agents.sequences.steps import Episodes
from paretune.agents.tasks.env_copies import GymCopies, TokenCopies
from paretune.agents.tasks.episode_task import EpisodeTask
from paretune.envs import DeceptiveEnv, StyleEnv


class Walk(gym.Env[int, int]):
    """Starts at 1 to 3, as the seed says; action 5 goes down, 6 stays; rewards (position, action); over at 0."""

    observation_space = Discrete(4)
    action_space = Discrete(2, start=5)
    reward_space = Box(0, 6, (2,), np.float32)
    position = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = int(self.np_random.integers(1, 4))
        return self.position, {}

    def step(self, action: int) -> tuple[int, Any, bool, bool, dict[str, Any]]:
        assert action in self.action_space and self.position > 0
        reward = np.array([self.position, action], dtype=np.float32)
        self.position -= int(action == 5)
        return self.position, reward, self.position == 0, False, {}


def policy_for(env: gym.Env[Any, Any], features: int) -> NetworkPolicy:
    actions = int(env.action_space.n)  # type: ignore[attr-defined]
    return NetworkPolicy(NetworkConfig(kind="mlp", features=features, actions=actions, hidden=(8,)))


def walk_task(**settings: Any) -> EpisodeTask:
    return EpisodeTask(Walk(), policy_for(Walk(), 4), AgentSettings(**{"max_new_tokens": 20, **settings}))


@pytest.mark.parametrize("observation", ["one_hot", "multi_discrete"])
def test_copies_of_texts_in_arrays_are_copies_one_by_one(observation):
    env = DeceptiveEnv(5, 6, observation=observation)
    fast, slow = TokenCopies(env), GymCopies(env)
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(fast.reset([1, 2, 3]), slow.reset([1, 2, 3]))
    for t in range(6):
        actions = rng.integers(5, size=3)
        (seen, rewards, over), (expected, expected_rewards, expected_over) = fast.step(actions), slow.step(actions)
        np.testing.assert_array_equal(seen, expected)
        np.testing.assert_allclose(rewards, expected_rewards)
        assert over.tolist() == expected_over.tolist() == [t == 5] * 3


def test_copies_whose_episode_is_over_wait():
    copies = GymCopies(Walk())
    starts = copies.reset([0, 1, 2, 3, 4, 5, 6, 7]).argmax(1)
    assert len(set(starts)) > 1
    for t in range(1, 4):
        _, rewards, over = copies.step(np.zeros(8, dtype=np.int64))
        assert over.tolist() == (starts <= t).tolist()
        np.testing.assert_array_equal(rewards[:, 0], np.maximum(starts - t + 1, 0))


def test_episodes_of_one_seed_start_alike_and_the_generator_decides_the_rest():
    task = walk_task()
    seeds = task.draw(3, np.random.default_rng(1))
    starts = [seed for seed in seeds for _ in range(4)]
    first, again, other = (task.act(starts, np.random.default_rng(r)) for r in (0, 0, 1))
    began = first.decisions.features[:, 0].reshape(3, 4, -1)
    assert (began == began[:, :1]).all()
    assert torch.equal(first.decisions.actions, again.decisions.actions)
    assert first.responses == again.responses != other.responses


def test_rewards_stop_with_the_episode():
    outcome = walk_task().act(list(range(100, 110)), np.random.default_rng(0))
    lengths = outcome.decisions.lengths
    assert len(set(lengths.tolist())) > 1
    for rewards, mask, n in zip(outcome.rewards, outcome.decisions.mask.numpy(), lengths, strict=True):
        assert mask.tolist() == [t < n for t in range(len(mask))]
        assert (rewards[:n, 0] > 0).all() and (rewards[n:] == 0).all()


def test_log_probabilities_are_those_of_the_policy():
    task = walk_task(temperature=0.7)
    outcome = task.act(list(range(100, 108)), np.random.default_rng(0))
    torch.testing.assert_close(task._policy.log_probs(outcome.decisions, 0.7), outcome.decisions.log_probs)


def test_returns_and_credit_by_hand():
    steps = walk_task().act([100], np.random.default_rng(0)).decisions
    outcome = Episodes(np.array([[[1.0, 0.0], [2.0, 4.0], [0.0, 8.0]]]), steps)
    task = walk_task(gamma=0.5)
    assert task.returns(outcome).tolist() == [[2.0, 4.0]]
    assert task.credit(outcome, task.returns(outcome)).tolist() == [[[2.0, 4.0], [1.0, 4.0], [0.0, 2.0]]]
    whole = walk_task(gamma=0.5, credit="episode")
    assert whole.credit(outcome, whole.returns(outcome)).tolist() == [[[2.0, 4.0]]]


def test_batches_do_not_change_evaluations():
    together = walk_task().act(list(range(10)), np.random.default_rng(0), greedy=True)
    parts = walk_task(sample_batch=3).act(list(range(10)), np.random.default_rng(0), greedy=True)
    assert together.responses == parts.responses
    np.testing.assert_array_equal(together.rewards, parts.rewards)


def test_splits_share_no_seed():
    task = walk_task()
    validation, test = set(task.starts("validation")), set(task.starts("test"))
    training = set(task.draw(10_000, np.random.default_rng(0))) | set(task.starts("train"))
    assert not validation & test and not training & (validation | test)
    assert task.starts("test", 2) == sorted(test)[:2]


def test_episodes_end_at_the_limit_that_is_known():
    assert walk_task(max_new_tokens=3).longest == 3
    assert walk_task(max_new_tokens=None).longest == 1000
    settings = AgentSettings()
    treasure = mo_gymnasium.make("deep-sea-treasure-v0")
    assert EpisodeTask(treasure, policy_for(treasure, 24), settings).longest == 100
    text = StyleEnv(4, 5)
    assert EpisodeTask(text, policy_for(text, 10), settings).longest == 5
    outcome = walk_task(max_new_tokens=3).act(list(range(50)), np.random.default_rng(0))
    assert outcome.rewards.shape[1] == 3
