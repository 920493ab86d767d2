"""What step_time.py compares with: GRPO of TRL on the embedded model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

from datasets import Dataset
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from paretune.agents import Rollout, load_policy
from paretune.envs import Prompt, Response, make_env


class TurnTaking(TrainerCallback):
    """Times TRL's steps, and lets the other make one between two of them."""

    def __init__(self, other: Callable[[], Any]) -> None:
        """Start with nothing."""
        self.other = other
        self.seconds: list[float] = []
        self.logs: list[dict[str, float]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock: sampling, scoring and update come next."""
        self.start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop the clock and let the other work."""
        self.seconds.append(time.perf_counter() - self.start)
        self.other()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        """Keep TRL's metrics."""
        self.logs.append(dict(logs))


def train_trl(
    prompts: list[Prompt],
    group_size: int,
    tokens: int,
    given: Rollout | None,
    steps: int,
    other: Callable[[], Any],
) -> TurnTaking:
    """Train tiny-math with TRL, and let `other` work after each step.

    Args:
        prompts: P prompts of a step.
        group_size: G, responses to each.
        tokens: Tokens of each response that is sampled.
        given: P * G responses that are taken instead; None samples them.
        steps: Steps to train.
        other: Called after each of them.
    """
    policy, env = load_policy("tiny-math", "cpu", "float32"), make_env("paretune/Arithmetic-v0")
    by_text = {prompt.text: prompt for prompt in prompts}

    def reward(prompts: list[str], completions: list[str], completion_ids: list[list[int]], **_: Any) -> list[float]:
        responses = [Response(text, len(ids)) for text, ids in zip(completions, completion_ids, strict=True)]
        return env.score([by_text[text] for text in prompts], responses).mean(axis=1).tolist()

    def rollout(texts: list[str], trainer: Any) -> dict[str, Any]:
        assert given is not None
        given_tokens = given.tokens
        return {
            "prompt_ids": [
                row[mask].tolist() for row, mask in zip(given_tokens.prompt, given_tokens.prompt_mask, strict=True)
            ],
            "completion_ids": [
                row[mask].tolist() for row, mask in zip(given_tokens.response, given_tokens.mask, strict=True)
            ],
            "logprobs": [
                row[mask].tolist() for row, mask in zip(given_tokens.log_probs, given_tokens.mask, strict=True)
            ],
        }

    batch = len(prompts) * group_size
    taking_turns = TurnTaking(other)
    with tempfile.TemporaryDirectory() as folder:
        config = GRPOConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=batch,
            steps_per_generation=1,
            num_generations=group_size,
            max_completion_length=tokens,
            generation_kwargs={"min_new_tokens": tokens},
            max_steps=steps,
            loss_type="bnpo",
            beta=0.0,
            epsilon=0.2,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=1.0,
            optim="adamw_torch",
            gradient_checkpointing=False,
            shuffle_dataset=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=policy.model,
            reward_funcs=reward,
            args=config,
            train_dataset=Dataset.from_dict({"prompt": [prompt.text for prompt in prompts]}),
            processing_class=policy.tokenizer,
            callbacks=[taking_turns],
            rollout_func=None if given is None else rollout,
        )
        trainer.train()
    return taking_turns
