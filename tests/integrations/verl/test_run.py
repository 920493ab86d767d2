"""verl's own training loop on the CPU: its driver, data, TransferQueue, replay buffer, reward worker and checkpoints.

No policy is trained, and no engine writes responses: both need a GPU. In their place stand a worker group that notes
the advantages it is sent, and responses of two kinds.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("verl", reason="verl is not importable: run with PYTHONPATH=.venv/verl, as `make test` does")

import ray
import torch
import transfer_queue
from tensordict import TensorDict
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
from verl.utils.tensordict_utils import list_of_dict_to_tensordict

import paretune.agents
from paretune.envs import make_env
from paretune.integrations.verl import MultiObjectivePPOTrainerSync, prompt_table
from paretune.weighting.advantages import centred
from tests.integrations.small_verl import make_config

ENV = "paretune/Arithmetic-v0"
GROUP = 3
PROMPTS = 4
pytestmark = pytest.mark.slow


class NotingWorkers:
    """In the place of the policy's workers: notes keys and advantages of each update."""

    def __init__(self):
        self._dispatch_info = {"actor": [0]}
        self.advantages = []

    def update_actor(self, batch):
        rows = transfer_queue.kv_batch_get(
            keys=batch.keys, partition_id=batch.partition_id, select_fields=["advantages"]
        )
        self.advantages.append(
            {k: row[0].item() for k, row in zip(batch.keys, rows["advantages"].unbind(), strict=True)}
        )
        return {"metrics": {"mfu": [0.0], "grad_norm": [1.0]}}

    def save_checkpoint(self, path, *_, **__):
        Path(path).mkdir(parents=True)

    def load_checkpoint(self, **_):
        pass


class Rollouts:
    """In the place of agent loops: the first response to a prompt is right, in odd steps the second one too, and others
    are wrong; each is longer than the one before it.
    """

    def __init__(self, worker, lost):
        self.worker = worker
        self.lost = lost  # how many responses to the first prompt of a batch are lost
        self.rewards = {}

    def generate_sequences(self, prompts):
        validate = "validate" in prompts
        partition = "val" if validate else "train"
        for i in range(len(prompts)):
            row = prompts[i]
            fields = {name: row[name] for name in ("uid", "raw_prompt", "reward_model", "data_source", "extra_info")}
            sessions = range(1 if validate else GROUP - (self.lost if i == 0 else 0))
            right = 1 + prompts["global_steps"] % 2
            outputs = [self._output(fields, session, session < right) for session in sessions]
            steps = {"global_steps": 0, "min_global_steps": 0, "max_global_steps": 0}
            transfer_queue.kv_batch_put(
                keys=[f"{fields['uid']}_{session}_0" for session in sessions],
                partition_id=partition,
                fields=list_of_dict_to_tensordict(outputs),
                tags=[{"seq_len": len(output["input_ids"]), "status": "success"} | steps for output in outputs],
            )
            transfer_queue.kv_put(key=fields["uid"], partition_id=partition, tag={"status": "finished"})

    def _output(self, fields, session, right):
        text = f"{'the answer is ' * session}{fields['reward_model']['ground_truth'] if right else 'no'}"
        responses = self.worker.input_tokenizer(text, return_tensors="pt")["input_ids"][0]
        prompts = torch.ones(2, dtype=torch.int64)
        data = DataProto(
            batch=TensorDict(
                {
                    "prompts": prompts[None],
                    "responses": responses[None],
                    "attention_mask": torch.ones(1, 2 + len(responses), dtype=torch.int64),
                },
                1,
            ),
            non_tensor_batch={name: np.array([value, None], dtype=object)[:1] for name, value in fields.items()},
        )
        result = asyncio.run(self.worker.compute_score(data))
        info = result["reward_extra_info"]
        self.rewards[f"{fields['uid']}_{session}_0"] = list(info.values())
        scores = torch.zeros(len(responses))
        scores[-1] = result["reward_score"]
        return fields | {
            "prompts": prompts,
            "responses": responses,
            "input_ids": torch.cat([prompts, responses]),
            "position_ids": torch.arange(2 + len(responses)),
            "response_mask": torch.ones_like(responses),
            "rollout_log_probs": torch.full((len(responses),), -1.0),
            "rm_scores": scores,
            "num_turns": 2,
            "extra_fields": {"reward_extra_info": info},
        }


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    """The TransferQueue, on a small Ray of its own."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80_000_000)
    config = make_config(tmp_path_factory.mktemp("queue")).transfer_queue
    config.backend.SimpleStorage.num_data_storage_units = 1
    transfer_queue.init(config)
    yield
    transfer_queue.close()
    ray.shutdown()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for split, limit in (("train", 2 * PROMPTS), ("validation", 2)):
        prompt_table(make_env(ENV), split, limit).to_parquet(folder / f"{split}.parquet")
    return folder


def train(folder, data, steps, monkeypatch, lost=0):
    """Run verl's loop up to a step, and return its trainer, its rollouts and what it logged by step."""
    folder.mkdir(exist_ok=True)
    log = folder / f"until-{steps}.jsonl"
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(log))
    config = make_config(
        folder,
        paretune__env=ENV,
        paretune__objectives=None,
        paretune__weighting="saw",
        algorithm__adv_estimator="paretune_rloo",
        algorithm__rollout_correction={"bypass_mode": True},
        reward__reward_manager__name="paretune",
        actor_rollout_ref__model__path=str(Path(paretune.agents.__file__).parent / "policies" / "tiny_math"),
        actor_rollout_ref__rollout__n=GROUP,
        actor_rollout_ref__rollout__val_kwargs__n=1,
        actor_rollout_ref__actor__ppo_mini_batch_size=PROMPTS,
        data__train_files=str(data / "train.parquet"),
        data__val_files=str(data / "validation.parquet"),
        data__train_batch_size=PROMPTS,
        data__dataloader_num_workers=0,
        data__filter_overlong_prompts=False,
        trainer__total_epochs=5,
        trainer__total_training_steps=steps,
        trainer__save_freq=1,
        trainer__logger=["file"],
    )
    trainer = MultiObjectivePPOTrainerSync(config)
    trainer._init_tokenizer()
    trainer._init_dataloader()
    trainer._init_dump_executor()
    trainer.actor_rollout_wg = NotingWorkers()
    trainer.resource_pool_manager = SimpleNamespace(get_n_gpus=lambda: 1)
    trainer.checkpoint_manager = SimpleNamespace(update_weights=lambda *_: {}, sleep_replicas=lambda: None)
    worker = RewardLoopWorker(config)
    trainer.reward_loop_manager = SimpleNamespace(reward_loop_worker_handles=[worker])
    trainer._load_checkpoint()
    trainer.on_init_end()
    rollouts = Rollouts(worker, lost)
    trainer.fit(rollouts)
    worker.reward_manager.env.close()
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    return trainer, rollouts, {line["step"]: line["data"] for line in lines}


def test_verls_loop_trains_with_moving_weights_and_resumes(queue, data, tmp_path, monkeypatch):
    trainer, rollouts, logged = train(tmp_path / "whole", data, 3, monkeypatch)
    assert len(trainer.actor_rollout_wg.advantages) == 3
    for step, advantages in enumerate(trainer.actor_rollout_wg.advantages, start=1):
        weights_K = np.array([logged[step][f"paretune/weights/{name}"] for name in trainer.driver.objectives])
        for uid in {key.rsplit("_", 2)[0] for key in advantages}:
            keys = [f"{uid}_{session}_0" for session in range(GROUP)]
            rewards_G = np.array([rollouts.rewards[key] for key in keys]) @ weights_K
            expected_G = centred(rewards_G[None])[0] * GROUP / (GROUP - 1)
            assert [advantages[key] for key in keys] == pytest.approx(expected_G, abs=1e-5)
    assert logged[1]["paretune/weights/accuracy"] != logged[2]["paretune/weights/accuracy"]
    assert logged[3]["paretune/hypervolume"] == pytest.approx(trainer.driver.archive.hypervolume())
    assert logged[3]["paretune/rewards/accuracy/mean"] == pytest.approx(2 / GROUP)
    assert logged[0]["paretune/validation/accuracy"] == 1.0

    train(tmp_path / "parts", data, 2, monkeypatch)
    again, _, rest = train(tmp_path / "parts", data, 3, monkeypatch)
    assert len(again.actor_rollout_wg.advantages) == 1
    assert rest[3]["paretune/weights/accuracy"] == logged[3]["paretune/weights/accuracy"]
    assert again.driver.state_dict() == trainer.driver.state_dict()


def test_a_lost_response_shrinks_its_group_and_verls_padding_has_no_advantage(queue, data, tmp_path, monkeypatch):
    trainer, rollouts, logged = train(tmp_path, data, 1, monkeypatch, lost=1)
    [advantages] = trainer.actor_rollout_wg.advantages
    assert len(advantages) == PROMPTS * GROUP
    assert [value for key, value in advantages.items() if key.startswith("pad")] == [0.0]
    counts = Counter(key.rsplit("_", 2)[0] for key in advantages if not key.startswith("pad"))
    [short] = [uid for uid, count in counts.items() if count == GROUP - 1]
    weights_K = np.array([logged[1][f"paretune/weights/{name}"] for name in trainer.driver.objectives])
    first, second = (rollouts.rewards[f"{short}_{session}_0"] @ weights_K for session in (0, 1))
    assert advantages[f"{short}_0_0"] == pytest.approx(first - second, abs=1e-5)
    assert advantages[f"{short}_1_0"] == pytest.approx(second - first, abs=1e-5)
