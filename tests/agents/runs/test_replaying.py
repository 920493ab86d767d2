"""Replays: what a run logged, shown to another strategy."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from paretune.agents import GRPO, RLOO, Agent, Replay, RunFolder, draw_replays, replay
from paretune.agents.files import remove
from paretune.agents.runs.history import History
from paretune.envs import StyleEnv
from paretune.weighting import HypervolumeWeighting, ModifiedWeighting, SAWWeighting, Weighting
from tests.agents.letters import LearningEnv, random_policy

SETTINGS: dict[str, Any] = {"prompts_per_step": 2, "group_size": 4, "lr": 1e-2, "eval_every": 2, "eval_prompts": 4}
SETTINGS |= {"pictures": False}
MEANS = {1: [0.75, 0.0], 2: [0.0, 0.75], 3: [1.0, 0.36]}
"""Mean rewards of the steps of a run that is written by hand."""


def write_run(folder: Path, steps: int = 3, gram: bool = True, history: int = 3, **settings: Any) -> Path:
    """A run of fixed weights (0.75, 0.25), two objectives, validated at step 0 and 2."""
    run = RunFolder(folder)
    config = {"prompts_per_step": 1, "group_size": 2, "weighting": "fixed", "preference": [0.75, 0.25]}
    run.create({**config, "reference": None, **settings})
    weights = {"a": 0.75, "b": 0.25}
    for step in range(steps + 1):
        line: dict[str, Any] = {"step": step, "weights": weights, "scale": 1.0, "lr": 0.1 * step}
        if step % 2 == 0:
            line["validation"] = {name: {"mean": step + k / 2} for k, name in enumerate(weights)}
            line["validation"]["only for evaluation"] = {"mean": 9.0}
        run.append_metrics(line)
    kept = History(run.history_path, (1, 2, 2))
    for step in range(1, history + 1):
        rewards = np.array([[MEANS[step], MEANS[step]]])
        kept.append(step, rewards, np.eye(2) * step if gram else None, single=False)
    return folder


@dataclass(eq=False)
class Witness(Weighting):
    """Writes down what it is shown; its weight of the second objective is what it has seen so far."""

    name = "witness"
    when = "Never."
    seen: list[Any] = field(default_factory=list)

    @property
    def weights(self) -> np.ndarray:
        return np.array([1.0, len(self.seen)])

    @property
    def needs_gram(self) -> bool:
        return self.seen[-1] == ("rewards", MEANS[2])

    def on_rewards(self, rewards: Any) -> None:
        self.seen.append(("rewards", np.mean(rewards, axis=(0, 1)).tolist()))

    def on_gradients(self, gram: Any, lr: float) -> None:
        self.seen.append(("gradients", np.asarray(gram).tolist(), lr))

    def on_validation(self, performance: Any) -> None:
        self.seen.append(("validation", np.asarray(performance).tolist()))


def test_a_strategy_sees_what_the_agent_showed_in_the_same_order(tmp_path: Path) -> None:
    witness = Witness()
    shown = replay(write_run(tmp_path / "run"), witness)
    assert witness.seen == [
        ("validation", [0.0, 0.5]),
        ("rewards", MEANS[1]),
        ("rewards", MEANS[2]),
        ("gradients", [[2.0, 0.0], [0.0, 2.0]], 0.2),
        ("validation", [2.0, 2.5]),
        ("rewards", MEANS[3]),
    ]
    assert shown.weights.tolist() == [[1, 2], [1, 4], [1, 6]]  # read before the step's validation
    assert shown.scale.tolist() == [3, 5, 7]
    assert shown.shares[1].tolist() == [0.2, 0.8]
    assert (shown.name, shown.own_name, shown.objectives) == ("witness", "fixed", ("a", "b"))
    assert shown.steps.tolist() == [1, 2, 3]
    assert shown.own_weights.tolist() == shown.own_shares.tolist() == [[0.75, 0.25]] * 3
    assert shown.own_scale.tolist() == [1, 1, 1]


def test_weights_computed_by_hand(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    by_saturation = replay(run, "sa-mrpo")  # preference * sqrt(1 - mean), normalised
    expected = [[0.375, 0.25], [0.75, 0.125], [0.0, 0.2]]
    np.testing.assert_allclose(by_saturation.weights, [np.array(w) / sum(w) for w in expected])
    scheduled = replay(run, "schedule", weighting_options={"points": [[1, 1, 0], [3, 0, 1]]})
    assert scheduled.weights.tolist() == [[1, 0], [0.5, 0.5], [0, 1]]


def test_the_preference_is_that_of_the_run_unless_another_is_given(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert replay(run, "fixed").weights.tolist() == [[0.75, 0.25]] * 3
    assert replay(run, "fixed", [1, 3]).weights.tolist() == [[0.25, 0.75]] * 3


def test_the_reference_point_is_that_of_the_run(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", reference=[3.0, 3.0])
    with_name = replay(run, "hypervolume")
    with_object = replay(run, HypervolumeWeighting([3, 1], reference=(3.0, 3.0)))
    without = replay(run, HypervolumeWeighting([3, 1]))
    assert with_name.scale.tolist() == with_object.scale.tolist() != without.scale.tolist()


@pytest.mark.parametrize(
    ("weighting", "options", "settings"),
    [
        ("hypervolume", {"exact_paper": True}, {"order": "normalise_first"}),
        ("gradient", {"every": 2, "floor": 0.1}, {"schedule": "cosine", "gradient_responses": 7}),
        ("saw", {"average": 0.5, "every": 2, "warmup": 3}, {}),
        ("tchebycheff", {"margin": 0.1, "source": "validation"}, {"eval_sampled": True, "seed": 3}),
    ],
)
@pytest.mark.parametrize("text", [True, False])
def test_a_runs_own_strategy_gets_the_runs_own_weights(
    tmp_path: Path, text: bool, weighting: str, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    arguments = {"weighting_options": options, "preference": [2, 1], "out": tmp_path / "run", **SETTINGS, **settings}
    if text:
        made: Agent = GRPO(LearningEnv(), random_policy(), weighting, **arguments)
    else:
        made = RLOO(StyleEnv(4, 3), "mlp", weighting, gamma=0.9, **arguments)
    made.train(5)
    again = replay(tmp_path / "run", weighting, weighting_options=options)
    assert again.weights.tolist() == again.own_weights.tolist()
    assert again.scale.tolist() == again.own_scale.tolist()
    assert np.ptp(again.weights, axis=0).max() > 0


def test_a_run_of_a_strategy_object_is_replayed_with_another(tmp_path: Path) -> None:
    own = ModifiedWeighting(SAWWeighting([1, 3]), floor=0.1)
    RLOO(StyleEnv(4, 3), "mlp", own, out=tmp_path / "run", **SETTINGS).train(2)
    shown = replay(tmp_path / "run", "fixed")
    assert shown.own_name == "saw"
    assert shown.weights.tolist() == [[0.25, 0.75]] * 2
    again = replay(tmp_path / "run", ModifiedWeighting(SAWWeighting([1, 3]), floor=0.1))
    assert again.weights.tolist() == again.own_weights.tolist()


def test_gradients_recorded_in_a_run_that_needs_none_are_those_of_a_run_that_does(tmp_path: Path) -> None:
    for name, recorded in (("fixed", True), ("gradient", False)):
        made = RLOO(StyleEnv(4, 3), "mlp", name, out=tmp_path / name, record_gram=recorded, **SETTINGS)
        made.train(2)
    on_fixed = replay(tmp_path / "fixed", "gradient")
    own = replay(tmp_path / "gradient", "gradient").own_weights
    assert on_fixed.weights[0].tolist() == own[0].tolist()  # the first step's policy is the same
    assert on_fixed.own_weights.tolist() == [[0.5, 0.5]] * 2


def test_a_run_that_is_still_going_on_is_replayed_as_far_as_its_metrics_go(tmp_path: Path) -> None:
    assert replay(write_run(tmp_path / "run", steps=2, history=3), "saw").steps.tolist() == [1, 2]


def test_what_a_history_lacks_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", gram=False)
    message = r"must do without a Gram matrix at step 1, .* \(it has 0\), got 'gradient'; .*--record-gram \(in Python"
    with pytest.raises(ValueError, match=message):
        replay(run, "gradient")
    with pytest.raises(ValueError, match="must hold a history of every step to be replayed, got none of step 3"):
        replay(write_run(tmp_path / "gap", history=2), "saw")
    remove(run / "history")
    with pytest.raises(ValueError, match=r"got none in .* it was trained by an older version of paretune"):
        replay(run, "saw")


def test_a_run_without_a_step_or_without_its_beginning_is_not_replayed(tmp_path: Path) -> None:
    message = "must hold the metrics of its training from step 0 to at least 1 to be replayed"
    with pytest.raises(ValueError, match=message):
        replay(write_run(tmp_path / "run", steps=0), "saw")
    agent = RLOO(StyleEnv(4, 3), "mlp", **SETTINGS)
    agent.train(1)
    agent.save(tmp_path / "saved")
    with pytest.raises(ValueError, match=message):
        replay(tmp_path / "saved", "saw")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("sawn",), "did you mean 'saw'"),
        (("saw", [1, 1, 1]), "preference: must have 2 weights, one for each of a, b, got 3"),
        (("saw", None, {"flor": 0.1}), "did you mean 'floor'"),
        ((SAWWeighting([1, 2, 3]),), "must have 2 weights"),
        ((SAWWeighting(2), [1, 1]), "must be left out when weighting is an object"),
    ],
)
def test_a_strategy_that_does_not_fit_is_said(tmp_path: Path, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay(write_run(tmp_path / "run"), *arguments)
    with pytest.raises(ValueError, match="must be the folder of a run"):
        replay(tmp_path, "saw")


def shown_by(name: str, k: int, steps: int, scale: float = 1.0) -> Replay:
    weights = np.random.default_rng(len(name)).dirichlet(np.ones(k), steps)
    own = np.full((steps, k), 1 / k)
    names = tuple(f"objective {n}" for n in range(k))
    numbers = np.arange(1, steps + 1)
    return Replay(names, numbers, name, scale * weights, np.full(steps, scale), "fixed", own, np.ones(steps))


@pytest.mark.parametrize(("k", "scale", "panels"), [(1, 1.0, 1), (3, 1.0, 3), (3, 2.0, 4), (6, 0.5, 7)])
@pytest.mark.parametrize("steps", [1, 40])
def test_a_picture_has_a_panel_for_each_objective_and_a_line_for_each_strategy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, k: int, scale: float, panels: int, steps: int
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr("paretune.agents.pictures.replay_picture.save", lambda figure, path: drawn.append(figure))
    replays = [shown_by(name, k, steps, scale) for name in ("saw", "sa-mrpo", "hypervolume")]
    draw_replays(tmp_path / "replay.png", replays)
    [figure] = drawn
    assert len(figure.axes) == panels
    for n, axes in enumerate(figure.axes[:k]):
        lines = [np.asarray(line.get_ydata()) for line in axes.lines]
        assert axes.get_ylabel() == f"weight of\nobjective {n}"
        np.testing.assert_allclose(lines[0], 1 / k)
        assert len(lines) == 4
        for one, line in zip(replays, lines[1:], strict=True):
            np.testing.assert_allclose(line, one.weights[:, n] / scale)
        assert axes.get_ylim()[0] < 0 and axes.get_ylim()[1] > max(line.max() for line in lines)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["fixed (the run's own)", "saw (replayed)", "sa-mrpo (replayed)", "hypervolume (replayed)"]


def test_a_picture_is_written(tmp_path: Path) -> None:
    path = draw_replays(tmp_path / "replay.png", [shown_by("saw", 2, 5)])
    assert path == tmp_path / "replay.png"
    assert image.imread(path).shape[1] > 1000
    with pytest.raises(ValueError, match="at least one"):
        draw_replays(tmp_path / "none.png", [])
