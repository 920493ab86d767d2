"""Tuning settings on the fixed arms alone before a benchmark runs."""

import doctest
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from paretune.agents import Agent
from paretune.bench.reports.report_markdown import markdown
from paretune.bench.reports.writing import write_reports
from paretune.bench.running import tuning
from paretune.bench.running.cell import RESULT, RUN, SETUP, attempt
from paretune.bench.running.grid import Grid
from paretune.bench.running.runner import MARK, Bench
from paretune.bench.running.tuning import best_trial, remark
from paretune.bench.tuned import Trial, Tuned

TOY = "paretune/TokenConvex-v0"
EASY = {"id": "paretune/Token-v0", "options": {"vocabulary": 4, "length": 3, "shape": "linear", "change_cost": 0.0}}
SETTINGS = {"prompts_per_step": 1, "group_size": 8, "lr": 3e-2, "entropy": 0.05, "eval_prompts": 1, "eval_every": 20}
SIDES = {"left": [1, 0], "right": [0, 1]}
ABSURD, GOOD = 1e-12, 3e-2


class Here:
    """Runs cells in this process, one after the other, at most so many."""

    jobs = 1

    def __init__(self, most=1000):
        self.most = most
        self.ran = []

    def run(self, work, stop_requested):
        for one in work:
            if self.most > 0:
                self.most -= 1
                self.ran.append(one)
                assert attempt(one)
            yield []


def grid(**arguments):
    given = {"envs": [EASY], "agents": ["rloo"], "weightings": ["fixed", "saw"], "preferences": SIDES}
    return Grid(**(given | {"seeds": 1, "steps": 20, "settings": SETTINGS} | arguments))


def trial(own, *, failed=0, gain=0.1, **settings):
    values = None if own is None else [own - 0.1, own + 0.1]
    return Trial(settings=settings, runs=2, failed=failed, own=values, gain=[gain, gain])


def test_the_value_with_which_the_fixed_arms_end_best_is_taken_and_written_down(tmp_path, monkeypatch):
    tested = []
    assess = Agent.assess

    def noted(agent, split, *rest, **more):
        tested.append((split, agent.settings.lr))
        return assess(agent, split, *rest, **more)

    monkeypatch.setattr(Agent, "assess", noted)
    tuned = grid(tune={"lr": [GOOD, ABSURD]}, tune_seeds=2)
    first = Here(most=5)
    bench = Bench(tuned, tmp_path)
    assert not bench.run(first, threads=1)  # stopped in the middle of the trials
    assert {split for split, _ in tested} == {"validation"}
    assert bench.outcomes() == [] and bench.tuned()[0].chosen is None

    second = Here()
    bench = Bench(tuned, tmp_path)
    assert bench.run(second, threads=1)
    trials = [one for one in (*first.ran, *second.ran) if one.trial]
    assert len(trials) == len({one.cell.name for one in trials}) == 2 * 2 * 2  # values, arms, seeds: none ran twice
    assert {one.cell.seed for one in trials} == {1000, 1001}
    assert all(one.cell.weighting.startswith("fixed lr=") for one in trials)
    assert {lr for split, lr in tested if split == "test"} == {GOOD}
    assert [cell.setup["settings"]["lr"] for cell in bench.cells] == [GOOD] * 4

    summary = write_reports(bench)
    (found,) = summary.tuned
    assert found.chosen == {"lr": GOOD} and found.seeds == [1000, 1001]
    low, high = found.trials
    assert (low.settings, low.runs, low.gain) == ({"lr": ABSURD}, 4, [0.0, 0.0])
    assert min(high.gain) > 0.05
    report = (tmp_path / "report.md").read_text()
    assert "## Tuned" in report and "(seeds 1000, 1001): **lr=0.03**" in report and "| lr=0.03 (chosen)" in report
    (stored,) = json.loads((tmp_path / MARK).read_text())["tuned"]
    assert stored["chosen"] == {"lr": GOOD} and len(stored["trials"]) == 2

    again = Here()
    assert Bench(tuned, tmp_path).run(again, threads=1) and again.ran == []
    plain = Bench(grid(settings=SETTINGS | {"lr": GOOD}), tmp_path)  # the record stays without --tune
    assert plain.tuned() == summary.tuned and len(plain.outcomes()) == 4
    with pytest.raises(ValueError, match=r"whose lr is 0\.03 and not 1"):
        Bench(grid(settings=SETTINGS | {"lr": 1.0}), tmp_path)
    with pytest.raises(ValueError, match=r"holds another cell .*, whose lr is 0\.03 and not"):
        Bench(grid(tune={"lr": [0.1, 0.2]}), tmp_path)


def test_an_own_choice_for_each_environment_and_agent():
    both = grid(envs=["paretune/TokenConcave-v0", TOY], agents=["rloo", "grpo"], tune={"lr": [0.1, 0.2]}, tune_seeds=1)
    made = tuning.Tuning(both, Path("nowhere"))
    assert len(made.cells) == 2 * 2 * 2 * 2
    assert [(each.env, each.agent, each.chosen) for each in made.tuned()][3] == ("TokenConvex-v0", "grpo", None)
    assert made.chosen() == {}
    chosen = {("TokenConvex-v0", "grpo"): {"lr": 0.2}}
    rates = {(c.env, c.agent): c.setup["settings"]["lr"] for c in tuning.tuned_cells(both.cells(), chosen)}
    assert rates.pop(("TokenConvex-v0", "grpo")) == 0.2 and set(rates.values()) == {3e-2}


def test_a_tuned_value_goes_over_those_of_environment_and_agent():
    given = {"settings": {"lr": 0.5}}
    own = grid(envs=[{"id": TOY, **given}], agents=[{"name": "rloo", **given}], tune={"lr": [0.1, 0.2]})
    assert {cell.setup["settings"]["lr"] for cell in tuning.Tuning(own, Path("nowhere")).cells} == {0.1, 0.2}


def test_several_settings_are_tried_in_all_combinations():
    several = grid(tune={"entropy": [0.1, 0.0], "order": ["weigh_first", "normalise_first"], "clip": [None, 0.2]})
    candidates = tuning.Tuning(several, Path("nowhere")).candidates
    assert len(candidates) == 8
    assert candidates[0] == {"entropy": 0.0, "order": "weigh_first", "clip": 0.2}


def test_ties_go_to_the_smaller_value_and_a_failure_counts_as_out():
    low, middle, high = trial(0.5, lr=0.1), trial(0.5 + 1e-12, lr=0.2), trial(0.9, failed=1, lr=0.3)
    assert best_trial([low, middle, high]) is low
    assert best_trial([high]) is None and best_trial([trial(None, lr=0.1)]) is None
    assert remark(low, [low, middle, high]) == "the smallest lr that was tried: a better one may lie beyond"
    assert remark(middle, [low, middle, high]) == ""
    useless = trial(0.5, gain=-0.1, lr=0.2)
    assert remark(useless, [low, useless, high]).startswith("even so the fixed arms end no higher than the untrained")


def test_what_was_tuned_is_stored_and_read_back():
    trials = [trial(0.5, lr=0.1), trial(None, lr=0.2)]
    tuned = Tuned(env="a", agent="b", seeds=[1000], trials=trials, chosen={"lr": 0.1}, remark="so")
    assert Tuned.from_dict(json.loads(json.dumps(asdict(tuned)))) == tuned


def test_trials_that_fail_are_told_and_leave_the_benchmark_undone(tmp_path):
    bench = Bench(grid(weightings=["fixed"], preferences=["equal"], tune={"lr": [0.1, 0.2]}, tune_seeds=1), tmp_path)
    for cell in tuning.Tuning(bench.grid, tmp_path / "tuning").cells:
        (tmp_path / "tuning" / cell.name).mkdir(parents=True)
        (tmp_path / "tuning" / cell.name / RUN).write_text("in the way")
    (tmp_path / MARK).write_text('{"name": "benchmark", "provenance": []}')
    assert bench.run(Here(), threads=1)
    summary = write_reports(bench)
    assert len(summary.failures) == 2 and summary.failures[0].cell.startswith("tuning/Token-v0/rloo/fixed-lr-0.1/")
    assert summary.missing == 1 and "nothing is chosen yet" in markdown(summary)


def test_a_trial_with_other_settings_is_refused(tmp_path):
    made = tuning.Tuning(grid(tune={"lr": [0.1, 0.2]}), tmp_path / "tuning")
    folder = tmp_path / "tuning" / made.cells[0].name
    folder.mkdir(parents=True)
    (tmp_path / MARK).write_text('{"name": "benchmark", "provenance": []}')
    (folder / SETUP).write_text(json.dumps(made.cells[0].setup | {"steps": 7}))
    with pytest.raises(ValueError, match="whose steps is 7 and not 20"):
        Bench(grid(tune={"lr": [0.1, 0.2]}), tmp_path)
    (folder / SETUP).unlink()
    (folder / RESULT).write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        Bench(grid(tune={"lr": [0.1, 0.2]}), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tune": {"lrr": [1, 2]}}, "unknown tuned setting 'lrr': did you mean 'lr'"),
        ({"tune": {"seed": [1, 2]}}, "tune: must not have 'seed', as the grid's seeds take its place"),
        ({"tune": {"eval_prompts": [1, 2]}}, "tune: must not have 'eval_prompts', as values of it are judged by other"),
        ({"tune": {"lr": [0.1, -1]}}, "tune: lr: must be None or a finite number above 0, got -1"),
        ({"tune": {"lr": 0.1}}, r"tune: lr: must be a list of values to try, got 0\.1"),
        ({"tune": {"lr": "0.1"}}, r"tune: lr: must be a list of values to try, got '0\.1'"),
        ({"tune": {"lr": [0.1]}}, r"tune: lr: must be at least two different values, got \[0\.1\]"),
        ({"tune": {"lr": [1, 1.0]}}, "tune: lr: must be at least two different values"),
        ({"tune": {"group_size": [1, 2]}}, "tune: group_size=1: group_size: must be at least 2 for rloo"),
        ({"tune": {"minibatches": [1, 99]}}, "tune: minibatches=99: minibatches: must be at most"),
        ({"tune": {"lr": [1, 2]}, "tune_seeds": 0}, "tune_seeds: must be a whole number of at least 1, got 0"),
        (
            {"tune": {"lr": [1, 2]}, "seeds": [5, 1002]},
            r"seeds: must be others than those of the trials, .* got \[1002\]",
        ),
        (
            {"tune": {"lr": [1, 2]}, "weightings": ["fixed", {"name": "saw", "settings": {"lr": 1}}]},
            "tune: must not have what a weighting has of its own, got 'lr' of 'saw'",
        ),
    ],
)
def test_what_cannot_be_tuned_is_told_before_anything_runs(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        Bench(grid(**arguments), tmp_path / "bench")
    assert not (tmp_path / "bench").exists()


def test_the_examples_in_the_docstrings_are_right():
    result = doctest.testmod(tuning)
    assert result.attempted > 0 and result.failed == 0
