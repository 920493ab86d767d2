"""Our own agent on the responses that a TRL trainer sampled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import pad

from paretune.agents import GRPO, RLOO, Agent, Rollout, Tokens
from paretune.envs import Prompt, Response
from paretune.integrations.trl.trainers import EPSILON
from paretune.weighting import Weighting
from paretune.weighting.advantages import grpo
from tests.integrations.small_trl import GROUP, TOKENS, environment, fresh_policy

KEPT = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "advantages")


def keep_batches(trainer: Any, kept: list[dict[str, Any]]) -> None:
    """Let `trainer` append to `kept` what it samples for training, with the rows of its dataset."""
    sample = trainer._generate_and_score_completions

    def sample_and_keep(inputs: Any) -> Any:
        batch = sample(inputs)
        if trainer.model.training:
            kept.append({name: batch[name].clone() for name in KEPT} | {"rows": inputs})
        return batch

    trainer._generate_and_score_completions = sample_and_keep


def joined(batches: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the batches of several processes as one."""
    left = {name: max(batch[name].shape[1] for batch in batches) for name in ("prompt_ids", "prompt_mask")}
    right = {name: max(batch[name].shape[1] for batch in batches) for name in ("completion_ids", "completion_mask")}
    whole: dict[str, Any] = {"rows": [row for batch in batches for row in batch["rows"]]}
    for name, width in left.items():
        whole[name] = torch.cat([pad(batch[name], (width - batch[name].shape[1], 0)) for batch in batches])
    for name, width in right.items():
        whole[name] = torch.cat([pad(batch[name], (0, width - batch[name].shape[1])) for batch in batches])
    return whole


def own_step(kind: str, batch: dict[str, Any], weighting: Weighting, order: str = "weigh_first", **options: Any) -> Any:
    """Make one step of our own agent on a batch that was kept, and return its metrics."""
    policy = fresh_policy()
    mask = batch["completion_mask"].bool()
    prompts = [Prompt(tuple(row["conversation"]), row["answer"], row["split"]) for row in batch["rows"]]
    responses = [
        Response(policy.decode(ids[row].tolist()), int(row.sum()))
        for ids, row in zip(batch["completion_ids"], mask, strict=True)
    ]
    tokens = Tokens(
        batch["prompt_ids"], batch["prompt_mask"].bool(), batch["completion_ids"], mask, torch.zeros(mask.shape)
    )
    cls: type[Agent] = {"grpo": GRPO, "rloo": RLOO}[kind]
    shape = {"prompts_per_step": len(prompts) // GROUP, "group_size": GROUP, "max_new_tokens": TOKENS}
    mean = {"grpo": "token", "rloo": "constant"}[kind]
    options |= {"loss_mean": mean, "order": order, "gradient_responses": len(prompts)}
    agent = cls("paretune/Arithmetic-v0", policy, weighting, lr=1e-4, **shape, **options)
    rule = replace(agent.algorithm, epsilon=EPSILON)
    agent.algorithm = replace(rule, advantage=partial(grpo, epsilon=EPSILON)) if kind == "grpo" else rule
    agent.task.draw = lambda n, rng: prompts[::GROUP]
    agent.task.sampler = _Given(Rollout(prompts, responses, tokens))
    return agent._train_step(1e-4)


def rewards_of(batch: dict[str, Any], tokenizer: Any) -> np.ndarray:
    """Return the rewards (P, G, K) of a batch that was kept."""
    texts = tokenizer.batch_decode(batch["completion_ids"], skip_special_tokens=True)
    lengths = batch["completion_mask"].sum(1).tolist()
    prompts = [Prompt(tuple(row["conversation"]), row["answer"], row["split"]) for row in batch["rows"]]
    rewards = environment().score(prompts, list(map(Response, texts, lengths)))
    return rewards.reshape(-1, GROUP, rewards.shape[-1]).astype(np.float64)


class _Given:
    def __init__(self, rollout: Rollout) -> None:
        self.rollout = rollout

    def sample(self, prompts: Sequence[Prompt], rng: np.random.Generator, *, greedy: bool = False) -> Rollout:
        return self.rollout


def weights_of(log: dict[str, float], objectives: Sequence[str]) -> list[float]:
    return [log[f"weights/{name}"] for name in objectives]


def write(path: Path, values: Any) -> None:
    """Write what another process reads, all of it or nothing."""
    torch.save(values, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
