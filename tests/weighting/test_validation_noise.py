"""Strategies that read validations, simulated: policies whose true performance is known, validated on 128 prompts.

An answer is right or wrong in each objective. The prompts are the same at every validation, so that luck is partly
shared: the latent difficulty of a prompt and what is the policy's own have equal variances. Shapes: R runs, V
validations, N prompts, K objectives.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from paretune.weighting import HypervolumeGradientWeighting, HypervolumeWeighting, ParetoArchive

RUNS, VALIDATIONS, PROMPTS, K = 40, 24, 128, 3


def flat():
    """Nothing changes."""
    return np.tile([0.85, 0.6, 0.7], (VALIDATIONS, 1))


def rising_then_flat():
    """Eight real gains, then nothing."""
    share = np.minimum(np.arange(VALIDATIONS) / 8, 1)[:, None]
    return [0.6, 0.5, 0.5] + share * [0.25, 0.15, 0.2]


def trading_off():
    """Along a front and back again: seven real gains, then places where the policy was before."""
    ends = [0.1, 0.9]
    share = np.concatenate([np.linspace(*ends[::turn], VALIDATIONS // 3) for turn in (1, -1, 1)])
    angle = share * np.pi / 2
    return np.stack([0.3 + 0.5 * np.cos(angle), 0.3 + 0.5 * np.sin(angle), np.full(VALIDATIONS, 0.6)], axis=1)


def validations(truth, run):
    """Return means and standard errors (V, K) of validations of policies with true performances (V, K)."""
    rng = np.random.default_rng(run)
    difficulty_VNK = rng.standard_normal((1, PROMPTS, K)) + rng.standard_normal((VALIDATIONS, PROMPTS, K))
    limits_VK = np.vectorize(NormalDist(sigma=np.sqrt(2)).inv_cdf)(truth)
    right_VNK = (difficulty_VNK < limits_VK[:, None]).astype(np.float64)
    return right_VNK.mean(axis=1), right_VNK.std(axis=1, ddof=1) / np.sqrt(PROMPTS)


def true_gains(truth):
    archive, gains = ParetoArchive(K), []
    for performance in truth:
        gains.append(archive.gain(performance))
        archive.add(performance)
    return np.array(gains[1:])


def shown(truth, **options):
    """Return the meta-rewards behind the untrained policy's validation (R, V - 1), and which of them saw a gain."""
    scales, gains = [], []
    for run in range(RUNS):
        weighting = HypervolumeWeighting(K, **options)
        for means, errors in zip(*validations(truth, run), strict=True):
            weighting.on_validation(means, errors)
            scales.append(weighting.scale)
            gains.append(weighting.diagnostics()["gain"])
    shape = RUNS, VALIDATIONS
    return np.reshape(scales, shape)[:, 1:], np.reshape(gains, shape)[:, 1:] > 0


def above(values, bound):
    """Whether the mean of R values lies above a bound by more than three of its standard errors."""
    return np.mean(values) - 3 * np.std(values, ddof=1) / np.sqrt(len(values)) > bound


@pytest.mark.parametrize("path", [flat, rising_then_flat, trading_off])
def test_fewer_gains_are_seen_where_there_are_none(path):
    truth = path()
    none = true_gains(truth) < 1e-9
    (scales, seen), (scales_measured, seen_measured) = shown(truth), shown(truth, gain_errors=0.0)
    assert above(seen_measured[:, none].mean(axis=1), 0.3)
    assert above((0.8 * seen_measured - seen)[:, none].mean(axis=1), 0.0)
    assert above((scales_measured - scales)[:, none].mean(axis=1), 0.0)  # where 0.5 is right


@pytest.mark.parametrize("path", [rising_then_flat, trading_off])
def test_real_gains_are_still_seen_and_better_told_from_luck(path):
    truth = path()
    real = true_gains(truth) > 1e-9

    def told(seen):
        return seen[:, real].mean(axis=1) - seen[:, ~real].mean(axis=1)

    (_, ours), (_, measured), (_, strict) = shown(truth), shown(truth, gain_errors=0.0), shown(truth, gain_errors=1.0)
    assert above((ours - 0.8 * measured)[:, real].mean(axis=1), 0.0)
    assert above(told(ours) - told(measured), 0.0)
    assert above((ours & ~strict)[:, real].mean(axis=1), 0.0)  # the price of a wider margin
    assert above(ours[:, ~real].mean(axis=1) - strict[:, ~real].mean(axis=1), 0.0)  # and what it is paid for


def test_the_meta_reward_follows_real_gains_no_worse():
    truth = trading_off()
    gains = true_gains(truth)
    ours, measured = (
        [np.corrcoef(run, gains)[0, 1] for run in shown(truth, **options)[0]] for options in ({}, {"gain_errors": 0.0})
    )
    assert not above(np.subtract(measured, ours), 0.0)


@pytest.mark.parametrize("path", [flat, rising_then_flat, trading_off])
def test_the_direction_of_the_hypervolume_is_nearer_to_that_of_the_truth(path):
    truth = path()

    def directions(performances, errors, lead_errors):
        weighting, directions = HypervolumeGradientWeighting(K, lead_errors=lead_errors), []
        for means, error in zip(performances, errors, strict=True):
            weighting.on_validation(means, error)
            directions.append(weighting.direction)
        return np.array(directions)

    right = directions(truth, [None] * VALIDATIONS, 2.0)
    distances = np.array(
        [
            [np.abs(directions(*validations(truth, run), lead) - right).sum(axis=1).mean() for lead in (0.0, 2.0)]
            for run in range(RUNS)
        ]
    )
    assert above(0.75 * distances[:, 0] - distances[:, 1], 0.0)


def test_a_front_is_above_the_truth_and_its_policies_measured_again_are_not():
    truth = trading_off()
    best = ParetoArchive(K)
    for performance in truth:
        best.add(performance)
    excess, misses = [], []
    for run in range(RUNS):
        archive = ParetoArchive(K)
        for step, performance in enumerate(validations(truth, run)[0]):
            archive.add(performance, tag=step)
        again = validations(truth, 1000 + run)[0][archive.tags]
        excess.append(archive.hypervolume() - best.hypervolume())
        misses.append([(archive.front - truth[archive.tags]).mean(), (again - truth[archive.tags]).mean()])
    chosen_by, measured_again = np.array(misses).T
    assert above(excess, 0.0) and above(chosen_by, 0.0)
    assert not above(measured_again, 0.0) and not above(-measured_again, 0.0)
