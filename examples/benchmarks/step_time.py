"""One training step of ours against one of TRL's GRPOTrainer, on a CPU.

    pip install -e ".[trl]"
    python examples/benchmarks/step_time.py

Same model (tiny-math, a Llama of a million parameters), same 16 prompts x 8 responses of 80 tokens, same rewards, GRPO
without a KL term, loss averaged over tokens, AdamW, one update a step. Twice:

- given:   both get the same responses and make the update: scoring, advantages, forward, backward, optimizer;
- sampled: each samples its own first, with `generate` of transformers.

Steps take turns in one process, so that a busy machine slows both, and medians count. Peak memory is that of fresh
processes that run one of the two alone. Before, both make one update on the same responses of different lengths, and
loss and gradient norm must agree to 1e-4. Writes step_time.json and step_time.md beside this file.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from step_settings import NEVER, StepSettings
from step_time_trl import train_trl
from watching import put_in_place

from paretune.agents import GRPO, Rollout, TransformersSampler, load_policy
from paretune.agents.files import write_json, write_text
from paretune.bench.running.memory import peak_memory_mb
from paretune.envs import Prompt, make_env
from paretune.weighting.advantages import grpo

TIME_GOAL, MEMORY_GOAL, TOLERANCE = 0.6, 1.0, 1e-4
TRL_EPSILON = 1e-4
"""What TRL adds to the standard deviation of a group; ours is made the same here."""

Mode = Literal["given", "sampled"]
MODES: tuple[Mode, ...] = ("given", "sampled")


@dataclass(kw_only=True)
class Settings(StepSettings):
    """Settings of the benchmark."""

    max_prompt_tokens: int = 79
    """Longest prompt that is used."""
    only: str | None = None
    """Run one alone and print its peak memory: ours-given, ours-sampled, trl-given or trl-sampled."""


class Given:
    """A sampler that always gives the same responses."""

    def __init__(self, rollout: Rollout) -> None:
        """Remember them."""
        self.rollout = rollout

    def sample(self, prompts: Sequence[Prompt], rng: np.random.Generator, *, greedy: bool = False) -> Rollout:
        """Return them."""
        return self.rollout


def some_prompts(settings: Settings) -> list[Prompt]:
    """Return P prompts of arithmetic, none longer than the settings say."""
    env, policy = make_env("paretune/Arithmetic-v0"), load_policy("tiny-math", "cpu")
    drawn = env.sample_prompts(8 * settings.prompts, np.random.default_rng(0))
    fitting = [p for p in drawn if len(policy.encode([p])[0]) <= settings.max_prompt_tokens]
    return list({prompt.text: prompt for prompt in fitting}.values())[: settings.prompts]


def some_responses(settings: Settings, prompts: list[Prompt], full: bool) -> Rollout:
    """Return G responses to each prompt: all of `tokens` tokens, or as long as they come."""
    policy = load_policy("tiny-math", "cpu")
    if full:
        policy.end_tokens = [NEVER]
    sampler = TransformersSampler(policy=policy, max_new_tokens=settings.tokens)
    return sampler.sample([p for p in prompts for _ in range(settings.group_size)], np.random.default_rng(1))


def ours(settings: Settings, prompts: list[Prompt], given: Rollout | None) -> Callable[[], dict[str, Any]]:
    """Return a function that makes one step of ours and returns its metrics."""
    policy = load_policy("tiny-math", "cpu", "float32")
    policy.end_tokens = [NEVER]
    shape = {"prompts_per_step": settings.prompts, "group_size": settings.group_size}
    agent = GRPO(
        "paretune/Arithmetic-v0", policy, "fixed", lr=1e-5, loss_mean="token", max_new_tokens=settings.tokens, **shape
    )
    agent.algorithm = replace(agent.algorithm, advantage=partial(grpo, epsilon=TRL_EPSILON), epsilon=TRL_EPSILON)
    put_in_place(agent.task, "draw", lambda n, rng: prompts)
    if given is not None:
        agent.task.sampler = Given(given)
    return lambda: agent._train_step(1e-5)


def timed(step: Callable[[], Any], seconds: list[float]) -> Callable[[], None]:
    """Return a function that makes a step and appends its seconds."""

    def run() -> None:
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)

    return run


def check_equal(settings: Settings) -> dict[str, float]:
    """Return loss and gradient norm of both on the first step, with responses of different lengths.

    Raises:
        RuntimeError: If they differ.
    """
    prompts = some_prompts(settings)
    given = some_responses(settings, prompts, full=False)
    line = ours(settings, prompts, given)()
    theirs = train_trl(prompts, settings.group_size, settings.tokens, given, 1, lambda: None).logs[0]
    values = {f"ours_{name}": line[name] for name in ("loss", "grad_norm")}
    values |= {f"trl_{name}": float(theirs[name]) for name in ("loss", "grad_norm")}
    for name in ("loss", "grad_norm"):
        if abs(values[f"ours_{name}"] - values[f"trl_{name}"]) > TOLERANCE * max(1, abs(values[f"trl_{name}"])):
            raise RuntimeError(f"both must have the same {name} on the first step, but {values}")
    return values


def compare(mode: Mode, settings: Settings) -> dict[str, Any]:
    """Return times and peak memory of both in one mode."""
    prompts = some_prompts(settings)
    given = some_responses(settings, prompts, full=True) if mode == "given" else None
    own_seconds: list[float] = []
    step = timed(ours(settings, prompts, given), own_seconds)
    theirs = train_trl(
        prompts, settings.group_size, settings.tokens, given, settings.warmup + settings.steps, step
    ).seconds
    fast, slow = np.array(own_seconds[settings.warmup :]), np.array(theirs[settings.warmup :])
    memory = {who: peak_of_fresh_process(f"{who}-{mode}", settings) for who in ("ours", "trl")}
    return {
        "mode": mode,
        "ours": float(np.median(fast)),
        "trl": float(np.median(slow)),
        "ratio": float(np.median(fast / slow)),
        "least": float((fast / slow).min()),
        "most": float((fast / slow).max()),
        "ours_mb": memory["ours"],
        "trl_mb": memory["trl"],
    }


def run_alone(name: str, settings: Settings) -> None:
    """Make some steps of one of the two, and print the peak memory of this process in MB."""
    who, mode = name.split("-")
    prompts = some_prompts(settings)
    given = some_responses(settings, prompts, full=True) if mode == "given" else None
    if who == "ours":
        step = ours(settings, prompts, given)
        for _ in range(settings.warmup + 1):
            step()
    else:
        train_trl(prompts, settings.group_size, settings.tokens, given, settings.warmup + 1, lambda: None)
    print(json.dumps({"peak_mb": peak_memory_mb()}))


def peak_of_fresh_process(name: str, settings: Settings) -> float:
    """Return the peak memory in MB of a process that runs one of the two alone."""
    given = {key: value for key, value in asdict(settings).items() if key not in ("only", "out", "steps")}
    words = [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    command = [sys.executable, str(Path(__file__).resolve()), "--only", name, *words]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{name} failed alone: {done.stderr}")
    return json.loads(done.stdout.strip().splitlines()[-1])["peak_mb"]


def page(results: list[dict[str, Any]], equal: dict[str, float], settings: Settings) -> str:
    """Return the results as a Markdown page."""
    responses = settings.prompts * settings.group_size
    lines = [
        "# One training step: ours and TRL's GRPOTrainer",
        "",
        f"`python examples/benchmarks/step_time.py`: tiny-math, {responses} responses of {settings.tokens} tokens, "
        f"GRPO, one update of AdamW, float32, {torch.get_num_threads()} threads of {platform.machine()}, torch "
        f"{torch.__version__}, transformers {version('transformers')}, TRL {version('trl')}. Medians of "
        f"{settings.steps} steps that take turns; memory: peaks of fresh processes (goal: at most {TIME_GOAL} of TRL's "
        "time, and at most its memory).",
        "",
        "| responses | ours, s | TRL, s | ratio | least | most | ours, MB | TRL, MB |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        lines.append(
            f"| {r['mode']} | {r['ours']:.3f} | {r['trl']:.3f} | {r['ratio']:.2f} | {r['least']:.2f} | "
            f"{r['most']:.2f} | {r['ours_mb']:.0f} | {r['trl_mb']:.0f} |"
        )
    reached = sum(map(reaches, results))
    lines += [
        "",
        f"First step, on the same responses of different lengths: loss {equal['ours_loss']:.6f} (ours) and "
        f"{equal['trl_loss']:.6f} (TRL), norm of the gradient {equal['ours_grad_norm']:.6f} and "
        f"{equal['trl_grad_norm']:.6f}.",
        "",
        f"{reached} of {len(results)} reached the goal.",
    ]
    return "\n".join(lines) + "\n"


def reaches(result: dict[str, Any]) -> bool:
    """Whether a comparison reached both goals."""
    return result["ratio"] <= TIME_GOAL and result["ours_mb"] <= MEMORY_GOAL * result["trl_mb"]


def main(argv: Sequence[str] | None = None) -> int:
    """Compare all, write the results, and return 1 if one missed the goal."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    if settings.only is not None:
        run_alone(settings.only, settings)
        return 0
    equal = check_equal(settings)
    results = [compare(mode, settings) for mode in MODES]
    settings.out.mkdir(parents=True, exist_ok=True)
    record = {"settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)}}
    record |= {"threads": torch.get_num_threads(), "first_step": equal, "results": results}
    write_json(settings.out / "step_time.json", record)
    text = page(results, equal, settings)
    write_text(settings.out / "step_time.md", text)
    print(text)
    return int(not all(map(reaches, results)))


if __name__ == "__main__":
    sys.exit(main())
