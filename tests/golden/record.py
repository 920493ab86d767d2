"""Records what the golden runs (`runs.py`) of the installed package come to, to the last bit.

Usage: record.py FILE [--only PATTERN] [--package FOLDER]; `compare.py` records two checkouts and compares them.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stdout
from pathlib import Path

if __name__ == "__main__":
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    sys.path[0] = str(Path(__file__).resolve().parents[2])  # the folder of `tests`

import torch

import paretune.envs
from tests.golden.recording import Record
from tests.golden.runs import RUNS


def record(pattern: str = "*") -> dict[str, Record]:
    """Do the runs whose names match; one that fails leaves its error in the record, and the others go on."""
    records: dict[str, Record] = {}
    for name, run in RUNS.items():
        if not fnmatch.fnmatch(name, pattern):
            continue
        start = time.perf_counter()
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            try:
                with redirect_stdout(sys.stderr):
                    records[name] = run(Path(folder))
            except Exception as error:
                traceback.print_exc()
                records[name] = {"error": f"{type(error).__name__}: {error}".replace(folder, "FOLDER")}
        print(f"{time.perf_counter() - start:6.1f} s  {name}", file=sys.stderr, flush=True)
    return records


def main() -> None:
    """Record what the command line says."""
    parser = argparse.ArgumentParser(description="Record small runs of the installed package, to the last bit.")
    parser.add_argument("file", type=Path, help="JSON file to write")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="runs by name, such as 'text/*' (default: all)")
    parser.add_argument("--package", type=Path, metavar="FOLDER", help="where the package must come from")
    arguments = parser.parse_args()
    found = Path(paretune.envs.__file__).resolve().parents[1]
    if arguments.package is not None and found != arguments.package.resolve():
        raise SystemExit(f"paretune comes from {found}, not from {arguments.package}")
    torch.set_num_threads(1)
    records = record(arguments.only)
    if not records:
        raise SystemExit(f"--only: must match one of {list(RUNS)}, got {arguments.only!r}")
    arguments.file.write_text(json.dumps(records, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
