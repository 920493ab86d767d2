"""Advantages of verl's rows; the real verl calls the estimators. PYTHONPATH=.venv/verl shows it to Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("verl", reason="verl is not importable: run with PYTHONPATH=.venv/verl, as `make test` does")

import torch
from tensordict import TensorDict
from verl import DataProto
from verl.trainer.ppo.core_algos import get_adv_estimator_fn
from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories

from paretune.integrations.driver import WeightingDriver
from paretune.integrations.verl.estimators import CENTRED_RULE, GRPO_RULE, RLOO_RULE, TrainingStep, current_step
from paretune.integrations.verl.groups import find_groups
from paretune.weighting import FixedWeighting, HypervolumeWeighting, SAWWeighting
from paretune.weighting.advantages import SplitWeights, combined
from tests.integrations.small_verl import make_config

OBJECTIVES = ("accuracy", "brevity")
KEYS = ["a_0_0", "a_1_0", "b_0_0", "b_1_0"]
REWARDS = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.5]])


def estimate(name, rewards_BK, keys=KEYS, weighting=None, order="weigh_first", tags=None, tokens=3, **algorithm):
    """Return advantages (B, T), and the step, of verl's own way to an estimator."""
    tags = tags or [{}] * len(keys)
    driver = WeightingDriver(weighting or FixedWeighting(2), OBJECTIVES)
    step = TrainingStep(driver, order, rewards_BK, find_groups(keys, tags))
    scores_BT = torch.zeros(len(keys), tokens)
    scores_BT[:, -1] = torch.tensor(rewards_BK.mean(axis=1))
    batch = TensorDict(
        {"token_level_rewards": scores_BT, "response_mask": torch.ones(len(keys), tokens, dtype=torch.int64)}, len(keys)
    )
    uids = np.array([key.split("_")[0] for key in keys], dtype=object)
    data = DataProto(batch=batch, non_tensor_batch={"uid": uids})
    with current_step(step):
        data = compute_advantage_for_multi_trajectories(
            data, batch_keys=keys, adv_estimator=name, config=make_config(Path(), **algorithm).algorithm
        )
    return data.batch["advantages"].numpy(), step


def test_rows_are_sorted_into_groups():
    keys = ["b_0_0", "a_0_0", "b_1_0", "a_1_1", "a_1_0", "c_0_0", "padx_0_0"]
    groups = find_groups(keys, [{}] * 6 + [{"is_padding": True}])
    assert {size: rows.tolist() for size, rows in groups.by_size.items()} == {2: [[0, 2], [1, 3]], 1: [[5]]}
    assert groups.judged_by.tolist() == [0, 1, 2, 3, 3, 5, -1]
    assert groups.most.tolist() == [[0, 2], [1, 3]]


def test_rloo_by_hand():
    advantages_BT, _ = estimate("paretune_rloo", REWARDS, weighting=FixedWeighting([3, 1]))
    # weighed: 0.75, 0 | 0.25, 0.125
    assert advantages_BT.tolist() == [[0.75] * 3, [-0.75] * 3, [0.125] * 3, [-0.125] * 3]


def test_grpo_by_hand_with_and_without_standard_deviations():
    advantages_BT, _ = estimate("paretune_grpo", REWARDS)
    assert advantages_BT[:, 0] == pytest.approx(np.array([1, -1, 1, -1]) / np.sqrt(2), abs=1e-4)
    plain_BT, _ = estimate("paretune_grpo", REWARDS, algorithm__norm_adv_by_std_in_grpo=False)
    assert plain_BT[:, 0].tolist() == [0.25, -0.25, 0.125, -0.125]


@pytest.mark.parametrize("order", ["weigh_first", "normalise_first"])
@pytest.mark.parametrize(
    ("name", "rule", "normalises"),
    [("paretune_grpo", GRPO_RULE, True), ("paretune_grpo", CENTRED_RULE, False), ("paretune_rloo", RLOO_RULE, True)],
)
def test_advantages_are_those_of_our_own_agents(name, rule, normalises, order):
    rewards_PGK = np.random.default_rng(0).random((3, 4, 2))
    keys = [f"p{p}_{g}_0" for p in range(3) for g in range(4)]
    advantages_BT, _ = estimate(
        name,
        rewards_PGK.reshape(-1, 2),
        keys,
        FixedWeighting([2, 1]),
        order,
        algorithm__norm_adv_by_std_in_grpo=normalises,
    )
    expected_PG, _ = combined(rewards_PGK, SplitWeights(np.array([2, 1]) / 3), rule, order)
    assert advantages_BT == pytest.approx(np.repeat(expected_PG.reshape(-1, 1), 3, axis=1), abs=1e-6)


@pytest.mark.parametrize(("ours", "theirs"), [("paretune_grpo", "grpo"), ("paretune_rloo", "rloo")])
def test_one_objective_is_what_verl_makes_of_it(ours, theirs):
    rewards_BK = np.repeat(np.random.default_rng(1).random((4, 1)), 2, axis=1)
    advantages_BT, _ = estimate(ours, rewards_BK)
    their_BT, _ = estimate(theirs, rewards_BK)
    assert advantages_BT == pytest.approx(their_BT, abs=1e-4)


def test_normalise_first_is_verls_gdpo_when_responses_have_one_token():
    rewards_BK = np.random.default_rng(2).random((4, 2))
    advantages_BT, _ = estimate("paretune_grpo", rewards_BK, order="normalise_first", tokens=1)
    gdpo, _ = get_adv_estimator_fn("gdpo")(
        token_level_rewards=torch.zeros(4, 1),
        response_mask=torch.ones(4, 1),
        index=np.array(list("aabb"), dtype=object),
        config={"gdpo_reward_keys": OBJECTIVES},
        non_tensor_batch=dict(zip(OBJECTIVES, rewards_BK.T, strict=True)),
        batch={"prompts": torch.zeros(4, 1), "attention_mask": torch.ones(4, 2, dtype=torch.int64)},
    )
    assert advantages_BT == pytest.approx(gdpo.numpy(), abs=1e-3)


@pytest.mark.parametrize("order", ["weigh_first", "normalise_first"])
def test_padding_and_lone_responses_have_no_advantage_and_change_no_other(order):
    whole_BT, _ = estimate("paretune_grpo", REWARDS, order=order)
    keys, rewards = [*KEYS, "c_0_0", "pad_0_0"], np.concatenate([REWARDS, [[1, 1], [1, 1]]])
    tags = [{}] * 5 + [{"is_padding": True}]
    advantages_BT, step = estimate("paretune_grpo", rewards, keys, order=order, tags=tags)
    assert np.array_equal(advantages_BT[:4], whole_BT)
    assert not advantages_BT[4:].any()
    assert step.metrics["rewards/brevity/mean"] == pytest.approx(REWARDS[:, 1].mean())


def test_groups_of_different_sizes_are_normalised_together():
    weighting = HypervolumeWeighting([3, 1])
    for performance in ([0.2, 0.2], [0.1, 0.1]):
        weighting.on_validation(performance)  # the second adds nothing: the scale is 0.5
    rewards = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.5], [0.0, 0.0]])
    keys = ["a_0_0", "a_1_0", "b_0_0", "b_1_0", "b_2_0"]
    advantages_BT, _ = estimate("paretune_grpo", rewards, keys, weighting, "normalise_first")
    weighed_B = np.array([0.75 * np.sqrt(0.5), -0.75 * np.sqrt(0.5), 0.25, 0.0, -0.25])  # their mean is 0
    assert advantages_BT[:, 0] == pytest.approx(0.5 * weighed_B / weighed_B.std(ddof=1), abs=1e-4)


def test_weights_move_with_the_rewards_of_the_same_step():
    weighting, ours = SAWWeighting(2), SAWWeighting(2)
    for seed in range(3):
        rewards_BK = np.random.default_rng(seed).random((4, 2)) * [1, 0.3]
        advantages_BT, _ = estimate("paretune_rloo", rewards_BK, weighting=weighting)
        ours.on_rewards(rewards_BK.reshape(2, 2, 2))
        expected_PG, scale = combined(rewards_BK.reshape(2, 2, 2), SplitWeights.of(ours), RLOO_RULE)
        assert advantages_BT[:, 0] == pytest.approx(scale * expected_PG.ravel(), abs=1e-6)
    assert abs(weighting.weights[0] - 0.5) > 0.01


@pytest.mark.parametrize("order", ["weigh_first", "normalise_first"])
def test_a_scale_multiplies_behind_the_normalisation(order):
    plain_BT, _ = estimate("paretune_grpo", REWARDS, order=order)
    weighting = HypervolumeWeighting(2)
    for performance in ([0.2, 0.2], [0.6, 0.6]):
        weighting.on_validation(performance)
    assert weighting.scale > 1.1
    advantages_BT, _ = estimate("paretune_grpo", REWARDS, weighting=weighting, order=order)
    assert advantages_BT == pytest.approx(plain_BT * weighting.scale, rel=1e-5)


def test_the_published_order_scales_rewards_which_rloo_keeps_and_grpo_cancels():
    weighting = HypervolumeWeighting(2, exact_paper=True)
    for performance in ([0.2, 0.2], [0.6, 0.6]):
        weighting.on_validation(performance)
    assert abs(weighting.scale - 1) > 0.01
    for name, factor in (("paretune_rloo", weighting.scale), ("paretune_grpo", 1.0)):
        plain_BT, _ = estimate(name, REWARDS)
        advantages_BT, _ = estimate(name, REWARDS, weighting=weighting)
        assert advantages_BT == pytest.approx(plain_BT * factor, rel=1e-4)


def test_verls_own_trainers_are_refused():
    with pytest.raises(ValueError, match=r"trainer.v1.trainer_mode to paretune_sync"):
        get_adv_estimator_fn("paretune_rloo")(token_level_rewards=torch.zeros(2, 2), response_mask=torch.ones(2, 2))
