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
from collections.abc import Callable, Sequence
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
from pymoo.util.ref_dirs import get_reference_directions

from paretune.weighting import ParetoArchive

Returns = list[NDArray[np.float64]]
EVALUATION = {"num_eval_weights_for_front": 3, "num_eval_episodes_for_front": 1}
"""Little, as tasks and greedy policies have nothing random; 3 weights are enough to have one for each objective."""


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


def train_pql(env: Any, twin: Any, steps: int, seed: int, **options: Any) -> Returns:
    """Pareto Q-learning (Van Moffaert and Nowe 2014): a table of sets of returns; follows each that it found."""
    from morl_baselines.multi_policy.pareto_q_learning.pql import PQL

    chosen: dict[str, Any] = {
        "ref_point": np.full(env.unwrapped.reward_dim, -float(env.unwrapped.length)),
        "epsilon_decay_steps": 3 * steps // 4,
        "final_epsilon": 0.1,
    }
    agent = PQL(env, gamma=1.0, seed=seed, log=False, **chosen | options)
    return [agent.track_policy(point, twin) for point in agent.train(steps, eval_env=twin)]


def train_pcn(
    env: Any,
    twin: Any,
    steps: int,
    seed: int,
    *,
    random_share: float = 0.5,
    buffer: int | None = None,
    texts: int = 5,
    updates: int = 20,
    scaling: float = 1.0,
    **options: Any,
) -> Returns:
    """Pareto Conditioned Networks (Reymond et al. 2022): imitates its best texts, told the return that they had.

    Args:
        env: What it is trained in.
        twin: What it is evaluated in.
        steps: Environment steps.
        seed: Seed of the agent.
        random_share: Share of the steps that go into random texts at the start.
        buffer: Texts that it keeps; None is as many as there are random ones.
        texts: Texts that it writes between updates.
        updates: Updates between texts.
        scaling: Factor of the returns that it reads.
        **options: Further arguments of the agent.
    """
    from morl_baselines.multi_policy.pcn.pcn import PCN

    k, length = env.unwrapped.reward_dim, env.unwrapped.length
    chosen: dict[str, Any] = {"learning_rate": 3e-3, "batch_size": 128}
    agent = PCN(env, np.array([scaling] * k + [0.03]), seed=seed, log=False, **chosen | options)
    first = max(int(random_share * steps) // length, 4)
    agent.train(
        steps,
        twin,
        np.zeros(k),
        num_er_episodes=first,
        max_buffer_size=buffer or first,
        num_step_episodes=texts,
        num_model_updates=updates,
        num_points_pf=4,
    )
    return list(agent.evaluate(twin, np.ones(k, dtype=np.float32), n=len(agent.experience_replay))[0])


def deep_options(steps: int) -> dict[str, Any]:
    """Return what the two agents with a Q network have in common."""
    return {
        "learning_rate": 1e-3,
        "initial_epsilon": 1.0,
        "final_epsilon": 0.1,
        "epsilon_decay_steps": steps // 2,
        "target_net_update_freq": 50,
        "buffer_size": steps,
        "net_arch": [128, 128],
        "batch_size": 128,
        "gradient_updates": 1,
        "gamma": 1.0,
        "log": False,
    }


def update_every(agent: Any, every: int) -> None:
    """Have an agent with a Q network skip updates: one in so many steps is left."""
    update = agent.update

    def sometimes(*arguments: Any) -> None:
        if agent.global_step % every == 0:
            update(*arguments)

    agent.update = sometimes


def train_gpi_ls(
    env: Any, twin: Any, steps: int, seed: int, *, every: int = 1, iterations: int = 8, **options: Any
) -> Returns:
    """GPI linear support (Alegre et al. 2023): a Q network, told weights that are picked where most is to be gained."""
    from morl_baselines.multi_policy.gpi_pd.gpi_pd import GPILS

    agent = GPILS(env, seed=seed, **deep_options(steps) | options)
    update_every(agent, every)
    zero = np.zeros(env.unwrapped.reward_dim)
    agent.train(steps, twin, zero, timesteps_per_iter=max(steps // iterations, 1), checkpoints=False, **EVALUATION)
    return by_weights(agent, twin)


def train_envelope(env: Any, twin: Any, steps: int, seed: int, *, every: int = 1, **options: Any) -> Returns:
    """Envelope Q-learning (Yang et al. 2019): a Q network, told random weights."""
    from morl_baselines.multi_policy.envelope.envelope import Envelope

    agent = Envelope(env, seed=seed, **deep_options(steps) | options)
    update_every(agent, every)
    agent.train(steps, num_eval_weights_for_front=100)
    return by_weights(agent, twin)


def train_q_learning(env: Any, twin: Any, steps: int, seed: int, **options: Any) -> Returns:
    """Q-learning with a table for each of the weights that linear support (Roijers 2016) asks for."""
    from morl_baselines.multi_policy.multi_policy_moqlearning.mp_mo_q_learning import MPMOQLearning

    chosen: dict[str, Any] = {
        "learning_rate": 1.0,
        "initial_epsilon": 0.5,
        "final_epsilon": 0.5,
        "weight_selection_algo": "ols",
        "epsilon_ols": 0.0,
    }
    agent = MPMOQLearning(env, gamma=1.0, seed=seed, log=False, **chosen | options)
    zero = np.zeros(env.unwrapped.reward_dim)
    agent.train(steps, twin, zero, timesteps_per_iteration=max(steps // 8, 1), **EVALUATION)
    return by_weights(agent, twin)


def by_weights(agent: Any, env: Any) -> Returns:
    """Return the returns of the texts that an agent writes for evenly spread weights: 33 for 2 objectives, 66 for 3."""
    from morl_baselines.common.evaluation import eval_mo

    k = env.unwrapped.reward_dim
    weights = get_reference_directions("das-dennis", k, n_partitions=32 if k == 2 else 10)
    return [eval_mo(agent, env, w)[2] for w in weights]


@dataclass(frozen=True, slots=True)
class Agent:
    """How an agent is trained and drawn."""

    train: Callable[..., Returns]
    marker: str
    colour: str
    observation: Literal["one_hot", "multi_discrete"] = "one_hot"


AGENTS = {
    "PQL": Agent(train_pql, "o", "#0072B2", "multi_discrete"),
    "PCN": Agent(train_pcn, "s", "#D55E00"),
    "GPI-LS": Agent(train_gpi_ls, "^", "#009E73"),
    "Envelope": Agent(train_envelope, "v", "#CC79A7"),
    "Q-learning, OLS": Agent(train_q_learning, "D", "#E69F00"),
}


def train(name: str, env: Any, twin: Any, steps: int, seed: int, **options: Any) -> Returns:
    """Train one agent and return the returns of the texts that it then writes.

    In an empty folder, as PCN saves its network wherever it runs, and without the lines that the agents print.

    Args:
        name: A key of `AGENTS`.
        env: A token environment with the observations that the agent wants.
        twin: Another one, to evaluate in.
        steps: Environment steps.
        seed: Seed of everything random but the environment's spaces.
        **options: What to set otherwise than the agent's function here does.
    """
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        return AGENTS[name].train(env, twin, steps, seed, **options)


def run(name: str, settings: Settings) -> tuple[ParetoArchive, float]:
    """Train one agent; return the best returns of its texts, over zero, and the seconds that it took."""
    env, twin = (make(settings, observation=AGENTS[name].observation) for _ in range(2))
    start = time.perf_counter()
    returns = train(name, env, twin, settings.steps, settings.seed)
    return best(returns), time.perf_counter() - start


def best(returns: Returns) -> ParetoArchive:
    """Return those that no other dominates; equal up to six decimals is equal."""
    archive = ParetoArchive(len(returns[0]))
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


def main(argv: Sequence[str] | None = None) -> int:
    """Train the agents, print a table and draw the picture."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    if importlib.util.find_spec("morl_baselines") is None:
        sys.exit('This example needs morl-baselines: pip install "paretune[morl]"')
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
