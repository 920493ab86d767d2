"""A front measured again: by which prompts, what is noted where, and what cannot be measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.agents import RLOO, Agent, RunFolder, remeasure_front
from paretune.agents.files import remove
from paretune.weighting import ParetoArchive
from tests.agents.letters import LettersEnv, random_policy

SETTINGS: dict[str, Any] = {"prompts_per_step": 2, "group_size": 4, "eval_every": 1, "pictures": False, "lr": 1e-2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps, validated on the first 4 of 10 prompts by sampled responses."""
    folder = tmp_path_factory.mktemp("remeasured") / "run"
    chosen = {"eval_prompts": 4, "eval_sampled": True, "keep": "front", "checkpoint_every": 100}
    RLOO(LettersEnv(prompts=10), random_policy(), "fixed", out=folder, **SETTINGS, **chosen).train(3)
    return folder


def test_each_policy_of_the_front_answers_the_prompts_behind_those_that_chose_it(trained: Path) -> None:
    env = LettersEnv(prompts=10)
    front = remeasure_front(trained, env=env)
    archive = json.loads(RunFolder(trained).archive_path.read_text())
    assert list(front.steps) == sorted(archive["tags"]) and front.missing == ()
    assert (front.split, front.skipped, front.prompts) == ("validation", 4, 4)
    for n, step in enumerate(front.steps):
        policy = Agent.load(trained, f"step-{step:06d}", env=env)
        behind = policy.assess("validation", 4, skip=4)
        assert front.performance[n].tolist() == behind.mean.tolist()
        assert front.standard_error[n].tolist() == behind.standard_error.tolist()
        assert front.chosen_by[n].tolist() == policy.performances[step].tolist()
        prompts = env.prompts("validation")[4:8]
        assert behind.rewards.tolist() == env.score(prompts, behind.responses).tolist()
    assert front.hypervolume_chosen_by == pytest.approx(archive["hypervolume"])


def test_the_archive_tells_what_came_of_it_and_loads_as_before(trained: Path) -> None:
    front = remeasure_front(trained, "test", 3, sampled=False, env=LettersEnv(prompts=10))
    assert (front.skipped, front.prompts) == (0, 3)  # test prompts have chosen nothing
    archive = json.loads(RunFolder(trained).archive_path.read_text())
    assert archive["remeasured"] == front.summary()
    assert archive["remeasured"]["points"][0]["step"] == front.steps[0]
    again = ParetoArchive(2)
    again.load_state_dict(archive)
    assert again.state_dict() == {name: value for name, value in archive.items() if name != "remeasured"}


def test_all_prompts_behind_are_used_where_there_are_fewer(trained: Path) -> None:
    assert remeasure_front(trained, prompts=50, env=LettersEnv(prompts=10)).prompts == 6
    single = remeasure_front(trained, prompts=1, env=LettersEnv(prompts=10))
    assert np.isnan(single.standard_error).all()
    assert json.dumps(single.summary(), allow_nan=False).count("null") == 2 * len(single.steps)


def test_policies_without_a_checkpoint_are_named(trained: Path, tmp_path: Path) -> None:
    folder, env = tmp_path / "run", LettersEnv(prompts=10)
    agent = RLOO(env, random_policy(), "fixed", out=folder, eval_prompts=4, keep="all", **SETTINGS)
    agent.train(1)
    run = RunFolder(folder)
    archive = ParetoArchive(2)
    for step, point in ((0, [0.25, 0.5]), (1, [0.5, 0.25])):
        archive.add(point, tag=step)
    run.write_archive(archive)
    remove(run.checkpoint_path(0))
    front = remeasure_front(folder, env=env)
    assert (front.steps, front.missing) == ((1,), (0,))
    assert front.hypervolume_chosen_by == 0.125
    remove(run.checkpoint_path(1))
    with pytest.raises(ValueError, match=r"folder: must hold a checkpoint of a policy on its front \(of step 0, 1\)"):
        remeasure_front(folder, env=env)


def test_a_split_of_which_all_prompts_have_chosen_is_refused(tmp_path: Path) -> None:
    folder, env = tmp_path / "run", LettersEnv(prompts=3)
    RLOO(env, random_policy(), "fixed", out=folder, keep="front", **SETTINGS).train(1)
    with pytest.raises(ValueError, match=r"split: must have other prompts .* got 'validation', whose 3"):
        remeasure_front(folder, env=env)
    assert remeasure_front(folder, "test", env=env).prompts == 3


def test_a_folder_without_a_run_or_an_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be the folder of a run"):
        remeasure_front(tmp_path)
    RunFolder(tmp_path / "run").create({})
    with pytest.raises(ValueError, match="folder: must hold an archive"):
        remeasure_front(tmp_path / "run")
