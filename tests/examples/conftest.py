"""Fixtures of the examples' tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.examples.scripts import Done, Load, Run, call_main, load_script


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """A function that returns an example as a module."""
    return lambda name: load_script(name, monkeypatch)


@pytest.fixture
def run(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """A function that runs an example in an empty folder; what it sets for its process ends with the test."""
    threads, environment = torch.get_num_threads(), dict(os.environ)

    def run_script(name: str, *argv: object) -> Done:
        module = load(name)
        monkeypatch.chdir(tmp_path)
        return call_main(module, argv, capsys)

    yield run_script
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(environment)
