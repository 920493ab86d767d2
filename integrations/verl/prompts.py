"""The prompts of a paretune environment in the form of verl's data files."""

from __future__ import annotations

import gymnasium as gym
from datasets import Dataset

from paretune.envs import Split
from paretune.integrations.environments import response_env


def prompt_table(env: gym.Env, split: Split = "train", limit: int | None = None) -> Dataset:
    """Return the prompts of a split, the first `limit`, as a table; `.to_parquet(file)` writes what verl reads.

    Its columns are verl's: `data_source` (the environment's class), `prompt` (chat messages), `reward_model` (with the
    reference answer) and `extra_info` (with the split).

    Raises:
        ValueError: If there is no such split, or it is no environment of prompts and responses.

    Example:
        >>> from paretune.envs import make_env
        >>> prompt_table(make_env("paretune/Arithmetic-v0"), limit=4).column_names
        ['data_source', 'prompt', 'reward_model', 'extra_info']
    """
    inner = response_env(env)
    rows = [
        {
            "data_source": f"paretune/{type(inner).__name__}",
            "prompt": [dict(message) for message in prompt.messages],
            "reward_model": {"style": "rule", "ground_truth": prompt.answer},
            "extra_info": {"index": index, "split": prompt.split},
        }
        for index, prompt in enumerate(inner.prompts(split, limit))
    ]
    return Dataset.from_list(rows)
