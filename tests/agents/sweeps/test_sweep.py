"""A sweep over preferences: one archive, resumed where it stopped, a picture."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest

from paretune.agents import GRPO, RLOO, NetworkConfig, NetworkPolicy, RunFolder, Sweep
from paretune.agents.files import remove
from paretune.agents.pictures.sweep_picture import draw_sweep
from paretune.agents.runs.trackers import NoTracker
from paretune.cli.main import main
from paretune.envs import StyleEnv
from paretune.weighting import ParetoArchive
from tests.agents.letters import LettersEnv, random_policy

SMALL = {"prompts_per_step": 1, "group_size": 4, "eval_prompts": 1, "eval_every": 1, "lr": 1e-2, "pictures": False}


def sweep(out=None, **changes) -> Sweep:
    arguments = {"agent": RLOO, "env": "paretune/TokenConvex-v0", "steps": 2, "preferences": 3, "out": out, **SMALL}
    return Sweep(**(arguments | {"env_options": {"vocabulary": 4, "length": 3}} | changes))


def test_the_archive_holds_all_validations_of_all_runs(tmp_path):
    result = sweep(tmp_path / "s").run()
    assert result.preferences.tolist() == [[0, 1], [0.5, 0.5], [1, 0]]
    expected = ParetoArchive(2)
    for number, preference in enumerate(result.preferences):
        lines = RunFolder(tmp_path / "s" / f"run-{number:03d}").metrics()
        assert lines[1]["weights"] == dict(zip(result.objectives, preference, strict=True))
        for line in lines:
            performance = [line["validation"][name]["mean"] for name in result.objectives]
            expected.add(performance)
        np.testing.assert_allclose(result.performances[number], performance)
    np.testing.assert_allclose(result.archive.front, expected.front)
    assert {tuple(tag) for tag in result.archive.tags} <= {(n, s) for n in range(3) for s in range(3)}
    assert json.loads((tmp_path / "s" / "archive.json").read_text()) == result.archive.state_dict()
    assert (tmp_path / "s" / "front.png").stat().st_size > 0


def test_the_share_of_the_exact_front_is_known_for_toys():
    result = sweep(env_options={"vocabulary": 2, "length": 1}, reference=[-1, -1], steps=1).run()
    front = ParetoArchive([-1, -1])
    for point in ([0.1, 1.0], [1.0, 0.1]):
        front.add(point)
    assert result.share_of_front == pytest.approx(result.archive.hypervolume() / front.hypervolume(), rel=1e-6)
    assert Sweep(GRPO, LettersEnv(), random_policy(), steps=1, preferences=2, **SMALL).run().share_of_front is None


def test_the_folder_of_a_sweep_is_not_taken_for_a_run(tmp_path):
    sweep(tmp_path / "s", steps=1).run()
    with pytest.raises(ValueError, match="run: must be the folder of a run, got that of a sweep"):
        RLOO.load(tmp_path / "s")
    assert RLOO.load(tmp_path / "s" / "run-000").step == 1


def test_runs_do_not_share_a_policy():
    policy = NetworkPolicy(NetworkConfig(kind="mlp", features=7, actions=3, hidden=(4,)))
    before = policy.model.head.weight.detach().clone()
    result = sweep(env=StyleEnv(3, 3), policy=policy, env_options=None).run()
    assert (policy.model.head.weight == before).all()
    assert len({tuple(run) for run in result.preferences.tolist()}) == 3


def test_what_is_finished_is_not_trained_again_and_what_is_not_goes_on(tmp_path, monkeypatch):
    whole = sweep(tmp_path / "whole", preferences=4).run()

    made = sweep(tmp_path / "parts", preferences=4)
    trained = RLOO.train

    def stop_in_the_second_run(agent, steps):
        if agent.recorder.path.name == "run-001":
            record = agent.recorder.record

            def record_and_stop(agent, line):
                record(agent, line)
                if line["step"] == 1:
                    os.kill(os.getpid(), signal.SIGINT)

            agent.recorder.record = record_and_stop
        return trained(agent, steps)

    monkeypatch.setattr(RLOO, "train", stop_in_the_second_run)
    parts = made.run()
    assert parts.interrupted and len(parts.performances) == 2 and parts.steps == [2, 1]
    monkeypatch.undo()

    first = (tmp_path / "parts" / "run-000" / "metrics.jsonl").stat().st_mtime_ns
    again = sweep(tmp_path / "parts", preferences=4).run()
    assert not again.interrupted and len(again.performances) == 4
    assert (tmp_path / "parts" / "run-000" / "metrics.jsonl").stat().st_mtime_ns == first
    np.testing.assert_array_equal(again.performances, whole.performances)
    np.testing.assert_array_equal(again.archive.front, whole.archive.front)


@pytest.mark.parametrize("during", ["the last step", "what follows it"])
def test_a_stop_at_the_end_of_a_run_ends_the_sweep(during, monkeypatch, tmp_path):
    made = sweep(tmp_path / "s")
    trained = RLOO.train

    def train_and_stop(agent, steps):
        step = agent._train_step

        def step_and_stop(lr):
            line = step(lr)
            if during == "the last step" and line["step"] == 2:
                os.kill(os.getpid(), signal.SIGINT)
            return line

        agent._train_step = step_and_stop
        result = trained(agent, steps)
        if during == "what follows it":
            os.kill(os.getpid(), signal.SIGINT)
        return result

    monkeypatch.setattr(RLOO, "train", train_and_stop)
    result = made.run()
    assert result.interrupted and result.performances.shape == (1, 2)
    monkeypatch.undo()
    assert not made.run().interrupted  # the request has gone with the run


def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_from_the_same_policy(tmp_path):
    policy = NetworkPolicy(NetworkConfig(kind="mlp", features=7, actions=3, hidden=(4,)), seed=77)
    policy.model.head.weight.data.mul_(100)  # no network of a seed
    arguments = {"env": StyleEnv(3, 3), "policy": policy, "env_options": None, "out": tmp_path / "s", "lr": 1e-9}
    first = sweep(**arguments).run()
    remove(tmp_path / "s" / "run-001" / "checkpoints")
    assert sweep(**arguments).run().performances.tolist() == first.performances.tolist()


def test_a_run_that_goes_on_keeps_its_tracker(tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr("paretune.agents.recorder.check_tracker", lambda name: None)
    monkeypatch.setattr("paretune.agents.recorder.make_tracker", lambda name, *_: used.append(name) or NoTracker())
    made = sweep(tmp_path / "s", tracker="tensorboard", preferences=1)
    for made.steps in (1, 2):
        made.run()
    assert used == ["tensorboard"] * 2


def test_refinement_fills_the_widest_gap():
    made = sweep(preferences=2, refine=2, steps=1)
    outcomes = iter([[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.5, 0.5]])

    class Finished:
        step = 1

        def __init__(self):
            self.performances = {0: np.zeros(2), 1: np.array(next(outcomes))}

    made._train = lambda number, preference: Finished()
    assert made.run().preferences.tolist() == [[0, 1], [1, 0], [0.5, 0.5], [0.75, 0.25]]


def test_another_sweep_in_the_folder_is_left_alone(tmp_path):
    sweep(tmp_path / "s", steps=1).run()
    with pytest.raises(ValueError, match=r"holds another one, whose lr is 0\.01 and not 0\.02"):
        sweep(tmp_path / "s", steps=1, lr=0.02)
    assert sweep(tmp_path / "s", steps=1, lr=0.02, overwrite=True).run().performances.shape == (3, 2)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("keep")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="must be a new folder or that of a sweep"):
            sweep(tmp_path / "other", overwrite=overwrite)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: must be a whole number of at least 1, got 0"),
        ({"refine": -1}, "refine: must be a whole number of at least 0, got -1"),
        ({"preferences": 0}, "preferences: must be at least 1"),
        *(
            ({"preferences": wrong}, "preferences: must be a number of preferences, or a list of them with 2 weights")
            for wrong in ([], [0.5], [[0.5, 0.3, 0.2]], [[0, 0]], [[-1, 2]], [[1, 2], [1]], [["a", 1]], 2.5, True, None)
        ),
        ({"preference": [1, 1]}, "preference: must be left to preferences, which a sweep takes"),
        ({"lr": -1.0}, "lr: must be None or a finite number above 0"),
        ({"weighting": "fixd"}, "unknown weighting 'fixd'"),
    ],
)
def test_bad_settings_are_refused_before_anything_starts(changes, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        sweep(tmp_path / "s", **changes)
    assert not (tmp_path / "s").exists()


def test_arrays_serve_as_preferences_and_reference(tmp_path):
    options = {"preferences": np.array([[1, 1], [3, 1]]), "reference": np.array([-9, -9])}
    options |= {"steps": 1, "seed": np.int64(3)}
    result = sweep(tmp_path / "s", **options).run()
    assert result.preferences.tolist() == [[0.5, 0.5], [0.75, 0.25]]
    assert sweep(tmp_path / "s", **options).run().archive.reference.tolist() == [-9, -9]
    assert len(sweep(preferences=np.int64(2), steps=1).preferences) == 2


def test_a_reference_above_the_front_has_no_share():
    assert sweep(reference=[9, 9], steps=1).run().share_of_front is None


def test_a_folder_that_holds_no_readable_sweep_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"must be a folder, got .* which is a file"):
        sweep(tmp_path / "file")
    (tmp_path / "damaged").mkdir()
    for text, message in (("{", "which is damaged"), ("3", "must describe a sweep, got int")):
        (tmp_path / "damaged" / "sweep.json").write_text(text)
        with pytest.raises(ValueError, match=message):
            sweep(tmp_path / "damaged")


@pytest.mark.parametrize("objectives", [2, 3, 6])
def test_the_picture_of_any_number_of_objectives(objectives, tmp_path):
    points = np.eye(objectives)
    path = draw_sweep(tmp_path / "s.png", [f"o{k}" for k in range(objectives)], points, points, points, points * 1.1)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="at least one run"):
        draw_sweep(tmp_path / "s.png", ["a", "b"], [], [], [])
    with pytest.raises(ValueError, match="at least two names"):
        draw_sweep(tmp_path / "s.png", ["a"], [[1]], [[1]], [[1]])


def test_the_command_says_what_came_of_each_preference(tmp_path, capsys):
    words = [
        "sweep",
        "--env",
        "paretune/TokenConvex-v0",
        "--env-options",
        "vocabulary=4",
        "length=3",
        "--agent",
        "rloo",
    ]
    words += ["--steps", "1", "--preferences", "2", "--eval-prompts", "1", "--out", str(tmp_path / "s")]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("run 1 of 2: weights style_0 0.000, style_1 1.000 | style_0 ")
    assert (
        lines[2].split()[:2] == ["run", "steps"]
        and lines[3].split()[:2] == ["0", "1"]
        and "of the exact front's" in lines[-3]
    )
    assert lines[-2:] == [f"sweep:    {tmp_path / 's'}", f"picture:  {tmp_path / 's' / 'front.png'}"]
    assert main([*words, "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert main([*words, "--preferences", "3"]) == 2
    assert "holds another one, whose preferences is" in capsys.readouterr().err
