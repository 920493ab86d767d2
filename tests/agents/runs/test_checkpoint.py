"""Checkpoints: written whole, read back exactly, damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from paretune.agents.runs.checkpoint import read_checkpoint, read_optimizer, write_checkpoint
from tests.agents.letters import random_policy
from tests.agents.updates.test_updater import some_tokens, updater

STATE = {"step": 3, "weighting": {"weights": [0.1 + 0.2, 0.7]}}


@pytest.fixture
def trained():
    made = updater()
    made.update(some_tokens(), np.ones((12, 1)), 1.0, 1e-2, np.random.default_rng(0))
    return made


def test_everything_comes_back_bit_for_bit(trained, tmp_path):
    write_checkpoint(tmp_path / "c", trained.policy, trained.optimizer, STATE)
    assert read_checkpoint(tmp_path / "c").state == STATE
    fresh = updater(random_policy(seed=2))
    read_optimizer(tmp_path / "c", fresh.optimizer)
    states = [made.optimizer.state_dict()["state"] for made in (trained, fresh)]
    assert states[0].keys() == states[1].keys()
    for old, new in ((states[0][index], states[1][index]) for index in states[0]):
        assert old.keys() == new.keys()
        assert all(torch.equal(old[name], new[name]) for name in old)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "c")
    assert torch.equal(model.lm_head.weight, trained.policy.model.lm_head.weight)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "config.json", "state.json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "remove"])
def test_damage_is_noticed_and_the_way_out_named(trained, tmp_path, name, damage):
    folder = tmp_path / "step-000003"
    write_checkpoint(folder, trained.policy, trained.optimizer, STATE)
    path = folder / name
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flip":
        middle = data.index(b'"step"') if name == "state.json" else len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])
    else:
        path.unlink()
    with pytest.raises(ValueError, match=r"step-000003', which is damaged.*remove this folder and resume again"):
        read_checkpoint(folder)


def test_a_failed_write_leaves_no_checkpoint(trained, tmp_path):
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path / "c", trained.policy, trained.optimizer, {"step": object()})
    assert not list(tmp_path.iterdir())
