"""Lines of several seeds brought onto common steps, and their mean with a band: what the page's curves are drawn from.

Shapes: N seeds, T steps of a run, G common steps, C columns, R resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MEAN_POINTS = 80
SEED_POINTS = 25
RESAMPLES = 500
LINE_DIGITS = 4

Numbers = NDArray[np.float64]


def common_steps(steps: Sequence[Sequence[int]], most: int = MEAN_POINTS) -> Numbers:
    """Return the steps (G,), at most `most`, at which the lines of several seeds are compared.

    They are steps that some seed has a value for, within the range that all seeds cover; first and last are kept.

    Args:
        steps: The ascending steps of each seed; seeds without any are left out.
        most: Largest number of steps, at least 2.
    """
    given = [np.asarray(own, dtype=np.float64) for own in steps if len(own)]
    if not given:
        return np.empty(0)
    start, end = max(own[0] for own in given), min(own[-1] for own in given)
    union = np.unique(np.concatenate(given))
    return thinned(union[(union >= start) & (union <= end)], most)


def thinned(values: Numbers, most: int) -> Numbers:
    """Return at most `most` of the values (G, ...), evenly, the first and the last among them."""
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(int)]


def on_common_steps(common: Numbers, steps: Sequence[Sequence[int]], values: Sequence[ArrayLike]) -> Numbers:
    """Return the values (N, G, C) of the seeds at common steps (G,), straight lines between the steps that they have.

    Args:
        common: Steps (G,).
        steps: The steps (T,) of each of the N seeds; seeds without any are left out.
        values: The values (T, C) or (T,) of each seed.
    """
    lines = []
    for own_T, given in zip(steps, values, strict=True):
        if not len(own_T):
            continue
        values_TC = np.asarray(given, dtype=np.float64).reshape(len(own_T), -1)
        lines.append(np.stack([np.interp(common, own_T, column_T) for column_T in values_TC.T], axis=-1))
    return np.stack(lines) if lines else np.empty((0, len(common), 0))


def band(values: Numbers) -> dict[str, Any]:
    """Return mean, low and high, each as C lines of G numbers, of values (N, G, C).

    Low and high are the ends of the 95 % bootstrap interval of the mean, from 500 resamplings of the seeds, the same
    ones at every step; they are missing with one seed.
    """
    mean_CG = values.mean(axis=0).T
    if len(values) < 2:
        return {"mean": rounded(mean_CG, LINE_DIGITS)}
    means_RGC = np.einsum("rn,ngc->rgc", _resamplings(len(values)), values)
    low_GC, high_GC = np.quantile(means_RGC, [0.025, 0.975], axis=0)
    lines = {"mean": mean_CG, "low": low_GC.T, "high": high_GC.T}
    return {name: rounded(line_CG, LINE_DIGITS) for name, line_CG in lines.items()}


def rounded(values: ArrayLike, digits: int = 5) -> Any:
    """Return numbers of any shape as nested lists, each as `short` makes it."""

    def shorten(nested: Any) -> Any:
        return [shorten(each) for each in nested] if isinstance(nested, list) else short(nested, digits)

    return shorten(np.asarray(values, dtype=np.float64).tolist())


def short(value: float | None, digits: int = 5) -> float | int | str | None:
    """Return a number rounded to some digits, whole ones as they are, "never" for infinity, None for no number."""
    if value is None or not isfinite(value):
        return "never" if value == float("inf") else None
    return int(value) if value == int(value) and abs(value) < 1e15 else float(f"{value:.{digits}g}")


@cache
def _resamplings(seeds: int) -> Numbers:
    """Return the share (R, N) that each seed has in each resampling."""
    drawn_RN = np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))
    return (drawn_RN[:, :, None] == np.arange(seeds)).mean(axis=1)
