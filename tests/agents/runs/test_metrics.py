from __future__ import annotations

from paretune.agents.runs import metrics
from paretune.agents.runs.metrics import Clock, increase


def test_a_clock_adds_up_the_seconds_of_blocks_of_the_same_name(monkeypatch):
    times = iter([0.0, 1.0, 10.0, 12.0, 20.0, 20.5])
    monkeypatch.setattr(metrics.time, "perf_counter", lambda: next(times))
    clock = Clock()
    for name in ("sample", "update", "sample"):
        with clock(name):
            pass
    assert clock.times == {"sample": 1.5, "update": 2.0}


def test_running_counts_are_told_by_how_much_they_grew():
    assert increase({"judged": 3}, {"judged": 5, "undecided": 1}) == {"judged": 2, "undecided": 1}
