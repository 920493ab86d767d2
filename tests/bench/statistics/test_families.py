from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.bench.statistics import families
from paretune.bench.statistics.families import corrected, holm, least_adjusted
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Interval, Rival
from tests.bench.outcomes import arm


def rival(p: float, verdict: str = "better", least_p: float = 0.0) -> Rival:
    return Rival(probability=Interval(0.9, 0.6, 1.0), verdict=verdict, p=p, least_p=least_p)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_keeps_the_order_lies_between_p_and_bonferroni_and_does_not_depend_on_places(values, random) -> None:
    adjusted = holm(values)
    assert all(p <= a <= min(1.0, len(values) * p) + 1e-12 for p, a in zip(values, adjusted, strict=True))
    assert [adjusted[i] for i in np.argsort(values, kind="stable")] == sorted(adjusted)
    places = list(range(len(values)))
    random.shuffle(places)
    assert holm([values[i] for i in places]) == pytest.approx([adjusted[i] for i in places])


def test_verdicts_that_do_not_survive_are_open() -> None:
    first, second, third = corrected([rival(0.001), rival(0.04, "worse"), rival(0.5, "not distinguishable at 5 seeds")])
    assert (first.family, first.adjusted, first.corrected, first.told) == (3, pytest.approx(0.003), "better", "better")
    assert (second.adjusted, second.corrected) == (pytest.approx(0.08), "not distinguishable")
    assert second.told == "worse, not after Holm" and third.told == third.corrected == third.verdict


def test_the_smallest_p_that_a_family_can_have() -> None:
    many = corrected([rival(0.01, least_p=2 / 252)] * 25)
    assert least_adjusted(many) == pytest.approx(25 * 2 / 252)
    assert least_adjusted(corrected([rival(0.01, least_p=2 / 252)] * 6)) <= 0.05
    assert least_adjusted([]) == 1.0


def test_a_family_is_one_kind_of_rival_and_one_measure_over_all_comparisons() -> None:
    levels = np.linspace(0.5, 0.6, 5)
    runs = [run for env in ("A", "B") for run in arm("fixed", levels, env=env) + arm("saw", levels + 0.3, env=env)]
    runs += arm("random", levels + 0.3, env="B")
    summary = summarise(runs, name="toy")
    rivals = [a.against_baseline for comparison in summary.comparisons for a in comparison.arms if a.against_baseline]
    assert [len(rivals), *{r["front_hypervolume"].family for r in rivals}] == [3, 3]
    assert rivals[0]["front_hypervolume"].p == pytest.approx(2 / 252)
    assert rivals[0]["front_hypervolume"].adjusted == pytest.approx(3 * 2 / 252)
    over = [ranked.over_baseline for ranked in summary.ranking if ranked.over_baseline]
    assert [each.family for each in over] == [2, 2]
    assert {each.arm for each in over} == {("fixed", "balanced")}


def test_the_examples_in_the_docstrings_are_right() -> None:
    result = doctest.testmod(families)
    assert result.attempted > 0 and result.failed == 0
