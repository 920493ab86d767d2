"""Where the cells of a benchmark are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any


def train_cells(
    train: Callable[..., dict[str, Any]], cells: Sequence[tuple[Any, ...]], jobs: int
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Yield each cell with `train(*cell)` as it ends: `jobs` at a time in fresh processes, or one by one here."""
    if jobs == 1:
        yield from ((cell, train(*cell)) for cell in cells)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(train, *cell): cell for cell in cells}
        yield from ((running[job], job.result()) for job in as_completed(running))
