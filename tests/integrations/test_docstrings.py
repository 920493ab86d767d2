"""The examples in the docstrings are run."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    ("name", "package"), [("reasoning_gym.environment", "reasoning_gym"), ("trl.callback", "trl"), ("trl.tasks", "trl")]
)
def test_examples_run(name: str, package: str) -> None:
    pytest.importorskip(package)
    result = doctest.testmod(import_module(f"paretune.integrations.{name}"))
    assert result.attempted > 0 and result.failed == 0
