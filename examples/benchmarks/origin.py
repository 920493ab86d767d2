"""Where the results of a benchmark come from: what its record holds, and how its page says it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

import torch

from paretune.bench.running.provenance import provenance


def origin(script: str, argv: Sequence[str] | None) -> dict[str, Any]:
    """Return command, commit, machine, versions, date and threads of a benchmark that was started as `script`.

    Its arguments are `argv`, or those of the process.
    """
    command = " ".join([f"python examples/benchmarks/{script}", *(sys.argv[1:] if argv is None else argv)])
    return {**provenance(command), "date": date.today().isoformat(), "threads": torch.get_num_threads()}


def told(record: dict[str, Any], *versions: str) -> str:
    """Return a record's origin in words, with versions of further packages."""
    packages = ", ".join([*versions, record["packages"]])
    return (
        f"`{record['command']}`, {record['date']}, commit {record['commit']}, {record['machine']}, "
        f"{record['threads']} threads, Python {record['python']}, {packages}."
    )
