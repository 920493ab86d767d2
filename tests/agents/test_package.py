"""The package imports its names when they are used, and not before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import paretune.agents


def test_every_public_name_is_there() -> None:
    assert sorted(paretune.agents._HOMES) == sorted(paretune.agents.__all__)
    for name in paretune.agents.__all__:
        assert getattr(paretune.agents, name) is not None


def test_another_name_is_not() -> None:
    with pytest.raises(ImportError, match="cannot import name 'Agents'"):
        from paretune.agents import Agents  # type: ignore[attr-defined]  # noqa: F401


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--help"],
        ["evaluate", "--help"],
        ["replay", "--help"],
        ["replay", ".", "--weighting", "saw"],
        ["plot", "."],
        ["train", "--stepps"],
    ],
)
def test_what_needs_no_model_imports_no_torch(words: list[str]) -> None:
    code = f"""
import sys
from paretune.cli.main import main
print(main({words}))
assert not {{"torch", "transformers", "datasets"}} & sys.modules.keys()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
