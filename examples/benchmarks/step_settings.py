"""What the benchmarks of a training step share: its shape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

NEVER = 1 << 30
"""A token that no model has: as the only end token it lets every response become as long as it may."""


@dataclass(kw_only=True)
class StepSettings:
    """Shape and number of the steps."""

    prompts: int = 16
    """P, prompts of a step."""
    group_size: int = 8
    """G, responses to each."""
    tokens: int = 80
    """Tokens of each response."""
    steps: int = 15
    """Steps that are timed, of each that is compared."""
    warmup: int = 2
    """Steps before them."""
    threads: int = 0
    """Threads of torch; 0 leaves its default."""
    out: Path = Path(__file__).parent
    """Folder for the results."""
