"""What trainers log, and the order in which a validation is shown, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from paretune.weighting import FixedWeighting, HypervolumeWeighting, ParetoArchive
from paretune.weighting.bookkeeping import (
    batch_metrics,
    by_objective,
    flatten,
    reward_statistics,
    show_validation,
    weighting_metrics,
)

NAMES = ["right", "short"]


def test_a_validation_reaches_archive_and_weighting_and_gives_the_hypervolume():
    weighting, archive = HypervolumeWeighting(2), ParetoArchive([0.25, 0.0])
    assert show_validation([0.5, 0.5], 0, weighting, archive) == 0.125
    assert show_validation(np.array([0.25, 0.25]), 5, weighting, archive) == 0.125
    assert archive.tags == [0] and weighting.scale == 0.5


def test_a_validation_that_the_archive_refuses_does_not_move_the_weights():
    weighting, archive = HypervolumeWeighting(2), ParetoArchive(2)
    with pytest.raises(ValueError, match="performance: must be finite"):
        show_validation([float("nan"), 0.5], 0, weighting, archive)
    assert len(weighting.archive) == len(archive) == 0


def test_lists_of_a_strategy_are_logged_by_objective_and_its_numbers_as_they_are():
    class Telling(FixedWeighting):
        def diagnostics(self):
            return {"influences": [np.float64(1.0), -2], "gain": 0.5}

    metrics = weighting_metrics(Telling([3, 1]), NAMES)
    assert metrics == {
        "weights": {"right": 0.75, "short": 0.25},
        "scale": 1.0,
        "influences": {"right": 1.0, "short": -2.0},
        "gain": 0.5,
    }
    assert list(metrics) == ["weights", "scale", "influences", "gain"]
    assert type(metrics["influences"]["right"]) is float


def test_statistics_of_rewards_are_over_all_responses():
    rewards = np.array([[[0.0, 1.0], [1.0, 1.0]], [[0.0, 1.0], [1.0, 1.0]]])
    assert reward_statistics(rewards, NAMES) == {
        "right": {"mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0},
        "short": {"mean": 1.0, "std": 0.0, "min": 1.0, "max": 1.0},
    }


def test_a_batch_says_how_much_cancels_and_how_many_groups_teach_nothing():
    rewards = np.array([[[0.0, 1.0], [1.0, 0.0]], [[0.5, 0.5], [0.5, 0.5]]])
    judged = np.array([[[-1.0, 1.0], [1.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    # |0.75 - 0.25| of 0.75 + 0.25 is left
    assert batch_metrics(rewards, judged, np.array([0.75, 0.25])) == {
        "advantage_conflict": 0.5,
        "zero_variance_groups": 0.5,
    }


def test_metrics_are_flattened_and_gaps_left_out():
    line = {"step": 1, "weights": {"a": 0.5, "b": 0.5}, "validation": {"a": {"mean": 0.1, "standard_error": None}}}
    assert flatten(line) == {"step": 1, "weights/a": 0.5, "weights/b": 0.5, "validation/a/mean": 0.1}


def test_values_and_objectives_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        by_objective([1.0, 2.0, 3.0], NAMES)
