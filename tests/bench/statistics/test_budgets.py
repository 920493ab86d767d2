from __future__ import annotations

from dataclasses import replace

import pytest

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.budgets import EQUAL_TOKENS, at_equal_tokens
from paretune.bench.statistics.summarise import summarise
from tests.bench.outcomes import outcome


def wordy(run: Outcome, factor: int) -> Outcome:
    """Return the run with `factor` times as many tokens."""
    return replace(run, curve=replace(run.curve, tokens=[factor * tokens for tokens in run.curve.tokens]))


def test_a_run_that_samples_more_tokens_is_measured_earlier() -> None:
    brief, long = outcome("fixed", end=(0.9, 0.9)), wordy(outcome("saw", end=(0.9, 0.9)), 2)
    values = [run.measures[EQUAL_TOKENS] for run in at_equal_tokens([brief, long])]
    # 0.1 + 0.8 t and 0.2 + 0.7 t: at the end, and half way, where the wordy one has sampled as much.
    assert values == [pytest.approx(0.81), pytest.approx(0.5 * 0.55)]


def test_a_validation_beyond_the_budget_does_not_count() -> None:
    brief, long = outcome("fixed", end=(0.9, 0.9)), wordy(outcome("saw", end=(0.9, 0.9)), 3)
    assert at_equal_tokens([brief, long])[1].measures[EQUAL_TOKENS] == pytest.approx(0.3 * 0.375)


def test_budgets_go_by_the_seed() -> None:
    runs = [outcome("fixed", seed=0), outcome("saw", seed=0), wordy(outcome("fixed", seed=1), 2)]
    values = [run.measures[EQUAL_TOKENS] for run in at_equal_tokens([*runs, wordy(outcome("saw", seed=1), 2)])]
    assert values == [pytest.approx(0.25)] * 4


def test_equal_numbers_of_tokens_leave_the_whole_run() -> None:
    runs = [outcome("fixed", end=(0.5, 0.6)), outcome("saw", end=(0.8, 0.4))]
    assert [run.measures[EQUAL_TOKENS] for run in at_equal_tokens(runs)] == [r.curve.hypervolume[-1] for r in runs]


def test_summaries_compare_arms_at_equal_tokens() -> None:
    seeds = range(5)
    runs = [outcome("fixed", seed=seed, end=(0.5 + seed / 100, 0.5)) for seed in seeds]
    runs += [wordy(outcome("saw", seed=seed, end=(0.6 + seed / 100, 0.5)), 4) for seed in seeds]
    (comparison,) = summarise(runs, name="toy").comparisons
    saw = next(arm for arm in comparison.arms if arm.weighting == "saw")
    assert saw.against_baseline["front_hypervolume"].verdict == "better"
    assert saw.against_baseline[EQUAL_TOKENS].verdict == "worse"
