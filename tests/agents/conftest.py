"""Fixtures of the agents' tests."""

from __future__ import annotations

import pytest

from paretune.agents import LanguageModelPolicy
from tests.agents.letters import random_policy


@pytest.fixture
def policy() -> LanguageModelPolicy:
    return random_policy()
