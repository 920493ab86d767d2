"""One cell: what it measures, going on with it, and what is left in its folder."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from paretune.agents import Agent, agent_class
from paretune.agents.runs.run_folder import RunFolder
from paretune.bench.outcome import Outcome
from paretune.bench.running.cell import COURSE_POINTS, ERROR, RESULT, RUN, Work, attempt, run_cell
from paretune.bench.running.grid import Grid, agent_arguments
from paretune.bench.statistics.measures import MAIN, completed
from paretune.weighting import ParetoArchive
from paretune.weighting.archive import hypervolume

SETTINGS = {"prompts_per_step": 1, "group_size": 4, "lr": 1e-2, "entropy": 0.2, "eval_prompts": 1, "eval_every": 2}


def work(folder, *, steps=6, keep_checkpoints=False, env="paretune/TokenConcave-v0", weighting="fixed", **settings):
    grid = Grid(envs=[env], agents=["rloo"], weightings=[weighting], seeds=1, steps=steps, settings=SETTINGS | settings)
    return Work(cell=grid.cells()[0], folder=folder, threads=1, keep_checkpoints=keep_checkpoints)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished cell whose checkpoints were left."""
    one = work(tmp_path_factory.mktemp("cell"), steps=40, keep_checkpoints=True)
    assert run_cell(one)
    return one, Outcome.read(one.folder / RESULT)


def test_the_front_is_chosen_on_validation_and_measured_on_test_data(finished):
    one, outcome = finished
    archive = ParetoArchive(2)
    for step, performance in zip(outcome.curve.steps, outcome.curve.performance, strict=True):
        archive.add(performance, tag=step)
    assert sorted(archive.tags) == [point.step for point in outcome.front]
    assert len(outcome.front) > 1
    for point in (*outcome.front, outcome.final):
        agent = Agent.load(one.folder / RUN, f"step-{point.step:06d}")
        assert agent.assess("test", 32).mean.tolist() == point.test
        assert agent.performances[point.step].tolist() == point.validation


def test_the_untrained_policy_and_what_it_alone_dominates_are_measured_too(finished):
    one, outcome = finished
    assert outcome.untrained.step == 0 and outcome.own_weights == [0.5, 0.5]
    assert outcome.untrained.test == Agent.load(one.folder / RUN, "step-000000").assess("test", 32).mean.tolist()
    archive = ParetoArchive(2)
    for step, performance in list(zip(outcome.curve.steps, outcome.curve.performance, strict=True))[1:]:
        archive.add(performance, tag=step)
    assert sorted(archive.tags) == [point.step for point in outcome.trained]
    volume = hypervolume(np.array([point.test for point in outcome.trained]), np.zeros(2))
    assert outcome.measures[MAIN] == pytest.approx(volume)
    assert outcome.measures["front_hypervolume"] >= outcome.measures[MAIN]
    kept = {path.name for path in RunFolder(one.folder / RUN).checkpoints()}
    tested = (outcome.untrained, *outcome.front, *outcome.trained, outcome.final)
    assert kept == {f"step-{point.step:06d}" for point in tested}


def test_a_policy_that_the_untrained_one_alone_dominates_is_tested(tmp_path, monkeypatch):
    given = iter([[0.9, 0.9], [0.5, 0.6], [0.4, 0.5], [0.6, 0.5]])  # at steps 0, 2, 4, 6
    evaluate = Agent.assess

    class Given:
        def __init__(self, mean):
            self.mean = np.array(mean)
            self.standard_error = np.zeros(2)

        def summary(self):
            return {}

    def assess(agent, split, *rest, **more):
        return Given(next(given)) if split == "validation" else evaluate(agent, split, *rest, **more)

    monkeypatch.setattr(Agent, "assess", assess)
    one = work(tmp_path)
    assert run_cell(one)
    outcome = Outcome.read(tmp_path / RESULT)
    assert [point.step for point in outcome.front] == [0]
    assert [point.step for point in outcome.trained] == [2, 6]


def test_an_outcome_of_an_older_version_is_read_and_its_front_is_without_step_0(finished, tmp_path):
    _, outcome = finished
    old = json.loads(json.dumps(asdict(outcome)))
    for name in ("own_weights", "untrained", "trained", "sweep_of"):
        del old[name]
    del old["measures"][MAIN]
    dominated = {"step": 0, "validation": [-1.0, -1.0], "test": [0.3, 0.3]}
    old["front"] = [dominated, *(point for point in old["front"] if point["step"] > 0)]
    (tmp_path / RESULT).write_text(json.dumps(old))
    read = Outcome.read(tmp_path / RESULT)
    assert (read.own_weights, read.untrained, read.trained) == (None, None, None)
    assert read.start is not None and read.start.test == [0.3, 0.3]
    steps = [point.step for point in read.trained_front]
    assert 0 not in steps and steps == sorted(steps)
    volume = hypervolume(np.array([point.test for point in read.trained_front]), np.zeros(2))
    assert completed(read).measures[MAIN] == pytest.approx(volume)


def test_a_run_that_kept_fewer_checkpoints_is_made_again(tmp_path):
    one = work(tmp_path)
    setup = one.cell.setup
    given = agent_arguments(setup) | {"keep": "front"}
    agent_class(setup["agent"])(out=tmp_path / RUN, **given).train(4)
    assert run_cell(one)
    assert Outcome.read(tmp_path / RESULT).curve.steps == [0, 2, 4, 6]
    assert RunFolder(tmp_path / RUN).config()["keep"] == "fronts"


def test_the_curve_is_that_of_the_runs_metrics(finished):
    one, outcome = finished
    lines = RunFolder(one.folder / RUN).metrics()
    validated = [line for line in lines if "validation" in line]
    assert outcome.curve.steps == [line["step"] for line in validated] == list(range(0, 41, 2))
    assert outcome.curve.hypervolume == [line["hypervolume"] for line in validated]
    assert outcome.curve.tokens[-1] == sum(line["env_steps"] for line in lines[1:]) == 40 * 4 * 10
    assert outcome.curve.tokens[0] == outcome.curve.updates[0] == 0
    assert outcome.curve.updates[-1] == outcome.cost["updates"] == 40
    assert outcome.cost["responses"] == 160
    timed = sum(seconds for line in lines for seconds in line["times"].values())
    assert outcome.cost["seconds"] == pytest.approx(timed)
    assert outcome.cost["peak_memory_mb"] > 50


def test_the_course_holds_directions_scales_and_rewards(tmp_path):
    one = work(tmp_path, weighting="hypervolume")
    assert run_cell(one)
    course = Outcome.read(one.folder / RESULT).course
    lines = RunFolder(one.folder / RUN).metrics()[1:]
    assert course.steps == list(range(1, 7))
    assert course.scale == [line["scale"] for line in lines]
    np.testing.assert_allclose(np.sum(course.direction, axis=1), 1)
    assert course.rewards[2] == [lines[2]["rewards"][name]["mean"] for name in ("style_0", "style_1")]


def test_a_long_course_is_thinned_but_keeps_its_ends(tmp_path):
    one = work(tmp_path, steps=COURSE_POINTS + 50, eval_every=50, group_size=2)
    assert run_cell(one)
    steps = Outcome.read(one.folder / RESULT).course.steps
    assert len(steps) == COURSE_POINTS
    assert (steps[0], steps[-1]) == (1, COURSE_POINTS + 50)


def test_the_exact_front_is_there_where_it_is_known(finished):
    one, outcome = finished
    agent = Agent.load(one.folder / RUN)
    np.testing.assert_array_equal(outcome.exact, agent.env.pareto_front(gamma=1.0))


def test_checkpoints_go_when_a_cell_is_finished(tmp_path):
    one = work(tmp_path)
    assert run_cell(one)
    assert not (tmp_path / RUN / "checkpoints").exists()
    assert RunFolder(tmp_path / RUN).metrics()
    assert not (tmp_path / RUN / "front.png").exists()


def test_a_cell_that_was_stopped_goes_on_and_ends_the_same(tmp_path, monkeypatch):
    whole, stopped = work(tmp_path / "whole"), work(tmp_path / "stopped")
    assert run_cell(whole)
    step = Agent._train_step

    def breaks_at_four(agent, lr):
        if agent.step == 3:
            raise KeyboardInterrupt
        return step(agent, lr)

    with monkeypatch.context() as patch:
        patch.setattr(Agent, "_train_step", breaks_at_four)
        assert attempt(stopped) is False
    assert not stopped.ended
    assert attempt(stopped) is True
    first, second = (json.loads((one.folder / RESULT).read_text()) for one in (whole, stopped))
    for outcome in (first, second):
        del outcome["cost"]
    assert first == second


def test_an_error_goes_to_the_cells_folder_with_its_traceback_and_is_forgotten_when_it_works(tmp_path, monkeypatch):
    one = work(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Agent, "_train_step", lambda agent, lr: 1 / 0)
        assert attempt(one) is True
    text = (tmp_path / ERROR).read_text()
    assert text.startswith("Traceback")
    assert "ZeroDivisionError" in text
    assert one.ended
    assert attempt(one) is True
    assert (tmp_path / RESULT).exists()
    assert not (tmp_path / ERROR).exists()


def test_the_step_of_a_run_is_read_from_the_end_of_its_metrics(tmp_path):
    one = work(tmp_path)
    assert one.step == 0
    run = RunFolder(tmp_path / RUN)
    run.path.mkdir()
    run.append_metrics({"step": 0})
    run.append_metrics({"step": 12})
    with run.metrics_path.open("a") as file:
        file.write('{"step": 13')
    assert one.step == 12


def test_a_damaged_outcome_is_told(tmp_path):
    path = tmp_path / RESULT
    for text in ("{", "[]", '{"env": "x"}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="is damaged"):
            Outcome.read(path)
