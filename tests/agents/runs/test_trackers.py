"""Experiment trackers get the numbers of the metrics."""

from __future__ import annotations

import pytest

from paretune.agents import GRPO
from paretune.agents.runs.trackers import check_tracker
from tests.agents.letters import LettersEnv, random_policy


def test_an_unknown_tracker_has_the_known_ones_named():
    with pytest.raises(
        ValueError, match=r"tracker: must be none or.*paretune\[trackers\].*-e \"\.\[trackers\]\" in a clone"
    ):
        check_tracker("abacus")


def test_tensorboard_gets_every_step(tmp_path):
    event_accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
    )
    settings = {"prompts_per_step": 2, "group_size": 2, "lr": 1e-2}
    agent = GRPO(LettersEnv(), random_policy(), out=tmp_path / "run", tracker="tensorboard", **settings)
    agent.train(3)
    folders = {events.parent for events in (tmp_path / "run").rglob("events.out.tfevents.*")}  # one is of the settings
    accumulators = [event_accumulator.EventAccumulator(str(folder)).Reload() for folder in folders]
    (accumulator,) = (each for each in accumulators if "hypervolume" in each.Tags()["scalars"])
    assert [event.step for event in accumulator.Scalars("rewards/a/mean")] == [1, 2, 3]
    assert [event.step for event in accumulator.Scalars("hypervolume")] == [0, 1, 2, 3]
