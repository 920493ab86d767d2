"""What our weightings add to a step of TRL's GRPOTrainer, on a CPU.

    pip install -e ".[trl]"
    python examples/benchmarks/trl_overhead.py

tiny-math on arithmetic, 16 prompts x 8 responses of 80 tokens, one update of AdamW a step. In every step the time in
our methods is measured, less that in TRL's methods which they call, and set in relation to the rest of the step: a
machine that is busy slows both, and steps with us need no comparison with others. What counts is the median over steps
of the ratio step / (step - ours), with a 95 % bootstrap interval. The goal, for strategies without gradients, is at
most 1.03. Not counted: that TRL averages some more numbers when it logs. Writes trl_overhead.json and trl_overhead.md
beside this file.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import patch

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import numpy as np
import torch
import tyro
from step_settings import StepSettings
from transformers import Trainer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from paretune.agents import load_policy
from paretune.envs import make_env
from paretune.integrations.trl import (
    DynamicWeightingCallback,
    MultiObjectiveGRPOTrainer,
    prompt_dataset,
    reward_functions,
)
from paretune.integrations.trl.trainers import MultiObjectiveTrainer
from paretune.weighting import make_weighting

GOAL = 1.03
ALL = {"gradient_responses": 1 << 20}
CASES: list[tuple[str, str, dict[str, int]]] = [
    ("callback", "saw", {}),
    ("callback", "hypervolume-gradient", {}),
    ("trainer", "fixed", {}),
    ("trainer", "hypervolume", {}),
    ("trainer", "gradient", {}),
    ("trainer", "gradient", ALL),
]
"""How we take part, the strategy, and options of the trainer."""
METHODS = [
    (GRPOTrainer, MultiObjectiveTrainer, "_calculate_rewards"),
    (GRPOTrainer, MultiObjectiveTrainer, "_generate_and_score_completions"),
    (Trainer, MultiObjectiveTrainer, "_clip_grad_norm"),
]
"""TRL's class, ours, and a method of ours that calls TRL's."""


@dataclass(kw_only=True)
class Settings(StepSettings):
    """Settings of the benchmark."""

    steps: int = 20
    """Steps that are timed."""


@dataclass
class Watch(TrainerCallback):
    """Adds up the seconds in our methods and in TRL's below them, step by step."""

    outer: float = 0.0
    inner: float = 0.0
    steps: list[tuple[float, float]] = field(default_factory=list)

    def timed(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return `function`, whose seconds go to "outer" or "inner"."""

        def run(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                setattr(self, name, getattr(self, name) + time.perf_counter() - start)

        return run

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self.outer = self.inner = 0.0
        self.start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the seconds of the step, and of our part in it."""
        self.steps.append((time.perf_counter() - self.start, self.outer - self.inner))


def make_trainer(settings: Settings, folder: str, how: str, strategy: str, options: dict[str, int]) -> Any:
    """Return a trainer with the strategy."""
    policy, env = load_policy("tiny-math", "cpu", "float32"), make_env("paretune/Arithmetic-v0")
    batch = settings.prompts * settings.group_size
    config = GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=batch,
        num_generations=settings.group_size,
        max_completion_length=settings.tokens,
        generation_kwargs={"min_new_tokens": settings.tokens},
        max_steps=settings.warmup + settings.steps,
        beta=0.0,
        learning_rate=1e-6,
        gradient_checkpointing=False,
        eval_strategy="steps",
        eval_steps=1 << 20,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    arguments = {
        "model": policy.model,
        "reward_funcs": reward_functions(env),
        "args": config,
        "train_dataset": prompt_dataset(env, limit=4 * settings.prompts),
        "eval_dataset": prompt_dataset(env, "validation", 2),
        "processing_class": policy.tokenizer,
    }
    weighting = make_weighting(strategy, 3)
    if how == "trainer":
        return MultiObjectiveGRPOTrainer(weighting=weighting, **options, **arguments)
    trainer = GRPOTrainer(**arguments)
    DynamicWeightingCallback(weighting).attach(trainer)
    return trainer


def measure(settings: Settings, how: str, strategy: str, options: dict[str, int]) -> dict[str, Any]:
    """Return the time of a step, our part in it, and the ratio."""
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for theirs, ours, name in METHODS if how == "trainer" else METHODS[:1]:
            stack.enter_context(patch.object(theirs, name, watch.timed(getattr(theirs, name), "inner")))
            if how == "trainer":
                stack.enter_context(patch.object(ours, name, watch.timed(getattr(ours, name), "outer")))
        trainer = make_trainer(settings, folder, how, strategy, options)
        if how == "callback":
            trainer._calculate_rewards = watch.timed(trainer._calculate_rewards, "outer")
        trainer.add_callback(watch)
        trainer.train()
    step, own = np.array(watch.steps[settings.warmup :]).T
    ratios = step / (step - own)
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return {
        "how": how,
        "strategy": strategy,
        "responses": "all" if options else "drawn",
        "gradients": bool(make_weighting(strategy, 3).needs_gram),
        "step": float(np.median(step)),
        "ours": float(np.median(own)),
        "ratio": float(np.median(ratios)),
        "low": float(low),
        "high": float(high),
    }


def page(results: list[dict[str, Any]], settings: Settings) -> str:
    """Return the results as a Markdown page."""
    responses = settings.prompts * settings.group_size
    lines = [
        "# What our weightings add to a step of TRL",
        "",
        f"`python examples/benchmarks/trl_overhead.py`: tiny-math, {responses} responses of {settings.tokens} tokens "
        f"sampled and trained on, float32, {torch.get_num_threads()} threads of {platform.machine()}, torch "
        f"{torch.__version__}, TRL {version('trl')}; {settings.steps} steps, medians, "
        f"95 % intervals (goal without gradients: a ratio of at most {GOAL}).",
        "",
        "| | strategy | step, s | of it ours, ms | ratio | interval | goal |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for r in results:
        compared = f", gradients of {r['responses']} responses" if r["gradients"] else ""
        goal = "" if r["gradients"] else ("reached" if r["ratio"] <= GOAL else "missed")
        lines.append(
            f"| {r['how']} | `{r['strategy']}`{compared} | {r['step']:.3f} | {1e3 * r['ours']:.2f} | "
            f"{r['ratio']:.4f} | {r['low']:.4f} to {r['high']:.4f} | {goal} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all cases, write the results, and return 1 if one missed the goal."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    results = [measure(settings, *case) for case in CASES]
    settings.out.mkdir(parents=True, exist_ok=True)
    record = {"settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)}}
    record |= {"threads": torch.get_num_threads(), "results": results}
    (settings.out / "trl_overhead.json").write_text(json.dumps(record, indent=1) + "\n")
    text = page(results, settings)
    (settings.out / "trl_overhead.md").write_text(text)
    print(text)
    return int(not all(r["gradients"] or r["ratio"] <= GOAL for r in results))


if __name__ == "__main__":
    sys.exit(main())
