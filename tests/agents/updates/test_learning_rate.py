"""The course of the learning rate."""

from __future__ import annotations

import pytest

from paretune.agents import AgentSettings
from paretune.agents.updates.learning_rate import learning_rates


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.8536, 0.5, 0.1464]),
        ("polynomial", [0.5, 1, 1, 0.5625, 0.25, 0.0625]),
    ],
)
def test_learning_rates(schedule, expected):
    lr_at = learning_rates(AgentSettings(lr=1.0, schedule=schedule, warmup=2), horizon=6)
    assert [lr_at(step) for step in range(6)] == pytest.approx(expected, abs=1e-4)
