from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from paretune.envs.text.sources import Skipped, load_sources, read_file

ROWS = [{"question": "1 + 1?", "answer": "2"}, {"question": "1 + 2?", "answer": "3"}]


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_csv(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_all_formats_give_the_same_rows(tmp_path: Path) -> None:
    array = tmp_path / "rows.json"
    array.write_text(json.dumps(ROWS, indent=2))
    files = [
        write_lines(tmp_path / "rows.jsonl", ROWS),
        array,
        write_csv(tmp_path / "rows.csv", "question,answer\n1 + 1?,2\n1 + 2?,3\n"),
        write_parquet(tmp_path / "rows.parquet", ROWS),
    ]
    for file in files:
        source = read_file(file)
        assert (source.name, source.rows, source.skipped) == (str(file), {1: ROWS[0], 2: ROWS[1]}, [])


def test_json_keeps_digits_nesting_and_line_numbers(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    text = '\ufeff{"answer": 1.10, "deep": {"list": [{"a": 12345678901234567890}]}}\n\n{"question": "a\u2028b"}\n'
    file.write_text(text, encoding="utf-8")
    assert read_file(file).rows == {
        1: {"answer": "1.10", "deep": {"list": [{"a": "12345678901234567890"}]}},
        3: {"question": "a\u2028b"},
    }


def test_a_broken_line_costs_that_line_only(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    deep = '{"a":' * 100_000
    file.write_text(f'{{"question": "cut of\n{json.dumps(ROWS[0])}\n[1]\n7\n{deep}\n')
    source = read_file(file)
    assert source.rows == {2: ROWS[0]}
    assert sorted(skip.row for skip in source.skipped) == [1, 3, 4, 5]
    assert str(source.skipped[0]).endswith(f"rows.jsonl, row {source.skipped[0].row}: not a valid JSON object")


def test_csv_is_text(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "rows.csv", '\ufeffquestion,answer\n"one, two\nthree",007\nx,NA\ny,\nz,1.10\n')
    assert read_file(file).rows == {
        1: {"question": "one, two\nthree", "answer": "007"},
        2: {"question": "x", "answer": "NA"},
        3: {"question": "y", "answer": ""},
        4: {"question": "z", "answer": "1.10"},
    }


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.json", "empty.csv"])
def test_empty_files_have_no_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert read_file(tmp_path / name).rows == {}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bad.parquet", b"PAR1 is how it begins"),
        ("bad.json", b"[{]"),
        ("bad.jsonl", b'{"question": "\xff\xfe"}'),
        ("bad.csv", b"question,answer\na,b\nc,d,e\n"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"must be readable as \.{name[4:]}, got '.*{name}': ."):
        read_file(tmp_path / name)


def test_names_with_special_characters(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a [1] *?.jsonl", ROWS)
    assert len(read_file(file).rows) == 2


def test_a_single_file_is_train(tmp_path: Path) -> None:
    file = write_lines(tmp_path / "test.jsonl", ROWS)
    assert list(load_sources(file)) == list(load_sources(str(file))) == ["train"]


@pytest.mark.parametrize("name", ["validation", "val", "valid", "dev", "VAL"])
def test_a_folder_of_splits(tmp_path: Path, name: str) -> None:
    write_lines(tmp_path / "train.jsonl", ROWS)
    write_csv(tmp_path / f"{name}.csv", "question,answer\nx,1\n")
    (tmp_path / "README.md").write_text("not a split")
    (tmp_path / "test.txt").write_text("not one either")
    sources = load_sources(tmp_path)
    assert {split: len(source.rows) for split, source in sources.items()} == {"train": 2, "validation": 1}


def test_two_files_for_one_split(tmp_path: Path) -> None:
    for name in ("val.jsonl", "dev.jsonl"):
        write_lines(tmp_path / name, ROWS)
    with pytest.raises(ValueError, match=r"must have one validation file, got dev\.jsonl and val\.jsonl"):
        load_sources(tmp_path)


def test_a_folder_without_splits(tmp_path: Path) -> None:
    write_lines(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(ValueError, match=r"must have a file of a split, such as train\.jsonl .*rows\.jsonl"):
        load_sources(tmp_path)


@pytest.mark.parametrize("dataset", ["missing.jsonl", "/missing/folder", "missing/file.parquet"])
def test_missing_files(dataset: str) -> None:
    with pytest.raises(ValueError, match=f"must be a file or folder that exists, got '{dataset}'"):
        load_sources(dataset)


def test_unknown_extension(tmp_path: Path) -> None:
    (tmp_path / "rows.jsnl").touch()
    with pytest.raises(ValueError, match=r"unknown extension '\.jsnl': did you mean '\.jsonl'"):
        load_sources(tmp_path / "rows.jsnl")


def run_python(code: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process whose home is an empty folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "XDG_"))}
    environment = kept | {"HOME": str(home), "TMPDIR": str(home)} | environment
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def test_reading_files_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    write_parquet(tmp_path / "train.parquet", ROWS)
    write_lines(tmp_path / "test.jsonl", ROWS)
    write_csv(tmp_path / "dev.csv", "question,answer\nx,1\n")
    code = f"""
from paretune.envs.text.sources import load_sources
assert len(load_sources({str(tmp_path)!r})) == 3
"""
    run_python(code, home)
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev.csv", "home", "test.jsonl", "train.parquet"]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "offline mode is enabled"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, "Connection refused"),
    ],
)
def test_without_a_hub_a_name_is_looked_for_once(tmp_path: Path, environment: dict[str, str], reason: str) -> None:
    code = """
import datasets
from paretune.envs.text.sources import load_sources
before = datasets.config.HF_HUB_OFFLINE
try:
    load_sources("data/no-such-dataset")
except ValueError as error:
    print(error)
assert datasets.config.HF_HUB_OFFLINE == before
"""
    done = run_python(code, tmp_path, **environment)
    assert "got 'data/no-such-dataset': the hub cannot be reached: " in done.stdout
    assert reason in done.stdout
    assert "Retry" not in done.stderr


def test_skipped_in_words() -> None:
    assert str(Skipped("a.jsonl", 3, "no answer")) == "a.jsonl, row 3: no answer"
