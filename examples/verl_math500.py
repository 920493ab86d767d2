"""GRPO on MATH-500 in verl's trainer, with weights that move: data, configuration and launch.

It needs GPUs, verl with an inference engine, and this package beside it (docs/from_verl.md says how to install both).
NOT RUN on a GPU by us. What is tested, on a CPU: verl composes and accepts this configuration, our parts accept it, and
verl's training loop runs with everything but the policy and its engine (tests/integrations).

    python examples/verl_math500.py --data path/to/math500 --out runs/verl                      # one GPU
    python examples/verl_math500.py --data path/to/math500 --out runs/verl --gpus 8 --nodes 2   # on a Ray cluster

The data is what `train_smollm2_math500.py` takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from paretune.envs import Split, make_env

MODULE = "paretune.integrations.verl"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to train on what."""

    data: Path
    """Folder with the splits of MATH-500."""
    out: Path
    """Folder for data files and checkpoints."""
    model: str = "Qwen/Qwen2.5-0.5B-Instruct"
    """Folder or hub id of the policy."""
    weighting: str = "hypervolume"
    """A strategy that needs no gradients."""
    gpus: int = 1
    """GPUs of each machine."""
    nodes: int = 1
    """Machines."""


def overrides(options: Options) -> list[str]:
    """Return what differs from verl's own configuration; the last seven lines are paretune's."""
    return [
        f"data.train_files={options.out.absolute()}/train.parquet",
        f"data.val_files={options.out.absolute()}/validation.parquet",
        "data.train_batch_size=128",
        "data.max_prompt_length=512",
        "data.max_response_length=1024",
        f"actor_rollout_ref.model.path={options.model}",
        "actor_rollout_ref.actor.optim.lr=1e-6",
        "actor_rollout_ref.actor.ppo_mini_batch_size=128",
        "actor_rollout_ref.actor.use_dynamic_bsz=True",
        "actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True",
        "actor_rollout_ref.rollout.name=vllm",
        "actor_rollout_ref.rollout.tensor_model_parallel_size=1",
        "actor_rollout_ref.rollout.n=8",
        f"trainer.n_gpus_per_node={options.gpus}",
        f"trainer.nnodes={options.nodes}",
        f"trainer.default_local_dir={options.out.absolute()}/checkpoints",
        "trainer.total_epochs=3",
        "trainer.save_freq=5",
        "trainer.test_freq=5",
        "trainer.logger=[console,file]",
        "trainer.v1.trainer_mode=paretune_sync",
        "algorithm.adv_estimator=paretune_grpo",
        f"+paretune.weighting={options.weighting}",
        "+paretune.env=paretune/Math-v0",
        f"+paretune.env_options.dataset={options.data.absolute()}",
        "reward.reward_manager.name=paretune",
        f"+ray_kwargs.ray_init.runtime_env.env_vars.VERL_USE_EXTERNAL_MODULES={MODULE}",
    ]


def write_data(options: Options) -> None:
    """Write verl's data files: the prompts of the environment that scores the responses."""
    from paretune.integrations.verl import prompt_table

    env = make_env("paretune/Math-v0", dataset=str(options.data))
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        prompt_table(env, split).to_parquet(options.out / f"{split}.parquet")


def main(argv: Sequence[str] | None = None) -> int:
    """Write the data and start verl."""
    options = tyro.cli(Options, args=argv)
    options.out.mkdir(parents=True, exist_ok=True)
    write_data(options)
    command = [sys.executable, "-m", "verl.trainer.main_ppo", *overrides(options)]
    subprocess.run(command, env=os.environ | {"VERL_USE_EXTERNAL_MODULES": MODULE}, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
