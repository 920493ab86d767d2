"""Objectives that evaluations report and training never sees."""

from __future__ import annotations

import json

import numpy as np
import pytest

from paretune.agents import GRPO, Agent, RunFolder
from paretune.cli.main import main

SMALL = {"prompts_per_step": 2, "group_size": 2, "eval_prompts": 4, "lr": 1e-3, "pictures": False}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> RunFolder:
    folder = tmp_path_factory.mktemp("runs") / "run"
    options = {"evaluation_only": ["clarity"]}
    GRPO("paretune/Arithmetic-v0", "tiny-math", "hypervolume", env_options=options, out=folder, **SMALL).train(1)
    return RunFolder(folder)


def test_validations_have_them_and_nothing_else_does(run):
    lines = run.metrics()
    for line in lines:
        assert list(line["weights"]) == ["accuracy", "conciseness"]
        assert list(line["validation"]) == ["accuracy", "conciseness", "clarity"]
    assert list(lines[1]["rewards"]) == ["accuracy", "conciseness"]
    assert len(json.loads(run.archive_path.read_text())["reference"]) == 2


def test_a_loaded_agent_reports_them(run):
    agent = Agent.load(run.path)
    evaluation = agent.assess("test")
    assert evaluation.mean.shape == agent.evaluate("test").shape == (2,)
    assert evaluation.reported == ("clarity",) and evaluation.scores.shape == (4, 1)
    report = agent.env.report(agent.env.prompts("test", 4), evaluation.responses)
    np.testing.assert_array_equal(evaluation.scores, report)
    assert evaluation.summary()["clarity"]["mean"] == pytest.approx(report.mean())


def test_they_do_not_change_the_training(run, tmp_path):
    from paretune.envs import make_env

    env = make_env("paretune/Arithmetic-v0", evaluation_only=["clarity"])
    env._evaluation_only, env.evaluation_only = (), ()
    GRPO(env, "tiny-math", "hypervolume", out=tmp_path / "without", **SMALL).train(1)
    for with_them, without in zip(run.metrics(), RunFolder(tmp_path / "without").metrics(), strict=True):
        del with_them["validation"]["clarity"], with_them["times"], without["times"]
        with_them.pop("counts", None), without.pop("counts", None)
        assert with_them == without


def test_the_evaluation_command_shows_them(run, capsys):
    assert main(["evaluate", str(run.path)]) == 0
    assert "clarity (evaluation only)" in capsys.readouterr().out
    assert main(["evaluate", str(run.path), "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["objectives"]) == ["accuracy", "conciseness", "clarity"]
