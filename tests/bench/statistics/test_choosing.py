from __future__ import annotations

from dataclasses import replace

import numpy as np

from paretune.bench.outcome import Outcome
from paretune.bench.statistics.choosing import choose_fixed, rival_runs
from paretune.bench.statistics.summary import Choice
from tests.bench.outcomes import arm

NAME = "front_hypervolume"


def fixed(levels: list[float], preference: str) -> list[Outcome]:
    return arm("fixed", levels, preference)


def test_every_second_seed_chooses_and_the_others_are_tested() -> None:
    # The first arm is best on seeds 0, 2 and 4 alone, the second on 1 and 3, which choose.
    runs = fixed([0.9, 0.3, 0.9, 0.3, 0.9], "a") + fixed([0.2, 0.5, 0.2, 0.5, 0.2], "b")
    choice = choose_fixed(runs, "fixed", NAME)
    assert choice == Choice(arm=("fixed", "b"), chosen_on=(1, 3), tested_on=(0, 2, 4))
    assert [run.seed for run in rival_runs(runs, choice)] == [0, 2, 4]
    assert {run.preference for run in rival_runs(runs, choice)} == {"b"}


def test_less_may_be_better_and_other_weightings_are_not_chosen_from() -> None:
    exact = [[1.0, 1.0]]
    runs = arm("fixed", [0.5] * 5, "a", exact=exact) + arm("fixed", [0.7] * 5, "b", exact=exact)
    runs += arm("saw", [0.9] * 5, "a", exact=exact)
    assert choose_fixed(runs, "fixed", "igd_plus").arm == ("fixed", "b")
    assert choose_fixed(runs, "gradient", NAME) is None


def test_what_is_tested_has_no_say_in_the_choice() -> None:
    rng = np.random.default_rng(0)
    levels = rng.uniform(0.2, 0.8, (3, 10))
    chosen = choose_fixed([run for i, row in enumerate(levels) for run in fixed(list(row), str(i))], "fixed", NAME)
    levels[:, ::2] = rng.uniform(0.2, 0.8, (3, 5))
    again = choose_fixed([run for i, row in enumerate(levels) for run in fixed(list(row), str(i))], "fixed", NAME)
    assert chosen == again


def test_one_candidate_needs_no_choice() -> None:
    assert choose_fixed(fixed([0.5] * 3, "a"), "fixed", NAME) == Choice(
        arm=("fixed", "a"), chosen_on=(), tested_on=(0, 1, 2)
    )


def test_too_few_seeds_leave_none_to_test_on() -> None:
    runs = fixed([0.5] * 4, "a") + fixed([0.6] * 4, "b")
    assert choose_fixed(runs, "fixed", NAME) == Choice(arm=("fixed", "b"), chosen_on=(0, 1, 2, 3), tested_on=())


def test_arms_that_miss_the_measure_or_one_side_are_no_candidates() -> None:
    good, bad = fixed([0.9] * 6, "good"), fixed([0.3] * 6, "bad")
    assert choose_fixed(good[::2] + bad, "fixed", NAME).arm == ("fixed", "bad")  # none on seeds 1, 3, 5
    assert choose_fixed(good[1::2] + bad, "fixed", NAME).arm == ("fixed", "bad")  # none on seeds 0, 2, 4
    undefined = [replace(good[0], measures=good[0].measures | {NAME: None}), *good[1:]]
    assert choose_fixed(undefined + bad, "fixed", NAME).arm == ("fixed", "bad")
    assert choose_fixed(good[:1] + undefined[1:2] + bad, "fixed", NAME).arm == ("fixed", "good")
