"""What all examples share: `python examples/NAME.py` ends as its `main` says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.scripts import EXAMPLES, Load

SCRIPTS = [path for path in sorted(EXAMPLES.rglob("*.py")) if "\ndef main(" in path.read_text()]


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 18


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_takes_words_and_ends_with_a_code(path: Path) -> None:
    text = path.read_text()
    assert "\ndef main(argv: Sequence[str] | None = None) -> int:\n" in text
    assert text.endswith('\n\nif __name__ == "__main__":\n    sys.exit(main())\n')


def test_a_process_has_its_words_output_and_code(tmp_path: Path) -> None:
    command = [sys.executable, EXAMPLES / "benchmarks" / "paper_claims.py", tmp_path, "--out", tmp_path / "page.md"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "must be a benchmark's with finished cells" in done.stderr


def test_cells_are_trained_in_fresh_processes_or_here(load: Load) -> None:
    load("benchmarks/cells")
    from cells import train_cells

    def processes(jobs: int) -> set[int]:
        return {process for _, process in train_cells(os.getpid, [(), ()], jobs)}

    assert processes(1) == {os.getpid()}
    assert os.getpid() not in processes(2)
