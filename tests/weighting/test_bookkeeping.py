"""What trainers log, and the order in which a validation is shown, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from paretune.weighting import FixedWeighting, HypervolumeWeighting, ModifiedWeighting, ParetoArchive
from paretune.weighting.bookkeeping import (
    batch_metrics,
    by_objective,
    flatten,
    reward_statistics,
    show_validation,
    standard_error_over_prompts,
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


class Witness(FixedWeighting):
    """Writes down what it is shown, and with how many arguments."""

    def on_validation(self, *seen):
        self.seen = seen


class ErrorReader(Witness):
    reads_errors = True


@pytest.mark.parametrize(
    ("kind", "error", "arguments"),
    [
        (Witness, [0.1, 0.1], 1),  # a strategy whose hook takes the performance alone
        (ErrorReader, [0.1, 0.1], 2),
        (ErrorReader, [0.1, float("nan")], 1),
        (ErrorReader, None, 1),
        (ErrorReader, [0.1, None], 1),
    ],
)
def test_standard_errors_go_to_strategies_that_read_them_where_they_are_known(kind, error, arguments):
    for weighting in (kind(2), ModifiedWeighting(kind(2), prior=0.1)):
        show_validation([0.5, 0.5], 0, weighting, ParetoArchive(2), error)
        assert len(getattr(weighting, "strategy", weighting).seen) == arguments


def test_the_archive_of_a_run_takes_performances_as_they_are_measured():
    weighting, archive = HypervolumeWeighting(2), ParetoArchive(2)
    for step, performance in enumerate(([0.5, 0.5], [0.51, 0.51])):
        show_validation(performance, step, weighting, archive, [0.1, 0.1])
    assert archive.tags == [1] and weighting.archive.front.tolist() == [[0.5, 0.5]]


def test_a_standard_error_is_over_prompts():
    scores = np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]])
    # Prompt means (0.5, 1) and (0.5, 0): none of the first objective's spread is between prompts.
    assert standard_error_over_prompts(scores, [7, 7, 8, 8]).tolist() == [0.0, 0.5]
    one_each = standard_error_over_prompts(scores, "abcd")
    np.testing.assert_allclose(one_each, scores.std(axis=0, ddof=1) / 2, rtol=1e-14)
    assert np.isnan(standard_error_over_prompts(scores, "aaaa")).all()


def test_prompts_with_more_responses_weigh_more_in_mean_and_standard_error():
    # Mean 1/4; sums of deviations 3 * -1/4 and 1 * 3/4; sqrt(2 / 1 * 2 * 9/16) / 4.
    scores = np.array([[0.0], [0.0], [0.0], [1.0]])
    assert standard_error_over_prompts(scores, "aaab") == pytest.approx([1.5 / 4])


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
