"""The examples in docstrings run and print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["catalog", "text.token_text", "tokens.deceptive", "tokens.fronts", "tokens.style", "tokens.token_env"]
MODULES += ["tokens.token_vector", "vector"]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(f"paretune.envs.{name}")).failed == 0
