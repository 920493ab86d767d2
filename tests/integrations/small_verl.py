"""verl's configuration as it comes, with as few changes as a test needs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import verl
from omegaconf import DictConfig, OmegaConf

CONFIG = OmegaConf.load(Path(verl.__file__).parent / "trainer/config/_generated_ppo_trainer.yaml")


def make_config(folder: Path, **changes: Any) -> DictConfig:
    """Return verl's configuration for arithmetic; changes are by dotted name, with __ for dots."""
    config = copy.deepcopy(CONFIG)
    assert isinstance(config, DictConfig)
    settings = {
        "algorithm.adv_estimator": "paretune_grpo",
        "trainer.v1.trainer_mode": "paretune_sync",
        "trainer.test_freq": 1,
        "trainer.default_local_dir": str(folder),
        "actor_rollout_ref.rollout.n": 2,
        "paretune.objectives": ["accuracy", "brevity"],
        "paretune.weighting": "fixed",
    }
    settings |= {name.replace("__", "."): value for name, value in changes.items()}
    for name, value in settings.items():
        OmegaConf.update(config, name, value, force_add=True)
    return config
