"""What a benchmark compares: environments x agents x weightings x preferences x seeds, checked before anything runs.

Shapes: K objectives.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.agents import agent_class
from paretune.agents.rules import Count, check
from paretune.agents.settings import agent_settings
from paretune.bench.running.choices import AgentChoice, EnvChoice, WeightingChoice, choices, named_preferences
from paretune.envs.suggest import unknown_name
from paretune.weighting import resolve_preference
from paretune.weighting.catalog import option_names, resolve_weighting

FIXED_BY_BENCH = {
    "seed": "the grid's seeds take its place",
    "keep": "a benchmark keeps the checkpoints that it measures",
    "pictures": "a benchmark draws its own",
}

KEEP = "fronts"
"""The setting `keep` of all cells: of every policy that is tested, there is a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run of a benchmark.

    Attributes:
        env: Label of the environment.
        agent: Label of the agent.
        weighting: Label of the weighting strategy.
        preference: Label of the preference.
        seed: Seed of the run.
        setup: All arguments of the run, JSON-able: env, env_options, agent, policy, policy_options, weighting,
            weighting_options, preference, settings, steps, test_prompts.
    """

    env: str
    agent: str
    weighting: str
    preference: str
    seed: int
    setup: dict[str, Any]

    @property
    def name(self) -> str:
        """The cell's name, which is also its folder's: ENV/AGENT/WEIGHTING/PREFERENCE/seed-N."""
        return "/".join([*map(slug, (self.env, self.agent, self.weighting, self.preference)), f"seed-{self.seed}"])


@dataclass(kw_only=True)
class Grid:
    """The arms of a benchmark and what they have in common.

    All arms of a comparison (one environment and one agent) share everything but weighting and preference: policy,
    prompts, learning rate and its schedule, clips, number of updates and of responses.

    Attributes:
        envs: Environments: ids, or tables with id, label, options, policy, policy_options, steps, settings,
            preferences, weighting_options (by label of the weighting), test_prompts.
        agents: Algorithms: names, or tables with name, label, settings.
        weightings: Strategies: names, or tables with name, label, options, preferences (labels of those that it is
            trained for; all by default), and settings, which make the comparison unfair and are reported as that.
        preferences: Preferences by label, or a list of them; "equal" is equal weights.
        seeds: How many seeds, or which.
        steps: Training steps of each run.
        settings: Fields of `AgentSettings`, for all runs.
        policy: Policy of the environments that have none of their own; None is the default for each.
        baseline: Label of the weighting that the others are compared with.
        test_prompts: Test prompts (or starts) that the chosen policies are measured on, the first ones; None is all.
        name: Name of the benchmark.
        tune: Values to try of some settings, by name; of all combinations, each environment and agent takes the one
            with which the fixed arms (the baseline's) end best on validation data.
        tune_seeds: Seeds of these trials; they are others than the grid's.

    Example:
        >>> grid = Grid(envs=["paretune/TokenConvex-v0"], agents=["rloo"], weightings=["fixed", "saw"], seeds=3)
        >>> [cell.name for cell in grid.cells()][:2]
        ['TokenConvex-v0/rloo/fixed/equal/seed-0', 'TokenConvex-v0/rloo/fixed/equal/seed-1']
    """

    envs: Sequence[str | Mapping[str, Any]]
    agents: Sequence[str | Mapping[str, Any]]
    weightings: Sequence[str | Mapping[str, Any]]
    preferences: Mapping[str, Sequence[float]] | Sequence[str | Sequence[float]] = ("equal",)
    seeds: int | Sequence[int] = 5
    steps: int = 60
    settings: Mapping[str, Any] | None = None
    policy: str | None = None
    baseline: str = "fixed"
    test_prompts: int | None = None
    name: str = "benchmark"
    tune: Mapping[str, Sequence[Any]] | None = None
    tune_seeds: int = 3

    def cells(self) -> list[Cell]:
        """Return all cells, seed by seed within an arm, arm by arm within a comparison.

        Raises:
            ValueError: If a table has an unknown key, a value breaks its rule, or two cells have the same name.
        """
        cells = [
            Cell(
                env=env.label,
                agent=agent.label,
                weighting=weighting.label,
                preference=label,
                seed=seed,
                setup=self._setup(env, agent, weighting, preference, seed),
            )
            for env, agent, weighting in self._combinations()
            for label, preference in self._preferences(env, weighting).items()
            for seed in self._seeds()
        ]
        check_names(cells)
        return cells

    def check(self) -> None:
        """Make every environment, agent and weighting once, so that what is wrong shows before anything long starts.

        Raises:
            ValueError: If something does not fit.
        """
        cells = self.cells()
        if not cells:
            raise ValueError(
                "grid: must have at least one environment, agent, weighting, preference and seed, got no cell"
            )
        labels = {cell.weighting: cell.setup["weighting"] for cell in cells}
        if self.baseline not in labels:
            raise ValueError(unknown_name("baseline", self.baseline, labels))
        check("steps", self.steps, Count)
        check("test_prompts", self.test_prompts, Count | None)
        checked: set[str] = set()
        for cell in cells:
            env_agent = f"{cell.env}/{cell.agent}"
            try:
                if env_agent not in checked:
                    objectives = _check_agent(cell.setup)
                    checked.add(env_agent)
                arm = f"{env_agent}/{cell.weighting}/{cell.preference}"
                if arm not in checked:
                    _check_arm(cell.setup, objectives)
                    checked.add(arm)
            except ValueError as error:
                raise ValueError(f"grid: {cell.name}: {error}") from error

    def _combinations(self) -> Iterator[tuple[EnvChoice, AgentChoice, WeightingChoice]]:
        return itertools.product(
            choices(EnvChoice, "envs", self.envs),
            choices(AgentChoice, "agents", self.agents),
            choices(WeightingChoice, "weightings", self.weightings),
        )

    def _preferences(self, env: EnvChoice, weighting: WeightingChoice) -> dict[str, list[float] | None]:
        given = named_preferences(self.preferences if env.preferences is None else env.preferences)
        if weighting.preferences is None:
            return given
        for label in weighting.preferences:
            if label not in given and label != "equal":
                raise ValueError(unknown_name(f"preference of weighting {weighting.label!r}", label, given))
        return {label: given.get(label) for label in weighting.preferences}

    def _seeds(self) -> list[int]:
        seeds = list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)
        if not seeds or len(set(seeds)) < len(seeds) or any(not isinstance(s, int) or s < 0 for s in seeds):
            raise ValueError(f"seeds: must be a number of at least 1, or different whole numbers, got {self.seeds!r}")
        return seeds

    def _setup(
        self, env: EnvChoice, agent: AgentChoice, weighting: WeightingChoice, preference: list[float] | None, seed: int
    ) -> dict[str, Any]:
        settings = {**(self.settings or {}), **env.settings, **agent.settings, **weighting.settings}
        for name, reason in FIXED_BY_BENCH.items():
            if name in settings:
                raise ValueError(f"settings: must not have {name!r}, as {reason}, got {settings[name]!r}")
        return {
            "env": env.id,
            "env_options": dict(env.options),
            "agent": agent.name,
            "policy": self.policy if env.policy is None else env.policy,
            "policy_options": dict(env.policy_options),
            "weighting": weighting.name,
            "weighting_options": _weighting_options(env, weighting, seed),
            "preference": preference,
            "settings": {**settings, "seed": seed},
            "steps": self.steps if env.steps is None else env.steps,
            "test_prompts": self.test_prompts if env.test_prompts is None else env.test_prompts,
        }


def _weighting_options(env: EnvChoice, weighting: WeightingChoice, seed: int) -> dict[str, Any]:
    """Return a strategy's options, those for the environment among them; random draws go by the run's seed."""
    options = {**weighting.options, **env.weighting_options.get(weighting.label, {})}
    drawn = {"seed": seed} if "seed" in option_names(weighting.name) else {}
    return drawn | {name: _without_infinities(value) for name, value in options.items()}


def _without_infinities(value: Any) -> Any:
    """Turn -inf, TOML's word for what has no threshold, into None, which JSON has as well."""
    if isinstance(value, list | tuple):
        return [_without_infinities(entry) for entry in value]
    return None if value == -math.inf else value


def agent_arguments(setup: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an agent is made from, of a cell's setup."""
    names = ("env", "policy", "weighting", "preference", "env_options", "policy_options", "weighting_options")
    return {name: setup[name] for name in names} | dict(setup["settings"]) | {"keep": KEEP, "pictures": False}


def own_weights(setup: Mapping[str, Any], objectives: int) -> list[float]:
    """Return the preference (K,) that a cell's setup names, which sums to 1; equal weights where it names none.

    Example:
        >>> own_weights({"preference": None}, 4), own_weights({"preference": [0.75, 0.25]}, 2)
        ([0.25, 0.25, 0.25, 0.25], [0.75, 0.25])
    """
    preference = setup.get("preference")
    return [1 / objectives] * objectives if preference is None else list(resolve_preference(preference))


def slug(text: str) -> str:
    """Return a label as a name for a folder: letters, digits and -_.+ stay, everything else becomes a hyphen.

    Example:
        >>> slug("fixed (0.5, 0.5)"), slug("..")
        ('fixed-0.5-0.5', '-')
    """
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.+") else "-" for letter in text)
    name = "-".join(part for part in kept.split("-") if part)
    return name if name.strip(".") else "-"


def check_names(cells: Sequence[Cell]) -> None:
    """Raise ValueError if two cells have the same name."""
    seen: dict[str, Cell] = {}
    for cell in cells:
        twin = seen.setdefault(cell.name.lower(), cell)  # some file systems do not tell the cases apart
        if twin is not cell:
            raise ValueError(
                f"label: must be another for each arm, got two arms called {cell.name!r}; give one of them a label"
            )


def _check_agent(setup: Mapping[str, Any]) -> tuple[str, ...]:
    """Make the agent of a cell, and return the names of its objectives."""
    agent = agent_class(setup["agent"])(**agent_arguments(setup))
    agent.task.starts("test", setup["test_prompts"])
    return agent.objectives


def _check_arm(setup: Mapping[str, Any], objectives: Sequence[str]) -> None:
    """Make the weighting of a cell, and check the settings."""
    settings = agent_settings(setup["settings"])
    options = setup["weighting_options"]
    resolve_weighting(setup["weighting"], setup["preference"], options, objectives, settings.reference)
