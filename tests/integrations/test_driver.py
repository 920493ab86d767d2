"""A weighting inside any trainer, without one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paretune.integrations.driver import WeightingDriver
from paretune.weighting import FixedWeighting, HypervolumeWeighting, SAWWeighting


def test_rewards_become_groups_in_the_order_of_the_responses() -> None:
    driver = WeightingDriver(SAWWeighting(2), ["right", "short"])
    rewards_PGK = driver.on_rewards(np.arange(12).reshape(6, 2), group_size=3)
    assert rewards_PGK.shape == (2, 3, 2) and rewards_PGK[1, 0].tolist() == [6, 7]


def test_a_missing_reward_is_told() -> None:
    driver = WeightingDriver(FixedWeighting(2), ["right", "short"])
    with pytest.raises(ValueError, match=r"rewards: .* 'short' has none \(None or nan\) for 1 of 2 responses"):
        driver.on_rewards([[1.0, float("nan")], [1.0, 1.0]], group_size=2)


def test_what_is_logged_has_one_number_for_each_objective() -> None:
    driver = WeightingDriver(HypervolumeWeighting([0.75, 0.25]), ["right", "short"])
    driver.on_validation([0.5, 0.5], step=0)
    driver.on_validation([0.25, 0.25], step=5)
    metrics = driver.metrics()
    assert metrics["weights/right"] == 0.375 and metrics["weights/short"] == 0.125
    assert (metrics["scale"], metrics["hypervolume"], metrics["archive_size"]) == (0.5, 0.25, 1)
    assert metrics["meta_reward"] == 0.5 and driver.archive.tags == [0]


def test_the_reference_point_is_that_of_the_archive() -> None:
    driver = WeightingDriver(FixedWeighting(2), ["right", "short"], reference=[0.25, 0.0])
    driver.on_validation([0.5, 0.5], step=1)
    assert driver.metrics()["hypervolume"] == 0.125


def test_standard_errors_reach_the_weighting_and_not_the_archive() -> None:
    driver = WeightingDriver(HypervolumeWeighting(2), ["right", "short"])
    driver.on_validation([0.5, 0.5], step=0, standard_error=[0.1, 0.1])
    driver.on_validation([0.55, 0.55], step=5, standard_error=np.array([0.1, 0.1]))
    assert driver.metrics()["gain"] == 0.0 and driver.metrics()["measured_gain"] == pytest.approx(0.0525)
    assert driver.archive.tags == [5]


def test_an_evaluation_that_is_repeated_on_resume_counts_once() -> None:
    driver = WeightingDriver(HypervolumeWeighting(2), ["right", "short"])
    driver.on_validation([0.5, 0.5], step=4)
    driver.on_validation([0.5, 0.5], step=4)
    assert driver.weighting.scale == 1.0


def test_the_state_survives_json_and_fits_its_strategy_alone() -> None:
    driver = WeightingDriver(HypervolumeWeighting(2), ["right", "short"])
    for step, performance in enumerate(([0.5, 0.5], [0.6, 0.5], [0.1, 0.9])):
        driver.on_validation(performance, step)
    state = json.loads(json.dumps(driver.state_dict()))
    other = WeightingDriver(HypervolumeWeighting(2), ["right", "short"])
    other.load_state_dict(state)
    assert other.metrics() == driver.metrics() and other.state_dict() == driver.state_dict()
    with pytest.raises(
        ValueError, match="checkpoint: its weighting must be 'fixed', as in this run, got 'hypervolume'"
    ):
        WeightingDriver(FixedWeighting(2), ["right", "short"]).load_state_dict(state)
    with pytest.raises(ValueError, match=r"checkpoint: its objectives must be \['short', 'right'\]"):
        WeightingDriver(HypervolumeWeighting(2), ["short", "right"]).load_state_dict(state)


def test_numbers_of_objectives_must_agree() -> None:
    with pytest.raises(ValueError, match="weighting: must have 3 weights, one for each of a, b, c, got 2"):
        WeightingDriver(FixedWeighting(2), ["a", "b", "c"])
    with pytest.raises(ValueError, match=r"reference: must have 2 numbers, one for each objective, got \[0\]"):
        WeightingDriver(FixedWeighting(2), ["a", "b"], [0])
