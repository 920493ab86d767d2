"""What our weightings add to a step of TRL's GRPOTrainer, on a CPU.

    pip install -e ".[trl]"
    python examples/benchmarks/trl_overhead.py

tiny-math on arithmetic, 16 prompts x 8 responses of 80 tokens, one update of AdamW a step. One trainer makes all steps
of a case, by turns with and without us: the callback's hook is taken out again, or the trainer is TRL's own class for a
step. So a machine that is busy slows both. What counts is the median over pairs of neighbouring steps of the ratio of
their times, with a 95 % bootstrap interval; half of the pairs have ours first. The goal, for strategies without
gradients, is that ours takes at most 1.03 of TRL's time. Writes trl_overhead.json and trl_overhead.md beside this file.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import numpy as np
import torch
import tyro
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from paretune.agents import load_policy
from paretune.envs import make_env
from paretune.integrations.trl import (
    DynamicWeightingCallback,
    MultiObjectiveGRPOTrainer,
    prompt_dataset,
    reward_functions,
)
from paretune.weighting import make_weighting

HERE = Path(__file__).parent
GOAL = 1.03
CASES = [
    ("callback", "saw"),
    ("callback", "hypervolume-gradient"),
    ("trainer", "fixed"),
    ("trainer", "hypervolume"),
    ("trainer", "gradient"),
]
"""How we take part, and the strategy."""


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    prompts: int = 16
    """P, prompts of a step."""
    group_size: int = 8
    """G, responses to each."""
    tokens: int = 80
    """Tokens of each response."""
    pairs: int = 20
    """Pairs of steps that are timed."""
    warmup: int = 1
    """Pairs before them."""
    threads: int = 0
    """Threads of torch; 0 leaves its default."""
    out: Path = HERE
    """Folder for the results."""


class Turns(TrainerCallback):
    """Lets us take part in every other step, and times all steps."""

    def __init__(self, switch: Callable[[bool], None]) -> None:
        """Start with nothing; `switch` says whether we take part."""
        self.switch = switch
        self.seconds: list[float] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Decide whose turn it is, and start the clock."""
        pair, second = divmod(len(self.seconds), 2)
        self.switch((pair + second) % 2 == 0)
        self.start = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Stop the clock."""
        self.seconds.append(time.perf_counter() - self.start)

    def pairs(self) -> np.ndarray:
        """Return the seconds (pairs, 2), with us and without."""
        seconds = np.array(self.seconds).reshape(-1, 2)
        seconds[1::2] = seconds[1::2, ::-1]
        return seconds


def make_trainer(settings: Settings, folder: str, how: str, strategy: str) -> tuple[Any, Callable[[bool], None]]:
    """Return a trainer with the strategy, and a function that says whether it takes part."""
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
        max_steps=2 * (settings.warmup + settings.pairs),
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
        ours = MultiObjectiveGRPOTrainer(weighting=weighting, **arguments)
        return ours, lambda on: setattr(ours, "__class__", MultiObjectiveGRPOTrainer if on else GRPOTrainer)
    trainer = GRPOTrainer(**arguments)
    without = trainer._calculate_rewards
    DynamicWeightingCallback(weighting).attach(trainer)
    with_us = trainer._calculate_rewards
    return trainer, lambda on: setattr(trainer, "_calculate_rewards", with_us if on else without)


def measure(settings: Settings, how: str, strategy: str) -> dict[str, Any]:
    """Return times of both and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        trainer, switch = make_trainer(settings, folder, how, strategy)
        turns = Turns(switch)
        trainer.add_callback(turns)
        trainer.train()
    seconds = turns.pairs()[settings.warmup :]
    ratios = seconds[:, 0] / seconds[:, 1]
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), [0.025, 0.975])
    return {
        "how": how,
        "strategy": strategy,
        "gradients": bool(make_weighting(strategy, 3).needs_gram),
        "ours": float(np.median(seconds[:, 0])),
        "trl": float(np.median(seconds[:, 1])),
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
        f"{torch.__version__}, TRL {version('trl')}; {settings.pairs} pairs of steps with us and without, "
        f"medians, 95 % intervals (goal without gradients: a ratio of at most {GOAL}).",
        "",
        "| | strategy | with us, s | TRL alone, s | ratio | interval | goal |",
        "|---|---|---:|---:|---:|---|---|",
    ]
    for r in results:
        goal = "" if r["gradients"] else ("reached" if r["ratio"] <= GOAL else "missed")
        lines.append(
            f"| {r['how']} | `{r['strategy']}` | {r['ours']:.3f} | {r['trl']:.3f} | {r['ratio']:.3f} | "
            f"{r['low']:.3f} to {r['high']:.3f} | {goal} |"
        )
    return "\n".join(lines) + "\n"


def main(settings: Settings) -> None:
    """Measure all cases, write the results, and exit with 1 if one missed the goal."""
    if settings.threads:
        torch.set_num_threads(settings.threads)
    results = [measure(settings, how, strategy) for how, strategy in CASES]
    settings.out.mkdir(parents=True, exist_ok=True)
    record = {"settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)}}
    record |= {"threads": torch.get_num_threads(), "results": results}
    (settings.out / "trl_overhead.json").write_text(json.dumps(record, indent=1) + "\n")
    text = page(results, settings)
    (settings.out / "trl_overhead.md").write_text(text)
    print(text)
    sys.exit(not all(r["gradients"] or r["ratio"] <= GOAL for r in results))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
