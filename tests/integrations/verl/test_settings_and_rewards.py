"""paretune.integrations.verl with the real verl; PYTHONPATH=.venv/verl shows it to Python (see the Makefile)."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("verl", reason="verl is not importable: run with PYTHONPATH=.venv/verl, as `make test` does")

import torch
import verl
from hydra import compose, initialize_config_dir
from tensordict import TensorDict
from torchdata.stateful_dataloader import StatefulDataLoader
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.trainer.ppo.utils import need_critic, need_reference_policy
from verl.trainer.ppo.v1 import get_trainer_cls
from verl.utils.config import validate_config
from verl.utils.dataset.rl_dataset import RLHFDataset

from paretune.agents import load_policy
from paretune.envs import Response, make_env
from paretune.integrations.verl import MultiObjectivePPOTrainerSync, prompt_table
from paretune.integrations.verl.trainers import vector_rewards
from tests.integrations.small_verl import make_config

OBJECTIVES = ("accuracy", "brevity")


def test_verl_imports_it_and_knows_its_names():
    code = (
        "import verl\n"
        "from verl.trainer.ppo.core_algos import get_adv_estimator_fn as estimator\n"
        "from verl.trainer.ppo.v1 import get_trainer_cls as trainer\n"
        "from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls as manager\n"
        "print(*(each.__name__ for each in (estimator('paretune_grpo'), estimator('paretune_rloo'), "
        "trainer('paretune_sync'), trainer('paretune_colocate_async'), trainer('paretune_separate_async'), "
        "manager('paretune'))))"
    )
    environment = os.environ | {"VERL_USE_EXTERNAL_MODULES": "paretune.integrations.verl"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == [
        "paretune_grpo",
        "paretune_rloo",
        "MultiObjectivePPOTrainerSync",
        "MultiObjectivePPOTrainerColocateAsync",
        "MultiObjectivePPOTrainerSeparateAsync",
        "EnvRewardManager",
    ]


def make_trainer(folder, step=0, **changes):
    """Make a trainer that can validate and save, with no policy."""
    trainer = MultiObjectivePPOTrainerSync(make_config(folder, **changes))
    nothing = SimpleNamespace(save_checkpoint=lambda *_, **__: None, load_checkpoint=lambda *_, **__: None)
    trainer.actor_rollout_wg, trainer.train_dataloader = nothing, StatefulDataLoader([1, 2, 3])
    trainer.global_steps = step
    return trainer


@pytest.mark.parametrize("mode", ["sync", "colocate_async", "separate_async"])
def test_each_of_verls_trainers_keeps_its_own_settings(tmp_path, mode):
    config = make_config(tmp_path, trainer__v1__trainer_mode=f"paretune_{mode}", actor_rollout_ref__rollout__nnodes=1)
    config.actor_rollout_ref.rollout.n_gpus_per_node = 1
    config.actor_rollout_ref.rollout.checkpoint_engine.backend = "nccl"
    trainer = get_trainer_cls(config.trainer.v1.trainer_mode)(config)
    assert trainer.trainer_mode == mode
    assert trainer.parameter_sync_step == config.trainer.v1[mode].get("parameter_sync_step", 1)


def validate(trainer, accuracy, brevity):
    columns = {"reward": [0.0] * 2, "accuracy": accuracy, "brevity": brevity}
    return trainer._val_metrics_update(["sums"] * 2, ["u", "v"], columns, [1, 1])


def test_validations_move_weights_and_fill_the_archive(tmp_path):
    trainer = make_trainer(tmp_path, paretune__weighting="hypervolume")
    metrics = validate(trainer, [0.5, 0.7], [0.2, 0.2])
    assert metrics["paretune/validation/accuracy"] == pytest.approx(0.6)
    assert metrics["paretune/hypervolume"] == pytest.approx(0.12)
    trainer.global_steps = 5
    validate(trainer, [0.5, 0.5], [0.1, 0.1])
    assert len(trainer.driver.archive) == 1
    trainer.global_steps = 10
    validate(trainer, [0.9, 0.9], [0.4, 0.4])
    assert trainer.driver.weighting.scale != 1.0
    assert trainer.driver.archive.hypervolume() == pytest.approx(0.36)


def test_validations_have_standard_errors_over_prompts(tmp_path, monkeypatch):
    trainer, seen = make_trainer(tmp_path, paretune__weighting="hypervolume"), []
    monkeypatch.setattr(trainer.driver, "on_validation", lambda *arguments: seen.append(arguments))
    validate(trainer, [0.5, 0.7], [0.2, 0.2])
    performance, step, errors = seen[0]
    assert (performance, step) == (pytest.approx([0.6, 0.2]), 0)
    assert errors == pytest.approx([0.1, 0.0])  # standard deviations 0.2 / sqrt(2) and 0, over sqrt(2)


@pytest.mark.parametrize("mode", ["auto", "resume_path"])
def test_state_goes_through_a_checkpoint(tmp_path, mode):
    trainer = make_trainer(tmp_path, 3, paretune__weighting="hypervolume")
    validate(trainer, [0.5, 0.7], [0.2, 0.2])
    trainer.global_steps = 4
    validate(trainer, [0.9, 0.7], [0.2, 0.4])
    trainer._save_checkpoint()
    path = str(tmp_path / "global_step_4")
    again = make_trainer(
        tmp_path, paretune__weighting="hypervolume", trainer__resume_mode=mode, trainer__resume_from_path=path
    )
    again._load_checkpoint()
    assert again.global_steps == 4
    assert again.driver.state_dict() == json.loads(json.dumps(trainer.driver.state_dict()))
    assert again.driver.weighting.scale == trainer.driver.weighting.scale


def test_a_checkpoint_of_verls_own_trainer_starts_the_weighting_anew(tmp_path, caplog):
    trainer = make_trainer(tmp_path, 3)
    trainer._save_checkpoint()
    (tmp_path / "global_step_3/paretune.json").unlink()
    trainer._load_checkpoint()
    assert "starts anew" in caplog.text


def test_a_checkpoint_of_another_strategy_is_refused(tmp_path):
    make_trainer(tmp_path, 3)._save_checkpoint()
    with pytest.raises(ValueError, match="weighting must be 'saw'"):
        make_trainer(tmp_path, paretune__weighting="saw")._load_checkpoint()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paretune__weighting": "gradient"}, "needs the objectives' gradients, and verl has no extension point"),
        ({"paretune__weighting": "upgrad"}, "needs the objectives' gradients"),
        ({"paretune__weighting": "hypervolum"}, "did you mean 'hypervolume'"),
        ({"paretune__preference": [1, 2, 3]}, "must have 2 weights"),
        ({"paretune__objectives": None}, "paretune.objectives: must name the rewards"),
        ({"paretune__order": "first"}, "unknown paretune.order 'first'.*'normalise_first'"),
        ({"paretune__weights": [1, 1]}, "unknown setting of paretune 'weights': did you mean 'weighting'"),
        ({"algorithm__adv_estimator": "grpo"}, "algorithm.adv_estimator: must be one of paretune_grpo"),
        ({"algorithm__use_kl_in_reward": True}, "use_kl_in_reward: must be False"),
        ({"actor_rollout_ref__rollout__n": 1}, "rollout.n: must be at least 2, got 1"),
        ({"reward__reward_model__enable": True}, "enable_resource_pool: must be True"),
        ({"paretune__weighting": "hypervolume", "trainer__test_freq": -1}, "trainer.test_freq: must be positive"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        MultiObjectivePPOTrainerSync(make_config(tmp_path, **changes))


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = load_policy("tiny-math", "cpu", "float32").tokenizer
    tokenizer.save_pretrained(folder)
    return folder


def test_reward_worker_scores_with_the_objectives_of_an_environment(tmp_path, tokenizer_folder):
    table_file = tmp_path / "validation.parquet"
    env = make_env("paretune/Arithmetic-v0", evaluation_only=["clarity"])
    prompt_table(env, "validation", 2).to_parquet(table_file)
    config = make_config(
        tmp_path,
        paretune__env="paretune/Arithmetic-v0",
        paretune__env_options={"evaluation_only": ["clarity"]},
        paretune__objectives=None,
        reward__reward_manager__name="paretune",
        actor_rollout_ref__model__path=str(tokenizer_folder),
        data__filter_overlong_prompts=False,
    )
    worker = RewardLoopWorker(config)
    rows = RLHFDataset(str(table_file), worker.input_tokenizer, config.data)
    [prompt, _] = env.prompts("validation", 2)
    texts = [f"so it is {prompt.answer}", "no"]
    for text, row in zip(texts, [rows[0]] * 2, strict=True):
        ids = worker.input_tokenizer(text, return_tensors="pt")["input_ids"]
        padded = torch.nn.functional.pad(ids, (0, 3))
        mask = torch.cat([torch.ones(1, 2), torch.ones_like(ids), torch.zeros(1, 3)], dim=1).long()
        batch = {"prompts": torch.zeros(1, 2, dtype=torch.int64), "responses": padded, "attention_mask": mask}
        others = {name: np.array([value, None], dtype=object)[:1] for name, value in row.items()}
        data = DataProto(batch=TensorDict(batch, 1), non_tensor_batch=others)
        [result] = asyncio.run(worker.compute_score_batch(data))
        decoded = worker.input_tokenizer.decode(ids[0], skip_special_tokens=True)
        expected_K = env.score([prompt], [Response(decoded, ids.shape[1])])[0]
        info = result["reward_extra_info"]
        assert list(info) == ["accuracy", "conciseness", "clarity"]
        assert [info["accuracy"], info["conciseness"]] == pytest.approx(expected_K)
        assert result["reward_score"] == pytest.approx(expected_K.mean())


def test_reward_functions_of_the_users_own_need_no_manager_of_ours():
    infos = [{"score": 1.0, "brevity": 0.5, "accuracy": True}, {"score": 0.0, "brevity": 0.25, "accuracy": False}]
    assert vector_rewards(infos, OBJECTIVES).tolist() == [[1.0, 0.5], [0.0, 0.25]]
    with pytest.raises(ValueError, match="must return 'brevity' for every response"):
        vector_rewards([*infos, {"score": 1.0, "accuracy": 1}], OBJECTIVES)


def test_verl_composes_and_accepts_the_examples_configuration(tmp_path):
    example = runpy.run_path(str(Path(__file__).resolve().parents[3] / "examples/verl_math500.py"))
    rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(20)]
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = example["Options"](data=tmp_path, out=out)
    example["write_data"](options)
    with initialize_config_dir(str(Path(verl.__file__).parent / "trainer/config"), version_base=None):
        config = compose("ppo_trainer", overrides=example["overrides"](options))
    validate_config(config, use_reference_policy=need_reference_policy(config), use_critic=need_critic(config))
    assert Path(config.data.train_files).exists() and Path(config.data.val_files).exists()
    trainer = get_trainer_cls(config.trainer.v1.trainer_mode)(config)
    assert trainer.driver.objectives == ("accuracy", "conciseness", "clarity")
    assert trainer.trainer_mode == "sync"
