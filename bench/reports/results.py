"""`results.parquet`: one row for each finished cell, with all that reports are made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import ModuleType
from typing import Any

from paretune.agents.files import atomic_path
from paretune.bench.outcome import Outcome
from paretune.bench.statistics.measures import MEASURES
from paretune.bench.statistics.summary import Summary

LABELS = ("env", "agent", "weighting", "preference", "seed")

PARTS = [field.name for field in fields(Outcome) if field.name not in (*LABELS, "measures", "cost", "setup")]
"""What an outcome has besides; its columns have the prefix `part/` and hold JSON."""

ABOUT = b"paretune"
"""Key of the file's metadata under which the benchmark's name, baseline, main measure, failures, missing cells,
provenance and what was tuned stand, as JSON."""

ABOUT_NAMES = ("name", "baseline", "main", "failures", "missing", "provenance", "lacks", "tuned")


def write_results(path: Path, summary: Summary) -> None:
    """Write the finished cells of a benchmark as a Parquet file, all or nothing.

    Columns: env, agent, weighting, preference, seed, every measure, cost/NAME, final/OBJECTIVE and untrained/OBJECTIVE
    (the last policy and the one before the first step, on test data), preference/OBJECTIVE (what the run is for),
    weight/OBJECTIVE and scale (at the last step that is kept), setup (JSON), and part/NAME with what reports are made
    from besides (JSON): curve, course, front, final, exact, ... What is not defined is null.

    Raises:
        ValueError: If pyarrow is not installed.
    """
    pa, pq = parquet_library()
    outcomes = [run for comparison in summary.comparisons for arm in comparison.arms for run in arm.outcomes]
    columns = columns_of(outcomes)
    table = pa.table({name: pa.array(values, _type(pa, name)) for name, values in columns.items()})
    everything = asdict(summary)
    about = {name: everything[name] for name in ABOUT_NAMES}
    table = table.replace_schema_metadata({ABOUT: json.dumps(about).encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def columns_of(outcomes: Sequence[Outcome]) -> dict[str, list[Any]]:
    """Return one list per column, with None where an outcome has nothing for it."""
    rows = [_row(outcome) for outcome in outcomes]
    names = dict.fromkeys([*LABELS, *(name for row in rows for name in row)])
    return {name: [row.get(name) for row in rows] for name in names}


def _row(outcome: Outcome) -> dict[str, Any]:
    course, everything = outcome.course, asdict(outcome)
    return {
        **{name: getattr(outcome, name) for name in LABELS},
        **{name: outcome.measures.get(name) for name, what in MEASURES.items() if what.kind != "cost"},
        **{f"cost/{name}": float(value) for name, value in outcome.cost.items()},
        **{f"final/{name}": value for name, value in zip(outcome.objectives, outcome.final.test, strict=True)},
        **_by_objective("untrained", outcome, None if outcome.start is None else outcome.start.test),
        **_by_objective("preference", outcome, outcome.own_weights),
        **_ends(outcome.objectives, course.direction, course.scale),
        "setup": json.dumps(outcome.setup, sort_keys=True),
        **{f"part/{name}": json.dumps(everything[name], separators=(",", ":")) for name in PARTS},
    }


def _by_objective(prefix: str, outcome: Outcome, values: Sequence[float] | None) -> dict[str, float]:
    """Columns PREFIX/OBJECTIVE, where there are values (K,)."""
    names = [f"{prefix}/{name}" for name in outcome.objectives]
    return {} if values is None else dict(zip(names, values, strict=True))


def _ends(objectives: Sequence[str], direction: Sequence[Sequence[float]], scale: Sequence[float]) -> dict[str, float]:
    """The weights and the scale of the last step, of a run that was trained at all."""
    if not scale:
        return {}
    weights = {f"weight/{name}": weight for name, weight in zip(objectives, direction[-1], strict=True)}
    return {**weights, "scale": scale[-1]}


def _type(pa: Any, name: str) -> Any:
    if name == "seed":
        return pa.int64()
    return pa.string() if name in (*LABELS, "setup") or name.startswith("part/") else pa.float64()


def parquet_library() -> tuple[ModuleType, ModuleType]:
    """Return pyarrow and its Parquet module.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError('results.parquet: needs the extra "bench": pip install "paretune[bench]"') from error
    return pa, pq
