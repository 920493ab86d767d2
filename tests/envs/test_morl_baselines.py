"""The agents of morl-baselines train on the token environments as they are, and what they find is inside the front."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.envs.morl import REFERENCE, STEPS, assert_inside, random_share, share, small_env

pytest.importorskip("morl_baselines", reason='needs morl-baselines: pip install "paretune[morl]"')
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_an_empty_folder")]

WEIGHTS = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
SEED = 0


def returns_by_weights(agent: Any, env: Any, weights: Sequence[Any] = WEIGHTS) -> list[Any]:
    """Undiscounted returns of the agent's greedy policy for each of the weights."""
    from morl_baselines.common.evaluation import eval_mo

    return [eval_mo(agent, env, w)[2] for w in weights]


def assert_finite(network: torch.nn.Module) -> None:
    assert all(parameter.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", ["Convex", "Concave"])
def test_pql_reaches_four_fifths_of_the_front(shape: str, seed: int) -> None:
    from morl_baselines.multi_policy.pareto_q_learning.pql import PQL

    env = small_env(shape, 6, 6, seed, observation="multi_discrete")
    agent = PQL(env, np.full(2, -6.0), gamma=1.0, epsilon_decay_steps=1500, final_epsilon=0.1, seed=seed, log=False)
    promised = agent.train(STEPS, eval_env=env)
    assert np.isfinite(agent.avg_reward).all()
    assert_inside(env, promised)
    found = assert_inside(env, [agent.track_policy(point, env) for point in promised])
    assert share(env, found) >= 0.8 > 0.5 > random_share(env, seed)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", ["Convex", "Concave"])
def test_pcn_reaches_seven_tenths_of_the_front(shape: str, seed: int, in_an_empty_folder: Path) -> None:
    from morl_baselines.multi_policy.pcn.pcn import PCN

    env = small_env(shape, 4, 5, seed)
    torch.manual_seed(seed)
    agent = PCN(env, np.array([0.3, 0.3, 0.03]), learning_rate=3e-3, batch_size=128, seed=seed, log=False)
    agent.train(STEPS, env, REFERENCE, num_er_episodes=250, max_buffer_size=200, num_points_pf=10)
    assert_finite(agent.model)
    found = assert_inside(env, agent.evaluate(env, np.ones(2, dtype=np.float32), n=200)[0])
    assert share(env, found) >= 0.7
    assert [path.name for path in in_an_empty_folder.iterdir()] == ["weights"]  # it always saves there


def test_mo_q_learning_finds_the_best_text_for_its_weights() -> None:
    from morl_baselines.single_policy.ser.mo_q_learning import MOQLearning

    env = small_env(seed=SEED)
    agent = MOQLearning(env, learning_rate=0.3, gamma=1.0, initial_epsilon=1.0, final_epsilon=1.0, seed=SEED, log=False)
    agent.train(time.time(), 4000)
    assert all(np.isfinite(values).all() for values in agent.q_table.values())
    found = assert_inside(env, returns_by_weights(agent, env, [agent.weights]))
    best = max(agent.weights @ point for point in env.unwrapped.convex_front())
    assert agent.weights @ found[0] == pytest.approx(best)


@pytest.mark.parametrize(
    "options",
    [
        {"weight_selection_algo": "random"},
        {"weight_selection_algo": "ols", "epsilon_ols": 0.0},
        {"weight_selection_algo": "gpi-ls", "use_gpi_policy": True},
        {"weight_selection_algo": "gpi-ls", "use_gpi_policy": True, "dyna": True, "gpi_pd": True},
    ],
    ids=["random", "ols", "gpi-ls", "gpi-pd"],
)
def test_multi_policy_q_learning_finds_corners(options: dict[str, Any]) -> None:
    from morl_baselines.multi_policy.multi_policy_moqlearning.mp_mo_q_learning import MPMOQLearning

    env = small_env(seed=SEED)
    agent = MPMOQLearning(
        env, learning_rate=0.3, gamma=1.0, initial_epsilon=0.5, final_epsilon=0.5, seed=SEED, log=False, **options
    )
    agent.train(
        3000, env, REFERENCE, timesteps_per_iteration=1000, num_eval_weights_for_front=3, num_eval_episodes_for_front=1
    )
    found = assert_inside(env, agent.linear_support.ccs)
    corners = np.array(env.unwrapped.convex_front())
    distances = np.abs(found[:, None] - corners).max(axis=2).min(axis=1)
    assert len(found) >= 2 and distances.max() < 1e-5


def test_envelope_finds_a_part_of_the_front() -> None:
    from morl_baselines.multi_policy.envelope.envelope import Envelope

    env = small_env(seed=SEED)
    agent = Envelope(
        env,
        learning_rate=1e-3,
        initial_epsilon=1.0,
        final_epsilon=0.1,
        epsilon_decay_steps=500,
        target_net_update_freq=50,
        buffer_size=1000,
        net_arch=[64, 64],
        batch_size=64,
        gamma=1.0,
        seed=SEED,
        log=False,
    )
    agent.train(750, num_eval_weights_for_front=2)
    assert_finite(agent.q_net)
    assert share(env, assert_inside(env, returns_by_weights(agent, env))) > 0.3


@pytest.mark.parametrize("name", ["GPILS", "GPIPD"])
def test_gpi_finds_a_part_of_the_front(name: str) -> None:
    from morl_baselines.multi_policy.gpi_pd import gpi_pd

    env = small_env(seed=SEED)
    model = {"dynamics_net_arch": [32, 32], "dynamics_ensemble_size": 2} if name == "GPIPD" else {}
    agent = getattr(gpi_pd, name)(
        env,
        learning_rate=1e-3,
        initial_epsilon=1.0,
        final_epsilon=0.1,
        epsilon_decay_steps=500,
        target_net_update_freq=50,
        buffer_size=1000,
        net_arch=[64, 64],
        batch_size=64,
        gamma=1.0,
        seed=SEED,
        log=False,
        **model,
    )
    options = {"num_eval_weights_for_front": 2, "num_eval_episodes_for_front": 1, "checkpoints": False}
    agent.train(750, env, REFERENCE, timesteps_per_iter=250, **options)
    for network in agent.q_nets:
        assert_finite(network)
    assert share(env, assert_inside(env, returns_by_weights(agent, env))) > 0.3


def test_lcn_finds_a_fair_text() -> None:
    from morl_baselines.multi_policy.lcn.lcn import LCN

    env = small_env(seed=SEED)
    agent = LCN(env, np.array([1.0, 1.0, 0.25]), learning_rate=3e-3, batch_size=64, seed=SEED, log=False)
    agent.train(1500, env, REFERENCE, num_er_episodes=50, num_model_updates=30, max_buffer_size=50, num_points_pf=5)
    assert_finite(agent.model)
    found = assert_inside(env, agent.evaluate(env, np.ones(2, dtype=np.float32), n=20)[0])
    assert found.min(axis=1).max() > 0.6  # the two middle styles are worth at least 0.62 to both objectives


def test_morl_d_gathers_texts_of_several_weights() -> None:
    from morl_baselines.multi_policy.morld.morld import MORLD

    env, evaluation = small_env(seed=SEED), small_env()
    policy = {
        "learning_starts": 200,
        "batch_size": 64,
        "buffer_size": 10_000,
        "net_arch": [64, 64],
        "policy_lr": 1e-3,
        "update_frequency": 1,
        "target_net_freq": 20,
        "autotune": False,
        "alpha": 0.02,
    }
    agent = MORLD(
        env,
        policy_name="MOSACDiscrete",
        policy_args=policy,
        gamma=1.0,
        pop_size=3,
        seed=SEED,
        exchange_every=500,
        update_passes=0,
        log=False,
    )
    agent.train(6000, evaluation, REFERENCE, num_eval_episodes_for_front=1, checkpoints=False)
    found = assert_inside(env, agent.archive.evaluations, mixed=True)  # means over five episodes
    assert share(env, found) > 0.3


@pytest.mark.parametrize("name", ["ipro", "ipro_2d"])
def test_ipro_finds_texts_beside_the_extreme_ones(name: str) -> None:
    from mo_gymnasium.wrappers.vector import MOSyncVectorEnv
    from morl_baselines.multi_policy.ipro import ipro, ipro_2d

    agent_class = ipro.IPRO if name == "ipro" else ipro_2d.IPRO2D
    agent = agent_class(
        MOSyncVectorEnv([small_env] * 4),
        offset=0.1,
        tolerance=0.05,
        max_iterations=2,
        reset_agent=True,
        iter_total_timesteps=2048,
        learning_rate=3e-3,
        num_steps=32,
        gamma=1.0,
        seed=SEED,
    )
    env = small_env()
    agent.train(env, REFERENCE, deterministic=True)
    assert share(env, assert_inside(env, agent.get_pareto_front())) > 0.3


def test_nlmoppo_improves_a_utility_that_is_not_linear() -> None:
    from mo_gymnasium.wrappers.vector import MOSyncVectorEnv
    from morl_baselines.single_policy.ser.nl_mo_ppo import NLMOPPO

    env, envs = small_env(), MOSyncVectorEnv([small_env] * 4)
    agent = NLMOPPO(0, envs, total_timesteps=4096, learning_rate=3e-3, num_steps=32, gamma=1.0, seed=SEED)
    found = assert_inside(env, [agent.train(env, torch.min, deterministic=True)])
    assert_finite(agent.agent)
    assert found.min() > 0.6


@pytest.mark.parametrize("observation", ["one_hot", "multi_discrete"])
def test_eupg_learns_a_utility_of_the_return(observation: str) -> None:
    from morl_baselines.common.evaluation import eval_mo_reward_conditioned
    from morl_baselines.single_policy.esr.eupg import EUPG

    def total(rewards: Any, weights: Any = None) -> Any:
        return rewards.sum(-1)

    env = small_env(seed=SEED, observation=observation)
    agent = EUPG(env, total, gamma=1.0, learning_rate=1e-2, seed=SEED, log=False)
    agent.train(3000)
    assert_finite(agent.net)
    found = assert_inside(env, [eval_mo_reward_conditioned(agent, env, total)[2] for _ in range(20)])
    texts = np.random.default_rng(SEED).integers(4, size=(1000, 4))
    assert found.sum(axis=1).mean() > env.unwrapped.returns(texts).sum(axis=1).mean() + 0.5
