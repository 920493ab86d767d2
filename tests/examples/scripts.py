"""An example in this process, as its command line would start it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Done:
    """How a script ended."""

    returncode: int
    stdout: str
    stderr: str


Load = Callable[[str], ModuleType]
Run = Callable[..., Done]


def load_script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return an example as a module, which a process loads once; its neighbours can be imported in this test."""
    monkeypatch.syspath_prepend(str((EXAMPLES / name).parent))
    return importlib.import_module(Path(name).name)


def call_main(module: ModuleType, argv: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> Done:
    """Return how a script ends with these arguments."""
    capsys.readouterr()
    try:
        code = module.main([str(word) for word in argv])
    except SystemExit as stop:
        code = stop.code
    if isinstance(code, str):  # as Python does it
        print(code, file=sys.stderr)
        code = 1
    return Done(code or 0, *capsys.readouterr())
