"""`results.parquet`: one row for each finished cell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from paretune.agents.files import atomic_path
from paretune.bench.outcome import Outcome
from paretune.bench.statistics.measures import MEASURES
from paretune.bench.statistics.summary import Summary


def write_results(path: Path, summary: Summary) -> None:
    """Write the finished cells of a benchmark as a Parquet file, all or nothing.

    Columns: env, agent, weighting, preference, seed, every measure, cost/NAME, final/OBJECTIVE and untrained/OBJECTIVE
    (the last policy and the one before the first step, on test data), preference/OBJECTIVE (what the run is for),
    weight/OBJECTIVE and scale (at the last step that is kept), and setup (JSON). What is not defined is null.

    Raises:
        ValueError: If pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ValueError('results.parquet: needs the extra "bench": pip install "paretune[bench]"') from error
    outcomes = [run for comparison in summary.comparisons for arm in comparison.arms for run in arm.outcomes]
    columns = columns_of(outcomes)
    table = pa.table({name: pa.array(values, _type(pa, name)) for name, values in columns.items()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def columns_of(outcomes: Sequence[Outcome]) -> dict[str, list[Any]]:
    """Return one list per column, with None where an outcome has nothing for it."""
    rows = [_row(outcome) for outcome in outcomes]
    names = dict.fromkeys([*LABELS, *(name for row in rows for name in row)])
    return {name: [row.get(name) for row in rows] for name in names}


LABELS = ("env", "agent", "weighting", "preference", "seed")


def _row(outcome: Outcome) -> dict[str, Any]:
    course = outcome.course
    return {
        **{name: getattr(outcome, name) for name in LABELS},
        **{name: outcome.measures.get(name) for name, what in MEASURES.items() if what.kind != "cost"},
        **{f"cost/{name}": float(value) for name, value in outcome.cost.items()},
        **{f"final/{name}": value for name, value in zip(outcome.objectives, outcome.final.test, strict=True)},
        **_by_objective("untrained", outcome, None if outcome.start is None else outcome.start.test),
        **_by_objective("preference", outcome, outcome.own_weights),
        **_ends(outcome.objectives, course.direction, course.scale),
        "setup": json.dumps(outcome.setup, sort_keys=True),
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
    return pa.string() if name in (*LABELS, "setup") else pa.float64()
