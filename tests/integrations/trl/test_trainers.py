"""TRL's real trainers, with our weightings inside."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("trl")

from paretune.integrations.trl.gradients import drawn_responses, gram_of_batch, split_of_batch, token_weights
from paretune.weighting import WEIGHTINGS, FixedWeighting, Weighting, make_weighting
from paretune.weighting.advantages import batch_normalised, per_objective, rloo
from tests.integrations import two_processes
from tests.integrations.own_agent import joined, keep_batches, own_step, rewards_of, weights_of
from tests.integrations.small_trl import BATCH, GROUP, OURS, PROMPTS, TOKENS, make_trainer
from tests.integrations.weightings_in_turn import WeightingsInTurn, made

OBJECTIVES = ("accuracy", "conciseness", "clarity")
PREFERENCE = (0.2, 0.5, 0.3)
VALIDATED: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 1}
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("trl_trainers")]  # trainings are shared


def seen(weighting: Weighting) -> Weighting:
    """A weighting after two validations, the second of which added nothing: `hypervolume` has the scale 0.5 then."""
    weighting.on_validation([0.5, 0.5, 0.5])
    weighting.on_validation([0.1, 0.1, 0.1])
    return weighting


def theirs_and_ours(kind: str, folder: Path, **settings: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Any]:
    """What TRL's trainer and ours sample under the same fixed weights, and our trainer."""
    kept = []
    for cls, own in ((None, {}), (OURS[kind], {"weighting": FixedWeighting(PREFERENCE)})):
        batches: list[dict[str, Any]] = []
        trainer = make_trainer(kind, folder, cls, reward_weights=list(PREFERENCE), **own, **settings)
        keep_batches(trainer, batches)
        trainer.train()
        kept.append(batches)
    return kept[0], kept[1], trainer


@pytest.fixture(scope="module")
def in_turn(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Our GRPO trainer, trained with each strategy in turn."""
    settings = VALIDATED | {"eval_steps": 8, "eval_on_start": True, "log_completions": True}
    folder, weighting = tmp_path_factory.mktemp("in_turn"), WeightingsInTurn.of(WEIGHTINGS)
    trainer = make_trainer("grpo", folder, OURS["grpo"], weighting=weighting, max_steps=len(WEIGHTINGS), **settings)
    trainer.train()
    return trainer


@pytest.mark.parametrize("name", WEIGHTINGS)
def test_every_strategy_trains_in_trls_grpo(name: str, in_turn: Any, tmp_path: Path) -> None:
    make_trainer("grpo", tmp_path, OURS["grpo"], weighting=made(name), **VALIDATED)
    steps = [log for log in in_turn.state.log_history if "loss" in log]
    assert len(steps) == in_turn.weighting.turn + 1 == len(WEIGHTINGS)
    log = steps[list(WEIGHTINGS).index(name)]
    weights = weights_of(log, OBJECTIVES)
    assert np.isfinite(weights).all() and min(weights) >= 0
    assert log["scale"] == pytest.approx(sum(weights))
    assert 0 <= log["advantage_conflict"] <= 1 and log["archive_size"] >= 1
    assert all(np.isfinite(log[f"advantages/{objective}/std"]) for objective in OBJECTIVES)


def test_evaluations_fill_the_archive_and_the_table_of_completions_has_every_advantage(in_turn: Any) -> None:
    assert in_turn.dynamic.driver.archive.tags
    tables = [torch.tensor(in_turn._logs["extra"][f"advantage_{name}"][0] is None) for name in OBJECTIVES]
    assert all(tables) and len(in_turn._logs["extra"]["advantage_clarity"]) == len(in_turn._logs["prompt"]) == BATCH
    assert len(list((Path(in_turn.args.output_dir) / "completions").glob("*.parquet"))) >= 2


STRATEGIES: dict[str, Callable[[], Weighting]] = {
    "fixed": partial(make_weighting, "fixed", PREFERENCE),
    "saw": partial(make_weighting, "saw", PREFERENCE),
    "hypervolume": lambda: seen(make_weighting("hypervolume", PREFERENCE)),
    "gradient": partial(make_weighting, "gradient", 3),
}


FirstStep = Callable[[str, str, str], tuple[Any, dict[str, Any]]]


@pytest.fixture(scope="module")
def first_step(tmp_path_factory: pytest.TempPathFactory) -> FirstStep:
    """Trainers after one step, and what they sampled: by kind, strategy and order."""

    @cache
    def trained(kind: str, name: str, order: str) -> tuple[Any, dict[str, Any]]:
        aggregation = {"weigh_first": "sum_then_normalize", "normalise_first": "normalize_then_sum"}[order]
        batches = list[dict[str, Any]]()
        settings = {"max_steps": 1, "multi_objective_aggregation": aggregation, **VALIDATED, "eval_steps": 9}
        folder = tmp_path_factory.mktemp(kind)
        trainer = make_trainer(kind, folder, OURS[kind], weighting=STRATEGIES[name](), **settings)
        keep_batches(trainer, batches)
        trainer.train()
        return trainer, batches[0]

    return trained


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    ("name", "order"),
    [
        *((name, "weigh_first") for name in STRATEGIES),
        ("hypervolume", "normalise_first"),
        ("gradient", "normalise_first"),
    ],
)
def test_the_first_step_is_that_of_our_own_agent(name: str, kind: str, order: str, first_step: FirstStep) -> None:
    trainer, batch = first_step(kind, name, order)
    theirs, ours = trainer.state.log_history[0], own_step(kind, batch, STRATEGIES[name](), order)
    np.testing.assert_allclose(weights_of(theirs, OBJECTIVES), list(ours["weights"].values()), atol=1e-4)
    assert theirs["advantage_conflict"] == pytest.approx(ours["advantage_conflict"], abs=1e-4)
    # TRL's RLOO sums over a response's tokens and counts a response, not a token, in the loss itself
    factor = {"grpo": 1, "rloo": TOKENS}[kind]
    assert theirs["grad_norm"] == pytest.approx(factor * ours["grad_norm"], rel=1e-4)
    if kind == "grpo":
        assert theirs["loss"] == pytest.approx(ours["loss"], abs=1e-4)
    assert (theirs["scale"] == 0.5) == (name == "hypervolume")


def test_rloo_normalises_each_objective_first_by_hand(first_step: FirstStep) -> None:
    trainer, batch = first_step("rloo", "hypervolume", "normalise_first")
    rewards_PGK = rewards_of(batch, trainer.processing_class)
    alone_PGK = np.stack([rloo(rewards_PGK[..., k]) for k in range(3)], axis=-1)
    judged_PGK = alone_PGK / (rewards_PGK.std(axis=1, ddof=1, keepdims=True) + 1e-4)
    weighed = (judged_PGK @ np.array(PREFERENCE)).ravel()
    expected = 0.5 * (weighed - weighed.mean()) / (weighed.std(ddof=1) + 1e-4)
    np.testing.assert_allclose(batch["advantages"].numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(per_objective(rewards_PGK, trainer.rule, trainer.order), judged_PGK, atol=1e-9)


@pytest.mark.parametrize("scale_rewards", ["group", "batch", "none"])
def test_fixed_weights_give_trls_own_advantages(scale_rewards: str, tmp_path: Path) -> None:
    theirs, ours, _ = theirs_and_ours("grpo", tmp_path, scale_rewards=scale_rewards, max_steps=1)
    assert torch.allclose(theirs[0]["advantages"], ours[0]["advantages"], atol=1e-4)
    assert ours[0]["advantages"].abs().max() > 0


@pytest.mark.parametrize("normalize", [False, True])
def test_rloos_penalty_for_divergence_is_kept(normalize: bool, tmp_path: Path) -> None:
    """In the second step the policy has left its reference, and TRL's advantages hold the penalty."""
    settings = {"beta": 5.0, "learning_rate": 1e-3, "normalize_advantages": normalize}
    theirs, ours, trainer = theirs_and_ours("rloo", tmp_path, **settings)
    assert torch.allclose(theirs[1]["advantages"], ours[1]["advantages"], atol=1e-3)
    rewards_PGK = rewards_of(ours[1], trainer.processing_class)
    without = rloo(rewards_PGK @ np.array(PREFERENCE))
    if normalize:
        without = batch_normalised(without, 1e-4)
    assert np.abs(ours[1]["advantages"].numpy() - without.ravel()).max() > 0.01


@pytest.fixture(scope="module")
def two_updates(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A trainer that made two updates with each of two generations, and what it sampled first."""
    settings = {"per_device_train_batch_size": GROUP, "steps_per_generation": PROMPTS, "max_steps": 4}
    weighting, batches = make_weighting("gradient", 3), list[dict[str, Any]]()
    folder = tmp_path_factory.mktemp("two_updates")
    trainer = make_trainer("grpo", folder, OURS["grpo"], weighting=weighting, temperature=2.0, **settings)
    generate = trainer._generate_and_score_completions
    trainer._generate_and_score_completions = lambda inputs: batches.append(generate(inputs)) or batches[-1]
    trainer.train()
    return trainer, batches[0]


def test_generations_that_serve_several_updates_are_weighed_once(two_updates: Any) -> None:
    trainer, _ = two_updates
    assert trainer.weighting.state_dict()["steps"] == 2
    logs = [log for log in trainer.state.log_history if "loss" in log]
    assert ["weights/clarity" in log for log in logs] == [True, False, True, False]


@pytest.mark.parametrize("loss_type", ["bnpo", "grpo", "dr_grpo"])
def test_the_gram_matrix_is_that_of_each_objectives_gradient(
    loss_type: str, two_updates: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer, batch = two_updates
    monkeypatch.setattr(trainer, "loss_type", loss_type)
    advantages_BK, rows = np.random.default_rng(0).normal(size=(BATCH, 3)), np.array([1, 4, 7])
    advantages_BK[np.setdiff1d(np.arange(BATCH), rows)] = 0
    gradients = []
    for k in range(3):
        mask_BT = batch["completion_mask"]
        factors_BT = torch.tensor(advantages_BK[:, k : k + 1]) * token_weights(trainer, mask_BT) / BATCH
        tokens = torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1)
        mask = torch.cat([batch["prompt_mask"], mask_BT], dim=1)
        logits = trainer.model(input_ids=tokens, attention_mask=mask).logits[:, -mask_BT.shape[1] - 1 : -1] / 2.0
        log_probs_BT = logits.log_softmax(-1).gather(2, batch["completion_ids"][..., None]).squeeze(2)
        trainer.model.zero_grad()
        (log_probs_BT * factors_BT).sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]))
    gradients_KN = torch.stack(gradients).double()  # a sum of a million products in float32 is right to three digits
    expected_KK = (gradients_KN @ gradients_KN.T).numpy()
    for chosen in (rows, None):
        found_KK = gram_of_batch(trainer, trainer._analyzer, batch, advantages_BK, chosen)
        # a model that is nearly sure multiplies the round-off of float32, 6e-8, by about a hundred
        np.testing.assert_allclose(found_KK, expected_KK, rtol=0, atol=1e-5 * np.abs(expected_KK).max())


def test_the_halves_of_a_batch_are_those_of_its_prompts(two_updates: Any) -> None:
    """The halves' own matrices, and both together, are those of `gram_of_batch` without a split."""
    trainer, batch = two_updates
    advantages_BK = np.random.default_rng(0).normal(size=(BATCH, 3))
    split = split_of_batch(trainer, batch, 8, np.random.default_rng(0))
    assert split.number == 2 and split.of.reshape(2, -1).std(axis=1).tolist() == [0, 0]
    products = gram_of_batch(trainer, trainer._analyzer, batch, advantages_BK, split=split).reshape(2, 3, 2, 3)
    whole = gram_of_batch(trainer, trainer._analyzer, batch, advantages_BK)
    atol = 1e-5 * np.abs(whole).max()
    np.testing.assert_allclose(products.sum(axis=(0, 2)), whole, rtol=0, atol=atol)
    for part in range(2):
        own = gram_of_batch(trainer, trainer._analyzer, batch, advantages_BK * (split.of == part)[:, None])
        np.testing.assert_allclose(products[part, :, part], own, rtol=0, atol=atol)


def test_a_batch_with_itself_is_what_the_paper_has(tmp_path: Path) -> None:
    options = {"gradient_estimate": "batch", "max_steps": 1}
    trainer = make_trainer("grpo", tmp_path, OURS["grpo"], weighting=make_weighting("gradient", 3), **options)
    trainer.train()
    assert isinstance(trainer._gram, np.ndarray) and np.linalg.eigvalsh(trainer._gram).min() >= 0


def test_few_responses_are_compared_at_some_generations(tmp_path: Path) -> None:
    weighting = make_weighting("gradient", 3)
    options = {"gradient_responses": 2, "gradient_every": 2, "temperature": 2.0, "max_steps": 3}
    trainer = make_trainer("grpo", tmp_path, OURS["grpo"], weighting=weighting, **options)
    compare, seen_rows, seen_grams = trainer._compared, [], []
    on_gradients = weighting.on_gram_estimate
    weighting.on_gram_estimate = lambda gram, lr: seen_grams.append(gram) or on_gradients(gram, lr)

    def kept(batch: dict[str, Any], own_BK: np.ndarray) -> Any:
        rows, factors_B = drawn_responses(trainer, batch, own_BK, 2, np.random.default_rng(0))
        seen_rows.append(rows)
        assert len(rows) == 2 and (factors_B[rows] >= 1).all()
        return compare(batch, own_BK)

    trainer._compared = kept
    trainer.train()
    assert len(seen_rows) == 2 and len(seen_grams) == 3 and seen_grams[0] is seen_grams[1] is not seen_grams[2]


def test_a_run_goes_on_where_its_checkpoint_was_written(tmp_path: Path) -> None:
    def trainer() -> Any:
        weighting = make_weighting("hypervolume", PREFERENCE)
        settings = VALIDATED | {"eval_on_start": True, "save_strategy": "steps", "save_steps": 2, "max_steps": 4}
        return make_trainer("grpo", tmp_path, OURS["grpo"], weighting=weighting, **settings)

    whole, resumed = trainer(), trainer()
    whole.train()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    names = ("scale", "hypervolume", "archive_size", "rewards/conciseness/mean", "loss")
    logs = [
        [[log[name] for name in names] for log in each.state.log_history if "loss" in log] for each in (whole, resumed)
    ]
    assert len(logs[0]) == 4 and len({row[0] for row in logs[0]}) > 1
    assert logs[0] == logs[1]
    assert whole.dynamic.driver.state_dict() == resumed.dynamic.driver.state_dict()


def test_two_processes_train_as_our_agent_does_alone(tmp_path: Path) -> None:
    root = Path(two_processes.__file__).parents[2]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
    without_vllm = "import sys; sys.modules['vllm'] = None\n"  # TRL would import it, which takes seconds
    code = f"{without_vllm}from tests.integrations.two_processes import launch; launch(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(tmp_path), "gradient"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0, done.stderr
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=False) for rank in range(2)]
    assert ranks[0]["state"] == ranks[1]["state"] and ranks[0]["advantages"] != ranks[1]["advantages"]
    assert all(torch.equal(ranks[0]["model"][key], ranks[1]["model"][key]) for key in ranks[0]["model"])
    np.testing.assert_allclose(ranks[0]["few"], ranks[0]["all"], rtol=1e-4)
    assert (ranks[0]["few"] == ranks[1]["few"]).all() and np.abs(ranks[0]["few"]).max() > 0
    ours = own_step(
        "grpo",
        joined([rank["batch"] for rank in ranks]),
        make_weighting("gradient", 3),
        temperature=two_processes.TEMPERATURE,
    )
    np.testing.assert_allclose(weights_of(ranks[0]["log"], OBJECTIVES), list(ours["weights"].values()), atol=1e-4)
    assert ranks[0]["log"]["loss"] == pytest.approx(ours["loss"], abs=1e-4)
    assert ranks[0]["log"]["grad_norm"] == pytest.approx(ours["grad_norm"], rel=1e-3)


def test_what_does_not_fit_is_told_before_training(tmp_path: Path) -> None:
    make = partial(make_trainer, "rloo", tmp_path, OURS["rloo"])
    with pytest.raises(ValueError, match=r"weighting: must have 3 weights.*accuracy, conciseness, clarity, got 2"):
        make(weighting=FixedWeighting(2))
    with pytest.raises(ValueError, match=r"reference: must have 3 numbers.*got \[0\]"):
        make(weighting=FixedWeighting(3), reference=[0])
    with pytest.raises(ValueError, match="gradient_every: must be at least 1, got 0"):
        make(weighting=make_weighting("gradient", 3), gradient_every=0)
    with pytest.raises(ValueError, match=r"generation_batch_size: must hold at least 2 prompts .*got 1; gradient_est"):
        make(weighting=make_weighting("gradient", 3), num_generations=BATCH)
    with pytest.raises(ValueError, match="unknown gradient_estimate 'halves'"):
        make(weighting=make_weighting("gradient", 3), gradient_estimate="halves")
    with pytest.raises(ValueError, match="gradient_parts: must be at least 2, got 1"):
        make(weighting=make_weighting("gradient", 3), gradient_parts=1)
    with pytest.raises(ValueError, match="gradient_responses: must be at least 2, got -8"):
        make(weighting=make_weighting("gradient", 3), gradient_responses=-8)
    with pytest.raises(ValueError, match="eval_strategy: must not be 'no' with weighting 'rays'"):
        make(weighting=make_weighting("rays", 3, source="validation"))
    with pytest.raises(ValueError, match=r"multi_objective_aggregation: must be one of .*got 'average'"):
        make(weighting=FixedWeighting(3), multi_objective_aggregation="average")
    with pytest.raises(ValueError, match="reward_clip_range: must be None with normalize_then_sum"):
        make(
            weighting=FixedWeighting(3),
            multi_objective_aggregation="normalize_then_sum",
            reward_clip_range=(-1.0, 1.0),
        )
