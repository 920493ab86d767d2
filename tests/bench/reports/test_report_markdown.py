from __future__ import annotations

import doctest
from dataclasses import replace

import numpy as np

from paretune.bench.reports import certainty, texts
from paretune.bench.reports.report_markdown import markdown
from paretune.bench.reports.texts import table
from paretune.bench.statistics import estimates, measures, races
from paretune.bench.statistics.power import runs_needed
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Failure
from paretune.bench.tuned import Trial, Tuned
from tests.bench.outcomes import arm, outcome

MIDDLE, HIGH = np.linspace(0.5, 0.58, 5), np.linspace(0.7, 0.78, 5)


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table after `heading`, without its two heading lines."""
    lines = text[text.index(heading) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| -"))
    body = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        body.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return body


def test_the_report_says_who_is_better_than_whom() -> None:
    runs = arm("fixed", MIDDLE) + arm("fixed", HIGH, "first") + arm("saw", HIGH + 0.1, seconds=12.5)
    text = markdown(summarise(runs, name="Toy suite", provenance={"command": "paretune bench --seeds 5"}))
    assert text.startswith("# Toy suite\n\nCells: 15 finished, 0 failed, 0 missing.\n\n- command: `paretune bench")
    best, *_ = rows(text, "## Ranking")
    against = ["1 [0.600, 1]", "better", "0.0079", "better: 0.0079"]
    chosen = ["1 [0.533, 1]", "better", "0.036", "better: 0.036"]
    assert best[:2] == ["1", "saw/balanced"] and best[3:] == [*against, *chosen, "1"]
    heading = "the best fixed arm, chosen on seeds 1, 3, is fixed/first, tested on seeds 0, 2, 4"
    own = rows(text, f"By trained front hypervolume; {heading}")
    assert [row[0] for row in own] == ["saw/balanced", "fixed/first", "fixed/balanced", "untrained"]
    assert own[0][1] == "5" and own[0][2].startswith("0.706 [") and own[0][3:] == [*against, *chosen]
    assert own[1][3:] == own[2][3:] == ["-"] * 8
    assert own[3] == ["untrained", "5", "0.020 [0.020, 0.020]", *["-"] * 8]
    assert "All arms had the same settings" in text
    speed = rows(text, "Speed, and cost")
    assert speed[0] == ["saw/balanced", "5 of 5", "15 [15, 15]", "1500 [1500, 1500]", "x 1.00", "x 1.25", "x 1.00"]


def test_the_report_says_what_training_does_to_what_arms_are_for() -> None:
    lowered = [outcome("fixed", "worse", s, end=(0.06, 0.1), weights=[0.75, 0.25]) for s in range(5)]
    runs = arm("fixed", MIDDLE, exact=[[1.0, 1.0]]) + lowered + arm("saw", HIGH)
    text = markdown(summarise(runs, name="toy"))
    assert text.startswith("# toy\n\n**Invalid setting: Toy, GRPO.** Training does not raise every fixed arm's own")
    assert (
        "## Toy, GRPO: invalid setting; tells weights apart: no\n" in text
        and "No arm is ranked: no setting is valid." in text
    )
    gains = {row[0]: row[1:] for row in rows(text, "Own weighted objective on test data")}
    # From (.1, .2): .75 * .1 + .25 * .2 = .125 to .75 * .06 + .25 * .1 = .07; the first trained policy is the best one,
    # a quarter of the way there.
    assert gains["fixed/worse"] == [
        "5",
        "0.75 0.25",
        "0.125",
        "0.070",
        "-0.055 [-0.055, -0.055]",
        "-0.014 [-0.014, -0.014]",
        "lowered",
        "-",
    ]
    assert gains["fixed/balanced"][1:4] == ["0.5 0.5", "0.150", "0.540"]
    assert gains["fixed/balanced"][6:] == ["raised", "54.0%"]
    verdicts = {row[0]: row[3:] for row in rows(text, "By trained front hypervolume")}
    assert verdicts["saw/balanced"][1] == verdicts["saw/balanced"][5] == "no verdict: invalid setting"
    assert "better" not in verdicts["saw/balanced"][:8]
    others = {row[0]: row[1:] for row in rows(text, "Other measures")}
    assert others["untrained"][:2] == ["0.020 [0.020, 0.020]", "0.020 [0.020, 0.020]"]
    assert "**Tells weights apart: no.** The fixed arms end out of the order of their preferences: more weight" in text
    old = [replace(run, own_weights=None, untrained=None, trained=None) for run in runs]
    told = markdown(summarise(old, name="toy"))
    assert "**Valid setting: not known.** The untrained policy's performance on test data was not recorded" in told
    assert "untrained  " not in told and "better" in told


def test_what_was_tuned_is_in_the_report() -> None:
    trials = [
        Trial(settings={"lr": 0.1}, runs=4, failed=0, own=[0.4, 0.6], gain=[-0.2, 0.0]),
        Trial(settings={"lr": 0.2}, runs=1, failed=3, own=None, gain=None),
    ]
    tuned = Tuned(env="Toy", agent="GRPO", seeds=[1000, 1001], trials=trials, chosen={"lr": 0.1}, remark="so")
    text = markdown(summarise([], name="toy", tuned=[tuned, replace(tuned, chosen=None, remark="")]))
    assert "Toy, GRPO (seeds 1000, 1001): **lr=0.1** (so).\n" in text and "nothing is chosen yet." in text
    assert rows(text, "(so)") == [
        ["lr=0.1 (chosen)", "4", "0", "0.500 [-0.771, 1.771]", "-0.100 [-1.371, +1.171]"],
        ["lr=0.2", "1", "3", "-", "-"],
    ]


def test_what_was_unfair_or_failed_or_has_not_run_is_in_the_report() -> None:
    runs = arm("fixed", MIDDLE) + arm("saw", HIGH, lr=0.5)
    failures = [
        Failure(cell=f"Toy/GRPO/x/y/seed-{i}", traceback="Traceback:\n  ...\nValueError: a `b`\n") for i in range(22)
    ]
    text = markdown(summarise(runs, name="toy", failures=failures, missing=7))
    assert "Cells: 10 finished, 22 failed, 7 missing. The benchmark is not complete" in text
    assert "**Not the same in all arms, although it should be:**" in text
    assert "settings.lr: 0.001 in fixed/balanced; 0.5 in saw/balanced (seed 0 and 4 more)" in text
    assert "- `Toy/GRPO/x/y/seed-19`: `ValueError: a 'b'`\n- and 2 more" in text and "seed-20" not in text


def test_one_seed_shows_no_interval_of_a_measure_and_no_verdict() -> None:
    text = markdown(summarise(arm("fixed", [0.5]) + arm("saw", [0.9]), name="toy"))
    assert "inf" not in text and "nan" not in text
    saw = rows(text, "By trained front hypervolume")[0]
    assert saw[2:7] == ["0.810", "1 [0, 1]", "not distinguishable at 1 seed", "1", "open: 1"]


def test_races_that_are_not_finished_read_never() -> None:
    text = markdown(summarise(arm("fixed", [0.5] * 5) + arm("saw", [0.3] * 5), name="toy"))
    assert rows(text, "Speed")[1][:4] == ["saw/balanced", "0 of 5", "never", "never"]


def test_other_main_measures_and_partial_rankings_are_explained() -> None:
    maze = arm("fixed", MIDDLE, env="Maze")
    runs = arm("fixed", MIDDLE, exact=[[1, 1]]) + arm("saw", HIGH, exact=[[1, 1]])
    text = markdown(summarise(runs + maze, name="toy", main="expected_utility"))
    assert "scaled from 0 for the worst to 1 for the best run" in text and "not strictly comparable" in text
    assert "has a larger expected utility" in text
    assert "has a smaller IGD+" in markdown(summarise(runs + maze, name="toy", main="igd_plus"))


def test_nothing_finished_and_no_fixed_arm_make_a_report_too() -> None:
    assert "Cells: 0 finished, 0 failed, 4 missing." in markdown(summarise([], name="toy", missing=4))
    text = markdown(summarise(arm("saw", HIGH), name="toy"))
    assert rows(text, "Speed")[0] == ["saw/balanced", "-", "-", "-", "-", "-", "-"]


def test_a_family_that_is_too_large_for_its_seeds_says_so() -> None:
    runs = arm("fixed", MIDDLE) + [run for i in range(7) for run in arm(f"other{i}", HIGH + i / 100)]
    text = markdown(summarise(runs, name="toy"))
    assert (
        text.count("Family against fixed: 7 comparisons. With so many comparisons at so few seeds no result can") == 2
    )
    assert "be better than p = 0.056 after Holm, so none can be significant." in text
    saw = rows(text, "By trained front hypervolume")[0]
    assert saw[3:7] == ["1 [0.600, 1]", "better", "0.0079", "open: 0.056"]


def test_seeds_that_cannot_choose_and_test_are_told() -> None:
    runs = arm("fixed", MIDDLE[:3]) + arm("fixed", HIGH[:3], "first") + arm("saw", HIGH[:3])
    text = markdown(summarise(runs, name="toy"))
    told = "the best fixed arm by all seeds is fixed/first, and is not tested: choosing it on other seeds takes 5 seeds"
    assert told in text and "Power: in 80 % of all cases 3 runs of each arm tell no difference. " in text


def test_ties_and_power_are_told() -> None:
    levels = np.sqrt([0.1, 0.2, 0.3, 0.4, 0.5])
    text = markdown(summarise(arm("fixed", levels) + arm("saw", levels), name="toy"))
    assert "Tied pairs, which count half: at most 20% (saw/balanced)." in text
    # s is .158 around .3, and five runs of each arm tell 2.256 s: Phi(2.256 / sqrt 2) = .945.
    told = "5 runs of each arm tell a difference of 0.357 (119% of the baseline's mean, P 0.94). "
    assert f"Power: in 80 % of all cases {told}" in text
    assert f" {runs_needed(0.025**0.5, 0.015)} seeds would tell 5% of the baseline's mean (0.015)." in text


def test_cells_of_a_table_are_padded_and_cannot_break_it() -> None:
    assert table(["a", "b"], [["x|y\nz", "1"]]) == "| a      | b   |\n| ------ | --- |\n| x\\|y z | 1   |"


def test_the_examples_in_the_docstrings_are_right() -> None:
    for module in (certainty, estimates, measures, races, texts):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0
