"""Problem files: rows out of JSON Lines, JSON, CSV and Parquet files, folders of splits, and the Hugging Face hub."""

from __future__ import annotations

import csv
import glob
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paretune.envs.prompts import Split
from paretune.envs.suggest import unknown_name

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}
"""How files of a folder, or splits on the hub, may be named."""

HUB_SECONDS = 5.0
"""How long the hub may take to answer at all."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that cannot be used.

    Attributes:
        source: The file or hub split.
        row: The line of a JSON Lines file, elsewhere the number of the row; both count from 1, a CSV header not.
        reason: What is wrong with it.
    """

    source: str
    row: int
    reason: str

    def __str__(self) -> str:
        """Return source, row and reason in one line."""
        return f"{self.source}, row {self.row}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Source:
    """The rows of one file or hub split.

    Attributes:
        name: The file or hub split, for messages.
        rows: The rows by number (see `Skipped.row`): field values by name, nested as they were.
        skipped: What could not be read as a row.
    """

    name: str
    rows: dict[int, dict[str, Any]]
    skipped: list[Skipped] = field(default_factory=list)


def load_sources(
    dataset: str | os.PathLike[str], *, config_name: str | None = None, revision: str | None = None
) -> dict[Split, Source]:
    """Read a dataset.

    Args:
        dataset: A .jsonl, .json, .csv or .parquet file; or a folder of such files, one per split, with the names in
            `SPLIT_NAMES`; or the id of a dataset on the Hugging Face hub. Files are read without any network access,
            and nothing is left on the disk; datasets from the hub stay in its usual cache.
        config_name: Configuration of a dataset on the hub.
        revision: Branch, tag or commit of a dataset on the hub.

    Returns:
        The splits that the dataset has; a single file is all train.

    Raises:
        ValueError: If there is no such dataset, or it cannot be read.
    """
    path = Path(dataset).expanduser()
    if path.is_dir():
        return {split: read_file(file) for split, file in _split_files(path).items()}
    if path.is_file():
        return {"train": read_file(path)}
    if path.is_absolute() or path.suffix.lower() in _READERS:
        raise ValueError(f"dataset: must be a file or folder that exists, got {str(path)!r}")
    return _load_hub(str(dataset), config_name, revision)


def read_file(path: Path) -> Source:
    """Read one file.

    In JSON, numbers are returned as strings that keep their digits; in CSV everything is.

    Raises:
        ValueError: If its format is not known, or it is damaged.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"dataset: {str(path)!r}: {unknown_name('extension', path.suffix, _READERS)}")
    try:
        return reader(path)
    except Exception as error:  # every library has exceptions of its own for damaged files
        raise ValueError(f"dataset: must be readable as {path.suffix.lower()}, got {str(path)!r}: {error}") from error


def _read_json(path: Path) -> Source:
    """Read JSON Lines line by line, so that a broken line costs one row only; or one JSON array."""
    lines = [row["text"] for row in _stream("text", path, encoding="utf-8-sig")]
    if lines and lines[0].lstrip().startswith("["):
        items = json.loads("\n".join(lines), parse_int=str, parse_float=str)
        numbered = {number: item for number, item in enumerate(items, start=1)}
    else:
        numbered = {number: _parse_line(line) for number, line in enumerate(lines, start=1) if line.strip()}
    rows = {number: item for number, item in numbered.items() if isinstance(item, dict)}
    return Source(
        str(path), rows, [Skipped(str(path), n, "not a valid JSON object") for n in numbered.keys() - rows.keys()]
    )


def _parse_line(line: str) -> Any:
    """Return the value of a line of JSON, None if it is broken."""
    try:
        return json.loads(line, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return None


def _read_csv(path: Path) -> Source:
    """Read all columns as text: inferred types would turn the answer 007 into 7 and NA into nothing."""
    from datasets import Features, Value

    with path.open(encoding="utf-8-sig", newline="") as file:
        columns = next(csv.reader(file), [])
    features = Features({column: Value("string") for column in columns})
    rows = _stream("csv", path, features=features, na_filter=False, encoding="utf-8-sig") if columns else iter(())
    return Source(str(path), dict(enumerate(rows, start=1)))


def _read_parquet(path: Path) -> Source:
    return Source(str(path), dict(enumerate(_stream("parquet", path), start=1)))


_READERS: dict[str, Callable[[Path], Source]] = {
    ".jsonl": _read_json,
    ".json": _read_json,
    ".csv": _read_csv,
    ".parquet": _read_parquet,
}


def _stream(builder: str, path: Path, **options: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a local file; streaming keeps `datasets` from writing a copy of them to its cache."""
    from datasets import load_dataset

    with tempfile.TemporaryDirectory(prefix="paretune-") as locks:
        file = glob.escape(str(path.absolute()))
        yield from load_dataset(builder, data_files=file, split="train", streaming=True, cache_dir=locks, **options)


def _split_files(folder: Path) -> dict[Split, Path]:
    """Return the file of each split that a folder has."""
    files: dict[Split, Path] = {}
    for file in sorted(folder.iterdir()):
        split = SPLIT_NAMES.get(file.stem.lower())
        if split is None or file.suffix.lower() not in _READERS:
            continue
        if split in files:
            raise ValueError(
                f"dataset: must have one {split} file, got {files[split].name} and {file.name} in {str(folder)!r}"
            )
        files[split] = file
    if not files:
        raise ValueError(
            f"dataset: must have a file of a split, such as train.jsonl (names {', '.join(SPLIT_NAMES)}; extensions "
            f"{', '.join(_READERS)}), got {sorted(os.listdir(folder))[:10]} in {str(folder)!r}"
        )
    return files


def _load_hub(name: str, config_name: str | None, revision: str | None) -> dict[Split, Source]:
    from datasets import load_dataset

    with _hub_or_cache() as unreachable:
        try:
            splits = load_dataset(name, config_name, revision=revision)
        except Exception as error:  # no such dataset, no network, no access: each has several exceptions
            problem = f"it cannot be loaded from the hub: {error}"
            if unreachable and isinstance(error, ConnectionError):
                problem = f"the hub cannot be reached: {unreachable}"
            raise ValueError(
                f"dataset: must be a file or folder that exists or a data set of the hub, got {name!r}: {problem}"
            ) from error
    sources = {
        SPLIT_NAMES[split]: Source(f"{name} ({split})", dict(enumerate(rows, start=1)))
        for split, rows in splits.items()
        if split in SPLIT_NAMES
    }
    if not sources:
        raise ValueError(f"dataset: must have a split named {', '.join(SPLIT_NAMES)}, got {list(splits)} in {name!r}")
    return sources


@contextmanager
def _hub_or_cache() -> Iterator[str]:
    """Make `datasets` look into its cache alone where the hub is out of reach: it would try for half a minute first.

    Yields:
        Why the hub cannot be reached; empty if it can.
    """
    import datasets
    from huggingface_hub import constants, get_session

    unreachable = ""
    try:
        get_session().head(constants.ENDPOINT, timeout=HUB_SECONDS)
    except Exception as error:  # no network, or offline by wish; whose exceptions they are depends on the hub's version
        unreachable = str(error) or type(error).__name__
    offline = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = offline or bool(unreachable)
    try:
        yield unreachable
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
