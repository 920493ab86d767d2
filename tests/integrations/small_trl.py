"""TRL trainers with the embedded model, as small as they come."""

from __future__ import annotations

import copy
import os
from functools import cache
from pathlib import Path
from typing import Any

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from paretune.agents import load_policy
from paretune.envs import make_env
from paretune.integrations.trl import (
    MultiObjectiveGRPOTrainer,
    MultiObjectiveRLOOTrainer,
    prompt_dataset,
    reward_functions,
)

TRAINERS = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}
OURS = {"grpo": MultiObjectiveGRPOTrainer, "rloo": MultiObjectiveRLOOTrainer}
CONFIGS = {"grpo": GRPOConfig, "rloo": RLOOConfig}
PROMPTS, GROUP, TOKENS = 2, 4, 12
BATCH = PROMPTS * GROUP


@cache
def environment() -> Any:
    return make_env("paretune/Arithmetic-v0")


@cache
def loaded_policy() -> Any:
    """The embedded model as it was trained, for all tests of a process: they take copies."""
    return load_policy("tiny-math", "cpu", "float32")


def fresh_policy() -> Any:
    return copy.deepcopy(loaded_policy())


@cache
def dataset(split: str, limit: int) -> Dataset:
    return prompt_dataset(environment(), split, limit)  # type: ignore[arg-type]


def make_trainer(kind: str, folder: Path, cls: Any = None, model: Any = None, **settings: Any) -> Any:
    """Make a trainer on arithmetic; settings of its config, and `weighting` and others of our trainers' own."""
    policy = fresh_policy()
    cls = cls or TRAINERS[kind]
    own = (
        "weighting",
        "reference",
        "gradient_mode",
        "gradient_estimate",
        "gradient_parts",
        "gradient_responses",
        "gradient_every",
        "multi_objective_aggregation",
        "callbacks",
    )
    arguments = {
        name: settings.pop(name)
        for name in own
        if name in settings and not (name == "multi_objective_aggregation" and kind == "grpo")
    }
    defaults = {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "per_device_train_batch_size": BATCH,
        "per_device_eval_batch_size": BATCH,
        "num_generations": GROUP,
        "max_completion_length": TOKENS,
        "max_steps": 2,
        "beta": 0.0,
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "gradient_checkpointing": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "seed": 3,
    }
    if kind == "grpo":
        defaults["loss_type"] = "bnpo"
    if cls in OURS.values():
        arguments.setdefault("gradient_responses", BATCH)
    return cls(
        model=policy.model if model is None else model,
        reward_funcs=reward_functions(environment()),
        args=CONFIGS[kind](**(defaults | settings)),
        train_dataset=dataset("train", 8),
        eval_dataset=dataset("validation", 2),
        processing_class=policy.tokenizer,
        **arguments,
    )
