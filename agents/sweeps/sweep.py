"""A sweep over preferences: one training run for each, and one archive of all.

Shapes: N preferences, K objectives.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretune.agents.agent import Agent
from paretune.agents.display import Display, SilentDisplay
from paretune.agents.files import remove, write_json
from paretune.agents.interrupt import stop_requests
from paretune.agents.pictures.sweep_picture import draw_sweep
from paretune.agents.policies.base import Policy
from paretune.agents.rules import Count, CountFromZero, check
from paretune.agents.runs.run_folder import RunFolder
from paretune.agents.sweeps.preferences import even_preferences, next_preference
from paretune.agents.tasks.catalog import env_config, resolve_env
from paretune.agents.tasks.episode_task import objective_names
from paretune.weighting import ParetoArchive
from paretune.weighting.archive import hypervolume

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SweepResult:
    """What a sweep led to; performances are on the validation split.

    Attributes:
        objectives: Names of the K objectives.
        preferences: What was trained for (N, K), in the order of training.
        performances: Performance of each run's last policy (N, K).
        steps: Training steps that each run has done (N,); a signal may have ended the last one early.
        archive: Pareto archive of all validations of all runs; tags are [run, step].
        exact: The environment's exact Pareto front (E, K), where it knows it.
        folder: Where the runs are, if anywhere.
        interrupted: Whether a signal ended the sweep before its last run.
    """

    objectives: tuple[str, ...]
    preferences: Array
    performances: Array
    steps: list[int]
    archive: ParetoArchive
    exact: Array | None
    folder: Path | None
    interrupted: bool

    @property
    def share_of_front(self) -> float | None:
        """The archive's share of the exact front's hypervolume, where that is known and above zero."""
        whole = 0.0 if self.exact is None else hypervolume(self.exact, self.archive.reference)
        return self.archive.hypervolume() / whole if whole > 0 else None


class Sweep:
    """Trains one agent for each of a set of preferences.

    A sweep with a folder is a folder of runs: what is finished there is not trained again, and an unfinished run goes
    on from its last checkpoint, bit for bit.

    Example:
        >>> from paretune.agents import RLOO
        >>> result = Sweep(RLOO, "paretune/TokenConvex-v0", steps=2, preferences=3, prompts_per_step=2).run()
        >>> result.preferences.tolist()
        [[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]
    """

    def __init__(
        self,
        agent: type[Agent],
        env: str | gym.Env,
        policy: str | Path | Policy | None = None,
        weighting: str = "fixed",
        *,
        steps: int,
        preferences: int | ArrayLike = 8,
        refine: int = 0,
        env_options: Mapping[str, Any] | None = None,
        out: str | Path | None = None,
        overwrite: bool = False,
        display: Callable[[], Display] = SilentDisplay,
        **arguments: Any,
    ) -> None:
        """Check everything, by making the first agent, before anything long starts.

        Args:
            agent: The kind of agent, such as GRPO.
            env: An environment or its id.
            policy: A policy or its name; each run starts from a copy of it.
            weighting: Name of the strategy, which gets each preference in turn.
            steps: Training steps of each run.
            preferences: Number of evenly spread preferences, or the preferences (N, K) themselves.
            refine: Runs after those, each halfway across the widest gap that the front has by then.
            env_options: Options of an environment given by id.
            out: Folder that the runs are written to; None writes nothing.
            overwrite: Replace a sweep that `out` already holds, instead of going on with it; nothing else is replaced.
            display: Makes what shows each run's progress.
            **arguments: Further arguments of the agent.

        Raises:
            ValueError: If a value breaks its rule, or the folder holds another sweep.
        """
        steps, refine = check("steps", steps, Count), check("refine", refine, CountFromZero)
        if not isinstance(weighting, str):
            raise ValueError(f"weighting: must be a name, as each run needs one of its own, got {weighting!r}")
        if "preference" in arguments:
            raise ValueError(
                f"preference: must be left to preferences, which a sweep takes, got {arguments['preference']}"
            )
        self.agent, self.policy, self.weighting = agent, policy, weighting
        self.steps, self.refine, self.display, self.arguments = steps, refine, display, arguments
        self.env = resolve_env(env, env_options)
        self._by_id = isinstance(env, str)
        self.objectives = objective_names(self.env)
        self.preferences = _preferences(preferences, len(self.objectives))
        self.folder = None if out is None else Path(out)
        self._reference = self._make(self.preferences[0], None).archive.reference
        if self.folder is not None:
            self._open(self.folder, overwrite)

    def run(self, on_run: Callable[[int, Array, Array], None] | None = None) -> SweepResult:
        """Train what is not yet trained.

        SIGINT (Ctrl-C) and SIGTERM end the sweep after the step under way; `run` again goes on with it.

        Args:
            on_run: Called after each run with its number from 0, its preference (K,) and its last performance (K,).

        Returns:
            The runs' results together.
        """
        trained: list[Array] = []
        performances: list[Array] = []
        steps: list[int] = []
        archive = ParetoArchive(self._reference)
        interrupted = False
        with stop_requests() as stop_requested:
            for number in range(len(self.preferences) + self.refine):
                preference = self._preference(number, trained, performances)
                if preference is None:  # all runs came to the same
                    break
                if interrupted := stop_requested():
                    break
                finished = self._train(number, preference)
                trained.append(preference)
                performances.append(finished.performances[max(finished.performances)])
                steps.append(finished.step)
                for step, performance in finished.performances.items():
                    archive.add(performance, tag=[number, step])
                if interrupted := finished.step < self.steps:
                    break
                if on_run is not None:
                    on_run(number, preference, performances[-1])
        exact = self._exact_front()
        result = SweepResult(
            self.objectives, np.array(trained), np.array(performances), steps, archive, exact, self.folder, interrupted
        )
        if self.folder is not None:
            write_json(self.folder / "archive.json", archive.state_dict())
            if len(self.objectives) > 1 and trained:
                draw_sweep(self.folder / "front.png", self.objectives, trained, performances, archive.front, exact)
        return result

    def _exact_front(self) -> Array | None:
        """The environment's Pareto front (E, K), where it knows it."""
        known = getattr(self.env.unwrapped, "pareto_front", None)
        if known is None or not (self._by_id or self.env is self.env.unwrapped):  # wrappers may change rewards
            return None
        return np.array(known(gamma=self.arguments.get("gamma", 1.0)))

    def _preference(self, number: int, trained: list[Array], performances: list[Array]) -> Array | None:
        if number < len(self.preferences):
            return self.preferences[number]
        return next_preference(trained, performances)

    def _train(self, number: int, preference: Array) -> Agent:
        """Return the agent of a run, trained as far as a signal lets it."""
        folder = None if self.folder is None else self.folder / f"run-{number:03d}"
        if folder is not None and RunFolder(folder).checkpoints():
            env = None if env_config(self.env)["env"] else self.env
            tracker = self.arguments.get("tracker", "none")
            agent = self.agent.load(folder, env=env, display=self.display(), tracker=tracker)
        else:
            agent = self._make(preference, folder)
        if agent.step < self.steps:
            agent.train(self.steps - agent.step)
        return agent

    def _make(self, preference: Array, out: Path | None) -> Agent:
        return self.agent(
            self.env,
            copy.deepcopy(self.policy),
            self.weighting,
            preference=preference.tolist(),
            out=out,
            overwrite=True,  # a run that was stopped before its first checkpoint
            display=self.display(),
            **self.arguments,
        )

    def _open(self, folder: Path, overwrite: bool) -> None:
        """Write what the sweep is to its folder, or check that the folder holds this very sweep."""
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"out: must be a folder, got {str(folder)!r}, which is a file")
        path = folder / "sweep.json"
        described = json.loads(json.dumps(self._description(), default=_plain))
        if path.exists() and not overwrite:
            stored = _read_description(path)
            for name in described.keys() | stored.keys():
                if described.get(name) != stored.get(name):
                    raise ValueError(
                        f"out: must be a new folder or that of this sweep, got {str(folder)!r}, which holds another "
                        f"one, whose {name} is {stored.get(name)!r} and not {described.get(name)!r}; replace it "
                        "(overwrite) or name another folder"
                    )
            return
        if folder.exists() and not path.exists() and any(folder.iterdir()):
            raise ValueError(
                f"out: must be a new folder or that of a sweep, got {str(folder)!r}, which holds something else"
            )
        folder.mkdir(parents=True, exist_ok=True)
        for old in (*folder.glob("run-[0-9]*"), folder / "archive.json", folder / "front.png"):
            remove(old)
        write_json(path, described)

    def _description(self) -> dict[str, Any]:
        policy = self.policy.name if isinstance(self.policy, Policy) else self.policy and str(self.policy)
        arguments = {name: value for name, value in self.arguments.items() if name != "tracker"}
        return {
            **env_config(self.env),
            "agent": self.agent.algorithm.name,
            "policy": policy,
            "weighting": self.weighting,
            "steps": self.steps,
            "preferences": self.preferences.tolist(),
            "refine": self.refine,
            **arguments,
        }


def _preferences(preferences: int | ArrayLike, objectives: int) -> Array:
    if isinstance(preferences, int | np.integer) and not isinstance(preferences, bool):
        return even_preferences(objectives, int(preferences))
    try:
        given = np.asarray(preferences, dtype=np.float64)
    except (TypeError, ValueError):
        given = np.zeros(0)
    sound = given.ndim == 2 and given.shape[0] > 0 and given.shape[1] == objectives
    if not sound or not np.isfinite(given).all() or (given < 0).any() or (given.sum(axis=1) == 0).any():
        raise ValueError(
            f"preferences: must be a number of preferences, or a list of them with {objectives} weights each that are "
            f"not negative and not all 0, got {preferences!r}"
        )
    return given / given.sum(axis=1, keepdims=True)


def _plain(value: Any) -> Any:
    """Turn what JSON has no form for into what it has."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _read_description(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"out: must be JSON, got {str(path)!r}, which is damaged ({error}); replace the sweep"
        ) from error
    if not isinstance(stored, dict):
        raise ValueError(f"out: must describe a sweep, got {type(stored).__name__} in {str(path)!r}")
    return stored
