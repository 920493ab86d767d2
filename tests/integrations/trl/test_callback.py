"""TRL's own trainers, whose reward weights a callback sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl")

from paretune.integrations.trl import DynamicWeightingCallback
from paretune.integrations.trl.callback import what_cancels_scale
from paretune.weighting import (
    FixedWeighting,
    GradientWeighting,
    HypervolumeWeighting,
    SAWWeighting,
    make_weighting,
)
from tests.integrations.own_agent import keep_batches, own_step, weights_of
from tests.integrations.small_trl import GROUP, OURS, TRAINERS, make_trainer
from tests.integrations.weightings_in_turn import NO_GRADIENTS, WeightingsInTurn, made

OBJECTIVES = ("accuracy", "conciseness", "clarity")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trl_callback")]  # trainings are shared


@pytest.fixture(scope="module", params=TRAINERS)
def in_turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One of TRL's own trainers, trained with each strategy in turn, and the driver."""
    kind, weighting = request.param, WeightingsInTurn.of(NO_GRADIENTS)
    settings = {"eval_strategy": "steps", "eval_steps": 5, "eval_on_start": True, "max_steps": len(NO_GRADIENTS)}
    settings |= {"scale_rewards": "none"} if kind == "grpo" else {}
    trainer = make_trainer(kind, tmp_path_factory.mktemp(kind), **settings)
    callback = DynamicWeightingCallback(weighting).attach(trainer)
    trainer.train()
    return trainer, callback.driver


@pytest.mark.parametrize("name", NO_GRADIENTS)
def test_every_strategy_without_gradients_drives_trls_own_trainer(name: str, in_turn: Any, tmp_path: Path) -> None:
    settings = {"scale_rewards": "none", "eval_strategy": "steps", "eval_steps": 5}
    DynamicWeightingCallback(made(name)).attach(make_trainer("grpo", tmp_path, **settings))
    steps = [log for log in in_turn[0].state.log_history if "loss" in log]
    assert len(steps) == in_turn[1].weighting.turn + 1 == len(NO_GRADIENTS)
    log = steps[NO_GRADIENTS.index(name)]
    weights = weights_of(log, OBJECTIVES)
    assert np.isfinite(weights).all() and log["scale"] == pytest.approx(sum(weights))
    assert log["reward"] == pytest.approx(
        sum(w * log[f"rewards/{each}/mean"] for w, each in zip(weights, OBJECTIVES, strict=True)), abs=1e-5
    )
    assert log["archive_size"] >= 1


def test_every_evaluation_of_trls_own_trainer_is_a_validation(in_turn: Any) -> None:
    trainer, driver = in_turn
    evaluations = [log for log in trainer.state.log_history if "eval_loss" in log]
    assert [log["step"] for log in evaluations] == [0, 5, 10, len(NO_GRADIENTS)]  # at last after the last step
    first = [evaluations[0][f"eval_rewards/{each}/mean"] for each in OBJECTIVES]
    assert driver is not None and len(driver.archive) >= 1
    assert (driver.archive.front.max(axis=0) >= np.array(first) - 1e-6).any()


@pytest.mark.parametrize(("kind", "ours"), [("grpo", False), ("rloo", True)])
def test_an_evaluation_has_standard_errors_over_its_prompts(
    kind: str, ours: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = (
        make_trainer(kind, tmp_path, OURS[kind], weighting=SAWWeighting(3)) if ours else make_trainer(kind, tmp_path)
    )
    callback = trainer.dynamic if ours else DynamicWeightingCallback(SAWWeighting(3)).attach(trainer)
    calculate = trainer._calculate_rewards
    batches: list[Any] = []
    validations: list[Any] = []
    monkeypatch.setattr(
        trainer, "_calculate_rewards", lambda *a, **k: batches.append(calculate(*a, **k)) or batches[-1]
    )
    monkeypatch.setattr(callback.driver, "on_validation", lambda *arguments: validations.append(arguments))
    for _ in range(2):
        batches.clear()
        trainer.evaluate()
        means_PK = np.concatenate(batches).reshape(2, GROUP, 3).mean(axis=1, dtype=np.float64)
        performance, step, errors = validations.pop()
        assert step == 0 and performance == pytest.approx(means_PK.mean(axis=0), abs=1e-6)
        assert errors == pytest.approx(means_PK.std(axis=0, ddof=1) / np.sqrt(2), abs=1e-6)


@pytest.mark.parametrize("kind", TRAINERS)
def test_weights_of_a_step_come_from_its_own_rewards_as_in_our_agent(kind: str, tmp_path: Path) -> None:
    batches: list[dict[str, Any]] = []
    trainer = make_trainer(kind, tmp_path, max_steps=1)
    DynamicWeightingCallback(SAWWeighting(3)).attach(trainer)
    keep_batches(trainer, batches)
    trainer.train()
    theirs, ours = trainer.state.log_history[0], own_step(kind, batches[0], SAWWeighting(3))
    np.testing.assert_allclose(weights_of(theirs, OBJECTIVES), list(ours["weights"].values()), atol=1e-4)
    if kind == "grpo":
        assert theirs["loss"] == pytest.approx(ours["loss"], abs=1e-4)
        assert theirs["grad_norm"] == pytest.approx(ours["grad_norm"], rel=1e-4)


def test_state_is_saved_in_checkpoints_and_restored(tmp_path: Path) -> None:
    def train(checkpoint: str | None) -> DynamicWeightingCallback:
        settings = {"eval_strategy": "steps", "eval_steps": 1, "eval_on_start": True, "save_strategy": "steps"}
        trainer = make_trainer("rloo", tmp_path, save_steps=1, **settings)
        callback = DynamicWeightingCallback(HypervolumeWeighting(3)).attach(trainer)
        trainer.train(resume_from_checkpoint=checkpoint)
        assert trainer.state.global_step == 2
        return callback

    whole = train(None)
    resumed = train(str(tmp_path / "checkpoint-1"))
    assert whole.driver is not None and resumed.driver is not None
    assert whole.driver.state_dict() == resumed.driver.state_dict()
    assert whole.weighting.state_dict()["archive"]["front"]


def test_a_multiplier_is_refused_where_it_would_be_cancelled(tmp_path: Path) -> None:
    validated = {"eval_strategy": "steps", "eval_steps": 9}
    grpo = make_trainer("grpo", tmp_path, **validated)
    with pytest.raises(ValueError, match=r'GRPOTrainer cancels: set scale_rewards="none" in GRPOConfig, or use Multi'):
        DynamicWeightingCallback(HypervolumeWeighting(3)).attach(grpo)
    gdpo = make_trainer("grpo", tmp_path, multi_objective_aggregation="normalize_then_sum", **validated)
    with pytest.raises(
        ValueError, match='set multi_objective_aggregation="sum_then_normalize" and scale_rewards="none"'
    ):
        DynamicWeightingCallback(HypervolumeWeighting(3)).attach(gdpo)
    rloo = make_trainer("rloo", tmp_path, normalize_advantages=True, **validated)
    with pytest.raises(ValueError, match="RLOOTrainer cancels: set normalize_advantages=False in RLOOConfig"):
        DynamicWeightingCallback(HypervolumeWeighting(3)).attach(rloo)
    assert what_cancels_scale(make_trainer("rloo", tmp_path)) == ""
    assert what_cancels_scale(make_trainer("grpo", tmp_path, scale_rewards="none")) == ""
    DynamicWeightingCallback(HypervolumeWeighting(3, exact_paper=True)).attach(grpo)  # the published order is asked for

    class Doubled(FixedWeighting):
        weights = property(lambda self: 2 * np.ones(3))  # type: ignore[assignment]

    with pytest.raises(ValueError, match="multiplies all weights by a common factor"):  # told when it happens
        trainer = make_trainer("grpo", tmp_path)
        DynamicWeightingCallback(Doubled(3)).attach(trainer)
        trainer.train()


def test_what_does_not_fit_is_told_before_training(tmp_path: Path) -> None:
    trainer = make_trainer("grpo", tmp_path)
    with pytest.raises(ValueError, match=r"'gradient' needs the objectives' gradients.*use MultiObjectiveGRPOTrainer"):
        DynamicWeightingCallback(GradientWeighting(3)).attach(trainer)
    with pytest.raises(ValueError, match="eval_strategy: must not be 'no' with weighting 'hypervolume-gradient'"):
        DynamicWeightingCallback(make_weighting("hypervolume-gradient", 3)).attach(trainer)
    with pytest.raises(ValueError, match="weighting: must have 3 weights"):
        DynamicWeightingCallback(FixedWeighting(2)).attach(trainer)
    callback = DynamicWeightingCallback(FixedWeighting(3)).attach(trainer)
    with pytest.raises(ValueError, match="attach: must be called once"):
        DynamicWeightingCallback(FixedWeighting(3)).attach(trainer)
    with pytest.raises(ValueError, match="attach: must be called once"):
        callback.attach(trainer)
    with pytest.raises(ValueError, match="restore_callback_states_from_checkpoint: must be False"):
        restoring = make_trainer("grpo", tmp_path, restore_callback_states_from_checkpoint=True)
        DynamicWeightingCallback(FixedWeighting(3)).attach(restoring)
    with pytest.raises(ValueError, match=r"must be attached.*write callback.attach\(trainer\)"):
        make_trainer("grpo", tmp_path, callbacks=[DynamicWeightingCallback(FixedWeighting(3))]).train()
