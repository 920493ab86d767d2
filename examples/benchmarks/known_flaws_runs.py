"""The training runs of known_flaws.py: arms that differ in one thing, and what is kept of each run.

Shapes: S steps, U optimizer updates, P prompts, G responses per prompt, K objectives, V validations, C coordinates: the
parameters that are watched.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from watching import put_in_place

from paretune.agents import GRPO
from paretune.agents.agent import Agent
from paretune.weighting import FixedWeighting, ParetoArchive, Weighting, make_weighting
from paretune.weighting.base import Weights

ENVIRONMENT = "paretune/Arithmetic-v0"
COORDINATES = 10_000


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way of training, told from `fixed` by what is set here.

    Attributes:
        weighting: Name of the strategy.
        options: Options of the strategy.
        changes: Settings of the agent.
        lr_factor: Factor of the learning rate.
    """

    weighting: str = "fixed"
    options: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    lr_factor: float = 1.0


ARMS = {
    "fixed": Arm(),
    "fixed, nudged": Arm(lr_factor=1 + 1e-6),
    "hypervolume, published": Arm(weighting="hypervolume", options={"exact_paper": True}),
    "hypervolume, corrected": Arm(weighting="hypervolume"),
    "fixed, doubled": Arm(weighting="doubled"),
    "fixed, gradients clipped to 0.1": Arm(changes={"max_grad_norm": 0.1}),
    "fixed, PPO clip 0.02": Arm(changes={"clip": 0.02}),
    "fixed, twice the learning rate": Arm(lr_factor=2.0),
}
SHARED: dict[str, Any] = {"max_grad_norm": 0.0, "clip": 0.2}
"""What all arms share unless they change it; 0 is no clipping of gradients."""


@dataclass(eq=False)
class Doubled(FixedWeighting):
    """The preference times 2, behind the normalisation of the advantages, in all steps."""

    name = "doubled"

    @property
    def weights(self) -> Weights:
        """Twice the preference (K,)."""
        return 2 * super().weights


class Watch:
    """Keeps what an agent is rewarded with, its gradients and its parameters.

    Attributes:
        rewards: Of each step (P, G, K).
        scales: The weights' sum in each step.
        clip_fractions: Share of tokens whose gradient the PPO clip cut off, of each step.
        norms: Of the gradients that the optimizer got, (U,).
        gradients: The same at the coordinates, U times (C,).
        parameters: Before the first and after each step, S + 1 times (C,).
    """

    def __init__(self, agent: Agent) -> None:
        """Watch `agent` through the functions that its training goes through."""
        self.rewards: list[NDArray[np.float64]] = []
        self.scales: list[float] = []
        self.clip_fractions: list[float] = []
        self.norms: list[float] = []
        self.gradients: list[NDArray[np.float32]] = []
        self._trained = agent.updater.trained
        number = sum(parameter.numel() for parameter in self._trained)
        self._chosen = np.sort(np.random.default_rng(0).permutation(number)[:COORDINATES])
        self.parameters = [self._flat(self._trained)[self._chosen]]
        self._weighting, self._update, self._on_rewards = (
            agent.weighting,
            agent.updater.update,
            agent.weighting.on_rewards,
        )
        agent.updater.optimizer.register_step_pre_hook(self._before_update)
        put_in_place(agent.updater, "update", self._watched_update)
        put_in_place(agent.weighting, "on_rewards", self._watched_rewards)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that was kept, by name."""
        names = ("rewards", "scales", "clip_fractions", "norms", "gradients", "parameters")
        return {name: np.array(getattr(self, name)) for name in names}

    def _flat(self, tensors: Sequence[Any]) -> NDArray[np.float32]:
        return np.concatenate([tensor.detach().cpu().numpy().ravel() for tensor in tensors])

    def _before_update(self, *_: Any) -> None:
        gradient = self._flat([parameter.grad for parameter in self._trained])
        self.norms.append(float(np.linalg.norm(gradient.astype(np.float64))))
        self.gradients.append(gradient[self._chosen])

    def _watched_update(self, *args: Any) -> dict[str, float]:
        statistics = self._update(*args)
        self.scales.append(self._weighting.scale)
        self.clip_fractions.append(statistics["clip_fraction"])
        self.parameters.append(self._flat(self._trained)[self._chosen])
        return statistics

    def _watched_rewards(self, rewards: Any) -> None:
        self.rewards.append(np.array(rewards))
        self._on_rewards(rewards)


def train_cell(settings: Any, arm_name: str, seed: int) -> dict[str, Any]:
    """Train one cell and return its numbers; a finished cell is read back.

    Returns:
        arm, seed, objectives, performances (V, K), validated steps (V,), archive's hypervolumes (V,), test
        performance (K,) of the last policy, seconds, and the file with the arrays of `Watch`.
    """
    import torch

    name = arm_name.replace(",", "").replace(" ", "-")
    finished, arrays = (Path(settings.runs) / f"{name}-{seed}{end}" for end in (".json", ".npz"))
    if finished.exists():
        return json.loads(finished.read_text())
    torch.set_num_threads(1)
    agent = make_agent(ARMS[arm_name], seed, settings)
    watch = Watch(agent)
    start = time.perf_counter()
    if agent.train(settings.steps).interrupted:
        raise KeyboardInterrupt  # the cell is not finished, and no other starts
    seconds = time.perf_counter() - start
    performances = [performance.tolist() for performance in agent.performances.values()]
    result = {
        "arm": arm_name,
        "seed": seed,
        "objectives": list(agent.objectives),
        "validated": list(agent.performances),
        "performances": performances,
        "hypervolumes": archive_hypervolumes(performances),
        "test": agent.assess("test", settings.eval_prompts).mean.tolist(),
        "seconds": seconds,
        "arrays": arrays.name,
    }
    finished.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arrays, **watch.arrays())
    finished.write_text(json.dumps(result))
    return result


def make_agent(arm: Arm, seed: int, settings: Any) -> Agent:
    """Return the agent of an arm: GRPO on Arithmetic with the embedded model and equal preferences."""
    weighting: Weighting = Doubled(3) if arm.weighting == "doubled" else make_weighting(arm.weighting, 3, **arm.options)
    return GRPO(
        ENVIRONMENT,
        "tiny-math",
        weighting,
        seed=seed,
        lr=settings.lr * arm.lr_factor,
        prompts_per_step=settings.prompts_per_step,
        group_size=settings.group_size,
        minibatches=settings.minibatches,
        eval_every=settings.eval_every,
        eval_prompts=settings.eval_prompts,
        **(SHARED | arm.changes),
    )


def archive_hypervolumes(performances: Sequence[Sequence[float]]) -> list[float]:
    """Return the hypervolume of the archive after each of the performances (V, K)."""
    archive = ParetoArchive(len(performances[0]))
    volumes = []
    for performance in performances:
        archive.add(performance)
        volumes.append(archive.hypervolume())
    return volumes
