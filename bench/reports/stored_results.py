"""From `results.parquet` back to the outcomes and the summary that it was written from.

Files of versions that kept no fronts and curves are read as far as they go: measures, costs and the last policies on
test data are there. What they lack is named in the summary and in its report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paretune.bench.outcome import Course, Curve, Outcome, Point
from paretune.bench.reports.results import ABOUT, LABELS, PARTS, parquet_library
from paretune.bench.statistics.measures import MEASURES
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Failure, Summary
from paretune.bench.tuned import Tuned

NEEDED = ("reference", "curve", "course", "front", "final", "exact")
"""Parts of an outcome that files of older versions lack."""


def read_results(path: str | Path, *, main: str | None = None) -> Summary:
    """Return the summary of the cells in a results file.

    Args:
        path: A file that `write_results` wrote, also one of an older version.
        main: Measure by which arms are ranked; None is the one that the file says.

    Raises:
        ValueError: If it is no such file, or pyarrow is not installed.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    rows, about = _read(path)
    missing_columns = [name for name in LABELS if rows and name not in rows[0]]
    if missing_columns:
        raise ValueError(
            f"report: must be a results.parquet of paretune bench, got {str(path)!r}, which has no column "
            f"{', '.join(missing_columns)}"
        )
    lacks = about.get("lacks") or [name for name in NEEDED if rows and rows[0].get(f"part/{name}") is None]
    return summarise(
        [_outcome(row) for row in rows],
        name=about.get("name", path.stem),
        baseline=about.get("baseline", "fixed"),
        main=main or about.get("main", "front_hypervolume"),
        failures=[Failure(**failure) for failure in about.get("failures", [])],
        missing=about.get("missing", 0),
        provenance=about.get("provenance", {}),
        lacks=lacks,
        tuned=[Tuned.from_dict(each) for each in about.get("tuned", [])],
    )


def _read(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The rows of a file and what it says about the benchmark."""
    pa, pq = parquet_library()
    if not path.is_file():
        raise FileNotFoundError(2, "no such results file", str(path))
    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(f"report: must be a Parquet file, got {str(path)!r} ({error})") from error
    about = (table.schema.metadata or {}).get(ABOUT)
    return table.to_pylist(), {} if about is None else json.loads(about)


def _outcome(row: Mapping[str, Any]) -> Outcome:
    parts = {name: json.loads(row[f"part/{name}"]) for name in PARTS if row.get(f"part/{name}") is not None}
    return Outcome.from_dict(
        {
            **_older_parts(row),
            **parts,
            **{name: row[name] for name in LABELS},
            "measures": _measures(row, whole="curve" in parts),
            "cost": _numbers(row, "cost/"),
            "setup": json.loads(row["setup"]),
        }
    )


def _older_parts(row: Mapping[str, Any]) -> dict[str, Any]:
    """What stands for the parts of a run that an older file lacks: nothing, but for the last policy on test data."""
    final = _numbers(row, "final/")
    together = re.search(r", (\d+) preferences together$", row["env"])
    return {
        "runs": int(together[1]) if together else 1,
        "objectives": list(final),
        "reference": [0.0] * len(final),
        "curve": asdict(Curve(steps=[], updates=[], tokens=[], performance=[], hypervolume=[])),
        "course": asdict(Course(steps=[], direction=[], scale=[], rewards=[])),
        "front": [],
        "final": asdict(Point(step=0, validation=[], test=list(final.values()))),
        "exact": None,
    }


def _measures(row: Mapping[str, Any], *, whole: bool) -> dict[str, float | None]:
    """The measures of a run: with its curve, those it has by itself, since others are computed again."""
    kinds = ("volume", "run") if whole else ("volume", "run", "race")
    return {name: row[name] for name, what in MEASURES.items() if name in row and what.kind in kinds}


def _numbers(row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The values of the columns with a prefix, by the rest of the name."""
    return {
        name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix) and value is not None
    }
