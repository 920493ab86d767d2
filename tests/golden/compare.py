"""Says whether two checkouts of the package train alike, to the last bit, on this machine.

Usage: compare.py OLD NEW [--only PATTERN] [--ignore PATTERN ...]; see --help. The exit code is 1 if anything differs.

Both checkouts are recorded by the `record.py` beside this file, each in a process of its own that sees one of them as
`paretune`. Records of two machines differ in the last bits: an old record must come from the same machine.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RECORD = Path(__file__).resolve().with_name("record.py")
MISSING = "(missing)"
SHOWN, WIDTH = 5, 100
"""Differing fields that are shown of a run, and the longest value, in characters."""

Difference = tuple[str, str, str]
"""Where two records differ (RUN/PART/FIELD/...), and what either has there, as JSON."""


def record(checkout: Path, file: Path, pattern: str) -> dict[str, Any]:
    """Record a checkout's runs to a file in a fresh process, on one core.

    Raises:
        RuntimeError: If recording failed as a whole; its messages have been shown.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "paretune").symlink_to(checkout.resolve(), target_is_directory=True)
        python_path = os.pathsep.join([folder, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        command = [sys.executable, str(RECORD), str(file.resolve()), "--only", pattern, "--package", str(checkout)]
        print(f"recording {checkout}", file=sys.stderr, flush=True)
        if subprocess.run(command, env={**os.environ, "PYTHONPATH": python_path}).returncode:
            raise RuntimeError(f"{checkout} cannot be recorded")
    return json.loads(file.read_text(encoding="utf-8"))


def differences(old: Any, new: Any, place: str = "") -> Iterator[Difference]:
    """Yield where two trees of dictionaries and lists differ, in the order of the old one.

    Floats are compared by how JSON writes them, which tells apart all that differ by a bit.

    Example:
        >>> list(differences({"loss": [0.5, 1.0]}, {"loss": [0.5, 1.5]}))
        [('loss/1', '1.0', '1.5')]
    """
    if isinstance(old, dict) and isinstance(new, dict):
        pairs = [(str(key), old.get(key, MISSING), new.get(key, MISSING)) for key in {**old, **new}]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(old, new, strict=True))]
    else:
        texts = json.dumps(old), json.dumps(new)
        if texts[0] != texts[1]:
            yield place, *texts
        return
    for name, one, other in pairs:
        yield from differences(one, other, f"{place}/{name}" if place else name)


def report(old: dict[str, Any], new: dict[str, Any], ignored: Sequence[str] = ()) -> tuple[list[str], int]:
    """Return lines that say of every run whether its records are equal, and the number of runs that are not.

    Args:
        old: A record by run.
        new: Another one.
        ignored: Patterns of places below the run that may differ, such as `config/*`.
    """
    lines, unequal = [], 0
    for name in {**old, **new}:
        found = [
            one
            for one in differences(old.get(name, MISSING), new.get(name, MISSING))
            if not any(fnmatch.fnmatch(one[0], pattern) for pattern in ignored)
        ]
        failed = "error" in new.get(name, {})
        unequal += bool(found or failed)
        lines.append(f"{'different' if found else 'FAILED' if failed else 'equal':9}  {name}")
        lines += [f"    {place}: {_short(one)} -> {_short(other)}" for place, one, other in found[:SHOWN]]
        if failed and not found:
            lines.append(f"    on both sides: {new[name]['error']}")
        if len(found) > SHOWN:
            lines.append(f"    ... and {len(found) - SHOWN} fields more")
    return [*lines, f"{len({**old, **new}) - unequal} runs equal, {unequal} different or failed"], unequal


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}..."


def main() -> int:
    """Compare what the command line says."""
    parser = argparse.ArgumentParser(description="Say whether two checkouts train alike, to the last bit.")
    parser.add_argument("old", type=Path, nargs="?", help="old checkout; not needed with --old-record")
    parser.add_argument("new", type=Path, help="new checkout")
    parser.add_argument("--old-record", type=Path, metavar="FILE", help="what record.py wrote of the old one, here")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="runs by name, such as 'text/*' (default: all)")
    parser.add_argument(
        "--ignore", nargs="+", default=[], metavar="PATTERN", help="fields that may differ, such as 'config/*'"
    )
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write both records there, old.json and new.json")
    arguments = parser.parse_args()
    if arguments.old is None and arguments.old_record is None:
        parser.error("an old checkout or --old-record is needed")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if arguments.old_record is None:
            old = record(arguments.old, folder / "old.json", arguments.only)
        else:
            everything = json.loads(arguments.old_record.read_text(encoding="utf-8"))
            old = {name: one for name, one in everything.items() if fnmatch.fnmatch(name, arguments.only)}
        new = record(arguments.new, folder / "new.json", arguments.only)
    lines, unequal = report(old, new, arguments.ignore)
    print("\n".join(lines))
    return int(unequal > 0)


if __name__ == "__main__":
    sys.exit(main())
