"""Five agents of morl-baselines on a token environment, against its exact Pareto front.

    pip install "paretune[morl]"
    python examples/morl_baselines_agents.py

Trains PQL, PCN, GPI-LS, Envelope and multi-policy Q-learning for as many steps each, prints how much of the front's
hypervolume over zero the texts reach that their policies write, and draws them: morl_baselines_agents.png. The last
three agents follow linear weights: whatever they learn, on a concave or disconnected front the texts between the
corners of its convex hull are best for none of their weights.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import mo_gymnasium
import numpy as np
import tyro
from matplotlib.figure import Figure
from numpy.typing import NDArray

from paretune.weighting import ParetoArchive

Returns = list[NDArray[np.float64]]
ZERO = np.zeros(2)
EVALUATION = {"num_eval_weights_for_front": 2, "num_eval_episodes_for_front": 1}
"""Little, as tasks and greedy policies have nothing random."""


@dataclass(kw_only=True)
class Settings:
    """Settings of the example."""

    front: Literal["convex", "concave", "disconnected"] = "disconnected"
    """Shape of the front: TokenConvex-v0, TokenConcave-v0 or TokenDisconnected-v0."""
    vocabulary: int = 10
    """Tokens, which are styles of writing; at least 2."""
    length: int = 5
    """Tokens per text, which are steps per episode."""
    steps: int = 8000
    """Environment steps per agent."""
    seed: int = 0
    """Seed of all agents."""
    jobs: int = 2
    """Agents trained at the same time, one thread each."""
    out: Path = Path("runs/morl_baselines_agents")
    """Folder for the picture."""


def make(settings: Settings, **options: Any) -> Any:
    """Make the environment."""
    name = f"paretune.envs:paretune/Token{settings.front.capitalize()}-v0"
    env = mo_gymnasium.make(name, vocabulary=settings.vocabulary, length=settings.length, **options)
    env.action_space.seed(settings.seed)
    return env


def train_pql(settings: Settings) -> Returns:
    """Pareto Q-learning (Van Moffaert and Nowe 2014): a table of sets of returns; follows each that it found."""
    from morl_baselines.multi_policy.pareto_q_learning.pql import PQL

    env = make(settings, observation="multi_discrete")
    agent = PQL(
        env,
        ref_point=np.full(2, -float(settings.length)),
        gamma=1.0,
        epsilon_decay_steps=3 * settings.steps // 4,
        final_epsilon=0.1,
        seed=settings.seed,
        log=False,
    )
    return [agent.track_policy(point, env) for point in agent.train(settings.steps, eval_env=env)]


def train_pcn(settings: Settings) -> Returns:
    """Pareto Conditioned Networks (Reymond et al. 2022): imitates its best texts, told the return that they had."""
    from morl_baselines.multi_policy.pcn.pcn import PCN

    env = make(settings)
    agent = PCN(env, np.array([1.0, 1.0, 0.03]), learning_rate=3e-3, batch_size=128, seed=settings.seed, log=False)
    texts = max(settings.steps // settings.length // 2, 4)
    agent.train(
        settings.steps,
        env,
        ZERO,
        num_er_episodes=texts,
        max_buffer_size=texts,
        num_step_episodes=5,
        num_model_updates=20,
        num_points_pf=4,
    )
    return list(agent.evaluate(env, np.ones(2, dtype=np.float32), n=texts)[0])


def deep_settings(settings: Settings) -> dict[str, Any]:
    """Return what the two agents with a Q network have in common."""
    return {
        "learning_rate": 1e-3,
        "initial_epsilon": 1.0,
        "final_epsilon": 0.1,
        "epsilon_decay_steps": settings.steps // 2,
        "target_net_update_freq": 50,
        "buffer_size": settings.steps,
        "net_arch": [128, 128],
        "batch_size": 128,
        "gradient_updates": 1,
        "gamma": 1.0,
        "seed": settings.seed,
        "log": False,
    }


def train_gpi_ls(settings: Settings) -> Returns:
    """GPI linear support (Alegre et al. 2023): a Q network, told weights that are picked where most is to be gained."""
    from morl_baselines.multi_policy.gpi_pd.gpi_pd import GPILS

    env = make(settings)
    agent = GPILS(env, **deep_settings(settings))
    per_iteration = max(settings.steps // 8, 1)
    agent.train(settings.steps, env, ZERO, timesteps_per_iter=per_iteration, checkpoints=False, **EVALUATION)
    return by_weights(agent, env)


def train_envelope(settings: Settings) -> Returns:
    """Envelope Q-learning (Yang et al. 2019): a Q network, told random weights."""
    from morl_baselines.multi_policy.envelope.envelope import Envelope

    env = make(settings)
    agent = Envelope(env, **deep_settings(settings))
    agent.train(settings.steps, num_eval_weights_for_front=2)
    return by_weights(agent, env)


def train_q_learning(settings: Settings) -> Returns:
    """Q-learning with a table for each of the weights that linear support (Roijers 2016) asks for."""
    from morl_baselines.multi_policy.multi_policy_moqlearning.mp_mo_q_learning import MPMOQLearning

    env = make(settings)
    agent = MPMOQLearning(
        env,
        learning_rate=1.0,
        gamma=1.0,
        initial_epsilon=0.5,
        final_epsilon=0.5,
        weight_selection_algo="ols",
        epsilon_ols=0.0,
        seed=settings.seed,
        log=False,
    )
    per_iteration = max(settings.steps // 8, 1)
    agent.train(settings.steps, env, ZERO, timesteps_per_iteration=per_iteration, **EVALUATION)
    return by_weights(agent, env)


def by_weights(agent: Any, env: Any, number: int = 33) -> Returns:
    """Return the returns of the texts that an agent writes for evenly spread weights."""
    from morl_baselines.common.evaluation import eval_mo

    return [eval_mo(agent, env, np.array([w, 1 - w]))[2] for w in np.linspace(0.0, 1.0, number)]


@dataclass(frozen=True, slots=True)
class Agent:
    """How an agent is trained and drawn."""

    train: Callable[[Settings], Returns]
    marker: str
    colour: str


AGENTS = {
    "PQL": Agent(train_pql, "o", "#0072B2"),
    "PCN": Agent(train_pcn, "s", "#D55E00"),
    "GPI-LS": Agent(train_gpi_ls, "^", "#009E73"),
    "Envelope": Agent(train_envelope, "v", "#CC79A7"),
    "Q-learning, OLS": Agent(train_q_learning, "D", "#E69F00"),
}


def run(name: str, settings: Settings) -> tuple[ParetoArchive, float]:
    """Train one agent; return the best returns of its texts, over zero, and the seconds that it took.

    In an empty folder, as PCN saves its network wherever it runs, and without the lines that the agents print.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(settings.seed)
    np.random.seed(settings.seed)
    random.seed(settings.seed)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        returns = AGENTS[name].train(settings)
    return best(returns), time.perf_counter() - start


def best(returns: Returns) -> ParetoArchive:
    """Return those that no other dominates; equal up to six decimals is equal."""
    archive = ParetoArchive(ZERO)
    for point in np.round(np.array(returns, dtype=np.float64), 6):
        archive.add(point)
    return archive


def random_search(settings: Settings) -> ParetoArchive:
    """Return the best returns of random texts, for as many steps as an agent has."""
    env = make(settings).unwrapped
    shape = (max(settings.steps // settings.length, 1), settings.length)
    return best(list(env.returns(np.random.default_rng(settings.seed).integers(settings.vocabulary, size=shape))))


def draw(
    found: dict[str, ParetoArchive], exact: ParetoArchive, corners: Returns, objectives: tuple[str, ...]
) -> Figure:
    """Return a picture: a panel for each agent, what it found over the exact front and the corners of its hull."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    *panels, last = figure.subplots(2, 3, sharex=True, sharey=True).flat
    handles: list[Any] = []
    for panel, (name, archive) in zip(panels, found.items(), strict=True):
        share = archive.hypervolume() / exact.hypervolume()
        (front,) = panel.plot(*exact.front.T, "o", color="0.75", markersize=8)
        (corner,) = panel.plot(*np.array(corners).T, "o", color="0.3", markersize=15, fillstyle="none")
        handles += panel.plot(*archive.front.T, AGENTS[name].marker, color=AGENTS[name].colour, markersize=6)
        panel.set_title(f"{name}: {share:.0%} of the hypervolume", fontsize=10)
        panel.grid(color="0.93")
    panels[2].tick_params(labelbottom=True)
    last.axis("off")
    labels = ["exact front", "corner of its convex hull", *(f"found by {name}" for name in found)]
    last.legend([front, corner, *handles], labels, loc="center", frameon=False, labelspacing=1.2)
    figure.supxlabel(f"return: {objectives[0]}", fontsize=10)
    figure.supylabel(f"return: {objectives[1]}", fontsize=10)
    return figure


def main(settings: Settings) -> None:
    """Train the agents, print a table and draw the picture."""
    env = make(settings).unwrapped
    exact, corners = best(env.pareto_front()), env.convex_front()
    with ProcessPoolExecutor(settings.jobs, mp_context=get_context("spawn")) as pool:
        jobs = {name: pool.submit(run, name, settings) for name in AGENTS}
        results = {name: job.result() for name, job in jobs.items()}
    print(f"{'agent':<16} {'share of the hypervolume':>24} {'points found':>13} {'seconds':>8}")
    rows = [("random texts", random_search(settings), 0.0), ("corners only", best(corners), 0.0)]
    for name, archive, seconds in rows + [(name, *result) for name, result in results.items()]:
        count = sum(np.abs(exact.front - point).max(axis=1).min() < 1e-4 for point in archive.front)
        share = archive.hypervolume() / exact.hypervolume()
        print(f"{name:<16} {share:>24.3f} {count:>7} of {len(exact):>2} {seconds:>8.0f}")
    settings.out.mkdir(parents=True, exist_ok=True)
    path = settings.out / "morl_baselines_agents.png"
    found = {name: archive for name, (archive, _) in results.items()}
    draw(found, exact, corners, env.objectives).savefig(path, dpi=150)
    print(path)


if __name__ == "__main__":
    if importlib.util.find_spec("morl_baselines") is None:
        sys.exit('This example needs morl-baselines: pip install "paretune[morl]"')
    main(tyro.cli(Settings, description=__doc__))
