"""A benchmark: its folder, which of its cells are done, and running the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock, Timeout

from paretune.agents.files import remove, write_json
from paretune.agents.interrupt import stop_requests
from paretune.agents.settings import AgentSettings
from paretune.bench.outcome import Outcome
from paretune.bench.running.cell import ERROR, RESULT, SETUP, Work
from paretune.bench.running.display import Display, Progress, SilentDisplay
from paretune.bench.running.grid import Cell, Grid
from paretune.bench.running.provenance import provenance
from paretune.bench.running.tuning import Tuning, tuned_cells
from paretune.bench.statistics.summary import Failure
from paretune.bench.tuned import Tuned

MARK = "bench.json"
"""The file that makes a folder a benchmark's."""

TRIALS = "tuning"
"""The folder in it that holds the trials of settings that are tuned."""


class Executor(Protocol):
    """What runs cells."""

    jobs: int
    """Cells at the same time."""

    def run(self, work: Sequence[Work], stop_requested: Callable[[], bool]) -> Iterator[list[Work]]:
        """Run cells, and yield every now and then those that are running."""
        ...


class Bench:
    """The cells of a grid in a folder.

    What is finished there is not run again, an unfinished cell goes on from its last checkpoint, and one that failed
    is tried again. A grid can grow: more seeds, weightings or environments leave the finished cells as they are.

    Attributes:
        grid: What is compared.
        folder: Where everything is written to.
        cells: All cells of the grid, with the settings that were tuned, as far as that is done.
    """

    def __init__(self, grid: Grid, folder: str | Path, *, overwrite: bool = False) -> None:
        """Check the whole grid, and that the folder holds nothing else.

        Args:
            grid: What is compared.
            folder: Where everything is written to.
            overwrite: Throw away the benchmark that the folder holds.

        Raises:
            ValueError: If something in the grid does not fit, or the folder holds something else, or cells of the same
                names with another setup.
        """
        self.grid, self.folder = grid, Path(folder)
        self.cells = grid.cells()
        self._tuning = Tuning(grid, self.folder / TRIALS) if grid.tune else None
        self._check_folder()
        grid.check()
        if overwrite and self.folder.exists():
            with self._lock():
                for name in ("cells", TRIALS, MARK):
                    remove(self.folder / name)
        self._take_what_was_chosen()

    def run(
        self,
        executor: Executor,
        *,
        threads: int | None = None,
        keep_checkpoints: bool = False,
        display: Display | None = None,
        command: str = "",
    ) -> bool:
        """Run what is not finished.

        SIGINT (Ctrl-C) and SIGTERM end it: the runs under way stop after their step, with a checkpoint.

        Args:
            executor: What runs the cells.
            threads: Threads of torch in each cell; None leaves them to torch.
            keep_checkpoints: Leave the checkpoints of finished cells.
            display: Shows the progress; None shows nothing.
            command: The command that this is part of, for the reports.

        Returns:
            Whether all cells have ended, finished or failed; False after a signal.

        Raises:
            ValueError: If another process is running this benchmark.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._lock():
            return self._run(executor, threads, keep_checkpoints, display or SilentDisplay(), command)

    def _run(
        self, executor: Executor, threads: int | None, keep_checkpoints: bool, display: Display, command: str
    ) -> bool:
        self._note_where_results_come_from(command)
        if self._tuning is not None:
            if not self._finish(self._tuning.work(threads), executor, display):
                return False
            self._take_what_was_chosen()
            self._note_where_results_come_from(command)
        return self._finish(
            [one for one in self.work(threads, keep_checkpoints) if self._is_ready(one)], executor, display
        )

    def _finish(self, work: list[Work], executor: Executor, display: Display) -> bool:
        """Run what is not finished of some cells, and return whether all have ended."""
        todo = _in_turn([one for one in work if not (one.folder / RESULT).exists()])
        for one in todo:
            remove(one.folder / ERROR)
        progress = Progress(work, executor.jobs)
        display.start(progress)
        try:
            with stop_requests() as stop_requested:
                for running in executor.run(todo, stop_requested):
                    display.update(progress.now(running))
        finally:
            display.stop()
        return all(one.ended for one in work)

    def work(self, threads: int | None = None, keep_checkpoints: bool = False) -> list[Work]:
        """Return all cells with their folders and how they are run; see `run`."""
        return [
            Work(cell=cell, folder=self._cell_folder(cell), threads=threads, keep_checkpoints=keep_checkpoints)
            for cell in self.cells
        ]

    def _is_ready(self, one: Work) -> bool:
        """Whether a cell's settings are known: its comparison is tuned, or need not be."""
        return self._tuning is None or (one.cell.env, one.cell.agent) in self._chosen

    def _take_what_was_chosen(self) -> None:
        """Give the cells the settings that were tuned, and check that the folder holds no others."""
        self._chosen = {} if self._tuning is None else self._tuning.chosen()
        self.cells = tuned_cells(self.grid.cells(), self._chosen)
        for one in self.work():
            _check_stored(one, self.folder, [] if self._is_ready(one) else self._candidates())
        for one in [] if self._tuning is None else self._tuning.work():
            _check_stored(one, self.folder)

    def _candidates(self) -> list[dict[str, Any]]:
        return [] if self._tuning is None else self._tuning.candidates

    def tuned(self) -> list[Tuned]:
        """Return what was tuned, now or when the folder's cells were run.

        Raises:
            ValueError: If a file is damaged.
        """
        if self._tuning is not None:
            return self._tuning.tuned()
        path = self.folder / MARK
        return [Tuned.from_dict(each) for each in _read_mark(path)["tuned"]] if path.exists() else []

    def outcomes(self) -> list[Outcome]:
        """Return what the finished cells of the grid came to.

        Raises:
            ValueError: If a file is damaged.
        """
        paths = [self._cell_folder(cell) / RESULT for cell in self.cells]
        return [Outcome.read(path) for path in paths if path.exists()]

    def failed_trials(self) -> list[Failure]:
        """Return the trials that failed, while settings were tuned."""
        return [] if self._tuning is None else self._tuning.failures()

    def failures(self) -> list[Failure]:
        """Return the cells that failed."""
        paths = {cell.name: self._cell_folder(cell) / ERROR for cell in self.cells}
        return [
            Failure(cell=name, traceback=path.read_text(encoding="utf-8"))
            for name, path in paths.items()
            if path.exists()
        ]

    def provenance(self) -> dict[str, str]:
        """Return where the results come from: of each thing, what it was whenever cells were run."""
        sources = _read_mark(self.folder / MARK)["provenance"] if (self.folder / MARK).exists() else []
        names = dict.fromkeys(name for source in sources for name in source)
        return {
            name: " and ".join(dict.fromkeys(source[name] for source in sources if source.get(name))) for name in names
        }

    def _note_where_results_come_from(self, command: str) -> None:
        path, source = self.folder / MARK, provenance(command)
        sources = _read_mark(path)["provenance"] if path.exists() else []
        mark = {
            "name": self.grid.name,
            "provenance": [one for one in sources if one != source] + [source],
            "tuned": [asdict(each) for each in self.tuned()],
        }
        write_json(path, mark)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep other processes from running the same cells."""
        try:
            with FileLock(self.folder / ".lock", blocking=False):
                yield
        except Timeout:
            raise ValueError(
                f"out: must be free, got {str(self.folder)!r}, where another process is running the benchmark"
            ) from None

    def _cell_folder(self, cell: Cell) -> Path:
        return self.folder / "cells" / cell.name

    def _check_folder(self) -> None:
        folder = self.folder
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"out: must be a folder, got {str(folder)!r}, which is a file")
        if folder.exists() and any(folder.iterdir()) and not ((folder / MARK).exists() or (folder / "cells").exists()):
            raise ValueError(
                f"out: must be a new folder or a benchmark's, got {str(folder)!r}, which holds something else"
            )


def _in_turn(work: Sequence[Work]) -> list[Work]:
    """Return cells in an order in which the arms of a comparison take turns: what else the machine does hits all."""
    comparisons = list(dict.fromkeys((one.cell.env, one.cell.agent) for one in work))
    return sorted(work, key=lambda one: (comparisons.index((one.cell.env, one.cell.agent)), one.cell.seed))


def _read_mark(path: Path) -> dict[str, Any]:
    try:
        mark = json.loads(path.read_text(encoding="utf-8"))
        return {"provenance": [dict(source) for source in mark["provenance"]], "tuned": list(mark.get("tuned", []))}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"out: must be whole, got {str(path)!r}, which is damaged ({error}); remove it, the finished cells stay"
        ) from error


def _check_stored(one: Work, folder: Path, candidates: Sequence[dict[str, Any]] = ()) -> None:
    """Raise ValueError unless the cell that the folder holds, if any, is the grid's, or one that tuning may lead to."""
    cell, path = one.cell, one.folder / SETUP
    if not path.exists():
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    wanted, found = (_flat(setup) for setup in (json.loads(json.dumps(cell.setup)), stored))
    for name in wanted.keys() | found.keys():
        possible = [each[name] for each in candidates if name in each] or [wanted.get(name)]
        if found.get(name) not in possible:
            raise ValueError(
                f"out: must be a new folder or this benchmark's, got {str(folder)!r}, which holds another cell "
                f"{cell.name}, whose {name} is {found.get(name)!r} and not {wanted.get(name)!r}; replace the benchmark "
                "(overwrite), name another folder, or give the arm another label"
            )


def _flat(setup: dict[str, Any]) -> dict[str, Any]:
    """Return a setup with all settings by their own names; those that it does not name have their defaults."""
    settings = json.loads(json.dumps(asdict(AgentSettings()))) | setup["settings"]
    return {name: value for name, value in setup.items() if name != "settings"} | settings
