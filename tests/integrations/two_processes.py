"""Two processes that train with TRL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from accelerate import debug_launcher

from paretune.integrations.trl.gradients import gram_of_batch
from paretune.weighting import make_weighting
from tests.integrations.own_agent import keep_batches, write
from tests.integrations.small_trl import GROUP, OURS, make_trainer

TEMPERATURE = 2.0
"""High, so that the responses of a group differ."""


def main(folder: Path, name: str) -> None:
    """Make one step, and write what this process knows then."""
    settings = {"per_device_train_batch_size": GROUP, "max_steps": 1, "loss_type": "dapo", "temperature": TEMPERATURE}
    trainer = make_trainer("grpo", folder, OURS["grpo"], weighting=make_weighting(name, 3), **settings)
    batches: list[dict[str, Any]] = []
    keep_batches(trainer, batches)
    trainer.train()
    batch, advantages = next(iter(trainer._buffered_inputs)), np.random.default_rng(0).normal(size=(GROUP, 3))
    rows = np.array([0, 2]) if trainer.accelerator.process_index == 0 else np.array([], dtype=np.int64)
    others = np.setdiff1d(np.arange(GROUP), rows)
    few = gram_of_batch(trainer, trainer._analyzer, batch, advantages, rows)
    advantages[others] = 0
    knowledge = {
        "few": few,
        "all": gram_of_batch(trainer, trainer._analyzer, batch, advantages),
        "batch": batches[0],
        "advantages": batches[0]["advantages"].tolist(),
        "log": trainer.state.log_history[0],
        "state": trainer.dynamic.driver.state_dict(),
        "model": trainer.accelerator.unwrap_model(trainer.model).state_dict(),
    }
    write(folder / f"rank-{trainer.accelerator.process_index}.pt", knowledge)


def launch(folder: str, name: str) -> None:
    """Fork, so that imports are made once, and wait for both."""
    debug_launcher(main, (Path(folder), name), num_processes=2)
