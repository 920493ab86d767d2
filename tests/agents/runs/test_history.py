"""The history of a run: what is written is read again, exactly, whatever happens in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from paretune.agents import GRPO, RLOO, Agent, RunFolder
from paretune.agents.runs.history import History
from paretune.envs import StyleEnv
from paretune.weighting.gram_estimate import GramAverage, GramEstimate, to_lists
from tests.agents.letters import LettersEnv, random_policy

SETTINGS: dict[str, Any] = {"prompts_per_step": 2, "group_size": 3, "lr": 1e-2, "eval_every": 2, "pictures": False}
SHAPE = (2, 3, 2)


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Three steps of float64 rewards, the second one with a Gram matrix."""
    made = History(tmp_path / "history", SHAPE)
    for step in (1, 2, 3):
        made.append(step, rewards_of(step), np.full((2, 2), step / 7) if step == 2 else None, single=False)
    return made


def rewards_of(step: int) -> np.ndarray:
    return np.arange(12).reshape(SHAPE) / 10 + step


def history_of(run: Path, objectives: int = 2) -> History:
    config = RunFolder(run).config()
    return History(run / "history", (config["prompts_per_step"], config["group_size"], objectives))


def test_what_is_written_is_read(history: History) -> None:
    rewards = history.rewards()
    assert list(rewards) == [1, 2, 3]
    for step, value in rewards.items():
        assert value.dtype == np.float64 and value.tolist() == rewards_of(step).tolist()
    assert {step: gram.tolist() for step, gram in history.grams().items()} == {2: [[2 / 7, 2 / 7], [2 / 7, 2 / 7]]}


def test_files_are_as_small_as_they_are_described(history: History, tmp_path: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in history.folder.iterdir()}
    assert sizes == {"rewards.f64": 3 * (8 + 12 * 8), "gram.f64": 8 + 4 * 8}
    single = History(tmp_path / "single", SHAPE)
    single.append(1, rewards_of(1).astype(np.float32), None, single=True)
    assert {path.name: path.stat().st_size for path in single.folder.iterdir()} == {"rewards.f32": 8 + 12 * 4}
    assert single.rewards()[1].tolist() == rewards_of(1).astype(np.float32).astype(np.float64).tolist()


@pytest.mark.parametrize("missing", [1, 8, 50, 103])
def test_a_record_that_was_cut_off_is_dropped(history: History, missing: int) -> None:
    path = history.folder / "rewards.f64"
    path.write_bytes(path.read_bytes()[:-missing])
    assert list(history.rewards()) == [1, 2]
    history.forget_after(3)
    history.append(3, rewards_of(30), None, single=False)
    assert [value.tolist() for value in history.rewards().values()] == [
        rewards_of(step).tolist() for step in (1, 2, 30)
    ]


@pytest.mark.parametrize(
    ("step", "rewards", "grams"), [(3, [1, 2, 3], [2]), (2, [1, 2], [2]), (1, [1], []), (0, [], [])]
)
def test_later_steps_are_forgotten(history: History, step: int, rewards: list[int], grams: list[int]) -> None:
    history.forget_after(step)
    assert (list(history.rewards()), list(history.grams())) == (rewards, grams)


def test_a_copy_ends_at_a_step(history: History, tmp_path: Path) -> None:
    copy = History(tmp_path / "copy", SHAPE)
    history.copy_until(2, copy)
    assert (list(copy.rewards()), list(copy.grams())) == ([1, 2], [2])
    assert copy.rewards()[2].tolist() == rewards_of(2).tolist()
    assert list(history.rewards()) == [1, 2, 3]


def test_where_nothing_was_written_nothing_is_read_copied_or_forgotten(tmp_path: Path) -> None:
    nothing = History(tmp_path / "history", SHAPE)
    nothing.forget_after(0)
    nothing.copy_until(1, History(tmp_path / "copy", SHAPE))
    assert nothing.rewards() == nothing.grams() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_run_keeps_the_rewards_that_its_metrics_sum_up(tmp_path: Path) -> None:
    GRPO(LettersEnv(), random_policy(), "hypervolume", out=tmp_path / "text", **SETTINGS).train(3)
    RLOO(StyleEnv(4, 3), "mlp", out=tmp_path / "steps", gamma=0.9, **SETTINGS).train(3)
    for run, ending in (("text", "f32"), ("steps", "f64")):
        assert [path.name for path in (tmp_path / run / "history").iterdir()] == [f"rewards.{ending}"]
        rewards = history_of(tmp_path / run).rewards()
        lines = RunFolder(tmp_path / run).metrics()[1:]
        assert list(rewards) == [line["step"] for line in lines] == [1, 2, 3]
        for line in lines:
            means = [entry["mean"] for entry in line["rewards"].values()]
            assert rewards[line["step"]].reshape(-1, 2).mean(axis=0).tolist() == pytest.approx(means, rel=1e-14)
            least = [entry["min"] for entry in line["rewards"].values()]
            assert rewards[line["step"]].min(axis=(0, 1)).tolist() == least


def test_a_run_keeps_the_gram_matrices_that_were_computed(tmp_path: Path) -> None:
    agent = RLOO(StyleEnv(4, 3), "mlp", "gradient", weighting_options={"every": 2}, out=tmp_path / "run", **SETTINGS)
    agent.train(4)
    grams = history_of(tmp_path / "run").grams()
    influences = [line["influences"] for line in RunFolder(tmp_path / "run").metrics() if line["step"] in grams]
    assert len(influences) == 2
    average = GramAverage(0.9)
    for gram, logged in zip(grams.values(), influences, strict=True):
        assert isinstance(gram, GramEstimate) and (gram.matrix == gram.matrix.T).all() and (gram.squares > 0).all()
        assert average.add(gram).influences().values.tolist() == pytest.approx(list(logged.values()))


def test_estimates_are_read_as_they_were(history: History) -> None:
    noise = np.random.default_rng(0).normal(size=(2, 2, 2, 2, 2))
    known = GramEstimate(np.eye(2), np.array([2.0, 3.0]), noise)
    history.append(4, rewards_of(4), known, single=False)
    history.append(5, rewards_of(5), GramEstimate(np.eye(2), np.array([2.0, 3.0]), None), single=False)
    history.append(6, rewards_of(6), np.eye(2), single=False)
    found = history.grams()
    assert to_lists(found[4]) == to_lists(known) and found[5].noise is None and isinstance(found[6], np.ndarray)
    history.forget_after(4)
    assert list(history.grams()) == [2, 4] and history.grams()[4].noise is not None


def test_a_run_of_an_older_version_goes_on_as_it_began(tmp_path: Path) -> None:
    agent = RLOO(StyleEnv(4, 3), "mlp", "gradient", gradient_estimate="batch", out=tmp_path / "run", **SETTINGS)
    agent.train(1)
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    del config["gradient_estimate"], config["gradient_parts"]
    path.write_text(json.dumps(config))
    made = Agent.load(tmp_path / "run", env=StyleEnv(4, 3))
    assert made.settings.gradient_estimate == "batch" and made.settings.gradient_responses == 1
    made.train(1)
    assert all(isinstance(gram, np.ndarray) for gram in history_of(tmp_path / "run").grams().values())


def test_a_saved_agent_takes_its_history_along(tmp_path: Path) -> None:
    made = GRPO(LettersEnv(), random_policy(), out=tmp_path / "run", keep="all", record_gram=True, **SETTINGS)
    made.train(4)
    Agent.load(tmp_path / "run", "step-000002", env=LettersEnv()).save(tmp_path / "branch")
    whole, branch = history_of(tmp_path / "run"), history_of(tmp_path / "branch")
    assert (list(branch.rewards()), list(branch.grams())) == ([1, 2], [1, 2])
    Agent.load(tmp_path / "branch", env=LettersEnv()).train(2)
    assert [value.tolist() for value in branch.rewards().values()] == [v.tolist() for v in whole.rewards().values()]
    assert list(map(to_lists, branch.grams().values())) == list(map(to_lists, whole.grams().values()))


@pytest.mark.parametrize("weighting", ["fixed", "gradient"])
def test_recording_gram_matrices_changes_nothing_else(tmp_path: Path, weighting: str) -> None:
    def trained(name: str, **more: Any) -> RunFolder:
        options = {"every": 3} if weighting == "gradient" else {}
        agent = GRPO(
            LettersEnv(),
            random_policy(),
            weighting,
            weighting_options=options,
            out=tmp_path / name,
            gradient_responses=4,
            epochs=2,
            minibatches=2,
            **SETTINGS,
            **more,
        )
        agent.train(4)
        return RunFolder(tmp_path / name)

    plain, recorded = trained("plain"), trained("recorded", record_gram=True)
    lines = [[line | {"times": None} for line in run.metrics()] for run in (plain, recorded)]
    assert lines[0] == lines[1]
    models = [load_file(run.checkpoints()[-1] / "model.safetensors") for run in (plain, recorded)]
    assert all((models[0][name] == models[1][name]).all() for name in models[0])
    few, all_steps = history_of(plain.path).grams(), history_of(recorded.path).grams()
    assert list(few) == ([1, 4] if weighting == "gradient" else [])
    assert list(all_steps) == [1, 2, 3, 4]
    assert all(to_lists(all_steps[step]) == to_lists(gram) for step, gram in few.items())
