"""Tuning: a few settings take the values that suit a comparison's fixed arms best, by runs on other seeds.

Each combination of values is tried on the fixed arms alone, with seeds that the benchmark does not use. It is judged by
the own weighted objective w . f (preference times performance) of the last policy on validation data, mean over arms
and seeds; test data is not looked at. Every environment and agent has its own choice, as learning rates differ.

Shapes: K objectives.
"""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from paretune.agents import agent_class
from paretune.agents.rules import Count, check
from paretune.agents.settings import AgentSettings, agent_settings
from paretune.bench.running.cell import ERROR, RESULT, Work
from paretune.bench.running.choices import WeightingChoice, choices, setting_words
from paretune.bench.running.grid import FIXED_BY_BENCH, Cell, Grid, check_names
from paretune.bench.statistics.summary import Failure
from paretune.bench.tuned import Trial, Tuned
from paretune.envs.suggest import unknown_name
from paretune.weighting.archive import TOLERANCE

FIRST_SEED = 1000
"""First seed of the trials; the others follow."""

MEASURED = "values of it are judged by other measurements"
NOT_TUNED = FIXED_BY_BENCH | dict.fromkeys(("eval_prompts", "eval_sampled", "reference"), MEASURED)
"""Settings that cannot be tuned, and why."""

Settings = dict[str, Any]
Key = tuple[str, str]


class Tuning:
    """The trials of a grid: which there are, and what came of them.

    Attributes:
        seeds: Seeds of the trials.
        candidates: All combinations of values, the smaller ones first.
        cells: Cells of the trials, those of a comparison together.
    """

    def __init__(self, grid: Grid, folder: Path) -> None:
        """Check what is to be tuned.

        Args:
            grid: The benchmark, whose `tune` names settings with the values to try.
            folder: Where the trials are written to.

        Raises:
            ValueError: If a setting cannot be tuned or a value breaks its rule, or seeds are those of the grid.
        """
        self._folder = folder
        tune = {name: checked_values(name, values) for name, values in (grid.tune or {}).items()}
        number = check("tune_seeds", grid.tune_seeds, Count)
        self.seeds = list(range(FIRST_SEED, FIRST_SEED + number))
        self.candidates = combinations(tune)
        fixed = _fixed_alone(grid, list(tune), self.seeds)
        self._owners = [(candidate, _with(cell, candidate)) for candidate in self.candidates for cell in fixed.cells()]
        self.cells = [cell for _, cell in self._owners]
        check_names(self.cells)
        for candidate, cell in self._owners:
            _check_settings(candidate, cell)
        if shared := sorted(set(self.seeds) & {cell.seed for cell in grid.cells()}):
            raise ValueError(f"seeds: must be others than those of the trials, {self.seeds}, got {shared} among them")

    def work(self, threads: int | None = None) -> list[Work]:
        """Return the trials with their folders; see `Bench.run`."""
        return [Work(cell=cell, folder=self._place(cell), threads=threads, trial=True) for cell in self.cells]

    def failures(self) -> list[Failure]:
        """Return the trials that failed."""
        paths = {cell.name: self._place(cell) / ERROR for cell in self.cells}
        found = {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.exists()}
        return [Failure(cell=f"tuning/{name}", traceback=text) for name, text in found.items()]

    def tuned(self) -> list[Tuned]:
        """Return what came of the trials so far, for each comparison.

        Raises:
            ValueError: If a file is damaged.
        """
        groups: dict[Key, list[tuple[Settings, Cell]]] = defaultdict(list)
        for candidate, cell in self._owners:
            groups[cell.env, cell.agent].append((candidate, cell))
        return [self._tuned(key, owners) for key, owners in groups.items()]

    def chosen(self) -> dict[Key, Settings]:
        """Return the chosen settings of the comparisons whose trials are done, by environment and agent."""
        return {(each.env, each.agent): each.chosen for each in self.tuned() if each.chosen is not None}

    def _tuned(self, key: Key, owners: Sequence[tuple[Settings, Cell]]) -> Tuned:
        trials = [
            self._trial(candidate, [cell for owner, cell in owners if owner is candidate])
            for candidate in self.candidates
        ]
        done = all(trial.own is not None or trial.failed for trial in trials)
        best = best_trial(trials) if done else None
        return Tuned(
            env=key[0],
            agent=key[1],
            seeds=self.seeds,
            trials=trials,
            chosen=None if best is None else best.settings,
            remark="" if best is None else remark(best, trials),
        )

    def _trial(self, candidate: Settings, cells: Sequence[Cell]) -> Trial:
        results = [(cell.seed, self._place(cell) / RESULT) for cell in cells]
        found = [(seed, *_read(path)) for seed, path in results if path.exists()]
        failed = sum((self._place(cell) / ERROR).exists() for cell in cells)
        whole = len(found) == len(cells)
        return Trial(
            settings=candidate,
            runs=len(found),
            failed=failed,
            own=over_arms([(seed, last) for seed, _, last in found]) if whole else None,
            gain=over_arms([(seed, last - start) for seed, start, last in found]) if whole else None,
        )

    def _place(self, cell: Cell) -> Path:
        return self._folder / cell.name


def checked_values(name: str, values: Any) -> list[Any]:
    """Return the values to try of a setting, each in its type.

    Raises:
        ValueError: If the setting is unknown or cannot be tuned, a value breaks its rule, or there are not two.

    Example:
        >>> checked_values("lr", [1e-4, 1])
        [0.0001, 1.0]
    """
    hints = get_type_hints(AgentSettings, include_extras=True)
    if name not in hints:
        raise ValueError(unknown_name("tuned setting", name, [each for each in hints if each not in NOT_TUNED]))
    if name in NOT_TUNED:
        raise ValueError(f"tune: must not have {name!r}, as {NOT_TUNED[name]}, got {values!r}")
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise ValueError(f"tune: {name}: must be a list of values to try, got {values!r}")
    checked = [check(f"tune: {name}", value, hints[name]) for value in values]
    if len(checked) < 2 or any(one == other for one, other in itertools.combinations(checked, 2)):
        raise ValueError(f"tune: {name}: must be at least two different values, got {list(values)!r}")
    return checked


def combinations(tune: Mapping[str, Sequence[Any]]) -> list[Settings]:
    """Return all combinations of values by setting; numbers in ascending order, what is no number behind them as given.

    Example:
        >>> combinations({"lr": [0.2, 0.1], "order": ["weigh_first", "normalise_first"]})[:2]
        [{'lr': 0.1, 'order': 'weigh_first'}, {'lr': 0.1, 'order': 'normalise_first'}]
    """
    ordered = [sorted(values, key=lambda value: value if _is_number(value) else math.inf) for values in tune.values()]
    return [dict(zip(tune, values, strict=True)) for values in itertools.product(*ordered)]


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the first of the trials with the largest own weighted objective (equal up to rounding); None without one.

    Trials of which a run failed are left out.
    """
    done = [(trial, float(np.mean(trial.own))) for trial in trials if trial.own and not trial.failed]
    largest = max((value for _, value in done), default=0.0)
    return next((trial for trial, value in done if value >= largest - TOLERANCE * (1 + abs(largest))), None)


def remark(best: Trial, trials: Sequence[Trial]) -> str:
    """Return what to know about a choice: that it lies at the end of what was tried, or that it teaches nothing."""
    notes = []
    for name, value in best.settings.items():
        tried = [trial.settings[name] for trial in trials]
        if all(map(_is_number, tried)) and value in (min(tried), max(tried)):
            end = "smallest" if value == min(tried) else "largest"
            notes.append(f"the {end} {name} that was tried: a better one may lie beyond")
    if best.gain and np.mean(best.gain) <= 0:
        notes.append("even so the fixed arms end no higher than the untrained policy, on validation data")
    return "; ".join(notes)


def over_arms(values: Sequence[tuple[int, float]]) -> list[float]:
    """Return the mean over the arms for each seed, of runs' values behind their seeds.

    Example:
        >>> over_arms([(1000, 0.25), (1001, 0.5), (1000, 0.75)])
        [0.5, 0.5]
    """
    by_seed: dict[int, list[float]] = defaultdict(list)
    for seed, value in values:
        by_seed[seed].append(value)
    return [float(np.mean(each)) for each in by_seed.values()]


def tuned_cells(cells: Sequence[Cell], chosen: Mapping[Key, Settings]) -> list[Cell]:
    """Return a benchmark's cells with the chosen settings, where there are any."""
    return [_with_settings(cell, chosen.get((cell.env, cell.agent), {})) for cell in cells]


def _fixed_alone(grid: Grid, names: Sequence[str], seeds: Sequence[int]) -> Grid:
    """The grid of the fixed arms alone, on the trials' seeds."""
    labelled = list(zip(choices(WeightingChoice, "weightings", grid.weightings), grid.weightings, strict=True))
    for choice, _ in labelled:
        for name in names:
            if name in choice.settings:
                raise ValueError(
                    f"tune: must not have what a weighting has of its own, got {name!r} of {choice.label!r}"
                )
    fixed = [entry for choice, entry in labelled if choice.label == grid.baseline]
    return replace(grid, weightings=fixed, seeds=seeds, tune=None)


def _with(cell: Cell, candidate: Settings) -> Cell:
    """The cell of a trial, whose name has the values that it tries."""
    tried = _with_settings(cell, candidate)
    return replace(tried, weighting=f"{cell.weighting} {setting_words(candidate)}")


def _with_settings(cell: Cell, settings: Settings) -> Cell:
    return replace(cell, setup=cell.setup | {"settings": cell.setup["settings"] | settings})


def _check_settings(candidate: Settings, cell: Cell) -> None:
    try:
        settings = agent_settings(cell.setup["settings"])
        agent_class(cell.setup["agent"]).algorithm.check_group_size(settings)
    except ValueError as error:
        raise ValueError(f"tune: {setting_words(candidate)}: {error}") from error


def _read(path: Path) -> tuple[float, float]:
    """Return the own weighted objective of a trial's untrained and last policy on validation data."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        return float(np.dot(result["weights"], result["untrained"])), float(np.dot(result["weights"], result["last"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"cell: must be whole, got {str(path)!r}, which is damaged ({error}); remove it and run it again"
        ) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
