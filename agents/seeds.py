"""Randomness that depends only on the run's seed, the step and the purpose.

Nothing random is carried from one step to the next, so a resumed run draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def generator(seed: int, step: int, purpose: str) -> np.random.Generator:
    """Return a NumPy generator for one purpose at one step.

    Example:
        >>> draws = [generator(0, 7, "prompts").integers(1000) for _ in range(2)]
        >>> bool(draws[0] == draws[1])
        True
    """
    return np.random.default_rng((seed, step, zlib.crc32(purpose.encode())))


def skip_batches(rng: np.random.Generator, number: int) -> np.random.Generator:
    """Return the generator as `number` uses of `torch_seed` would have left it."""
    for _ in range(number):
        rng.integers(2**63)
    return rng


def skip_share(rng: np.random.Generator, before: int, sample_batch: int) -> np.random.Generator:
    """Return the generator for a process's share of some responses, as if it had sampled the `before` before them."""
    return skip_batches(rng, -(-before // sample_batch))


@contextmanager
def torch_seed(rng: np.random.Generator, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators from `rng` inside the block and restore them behind it."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(int(rng.integers(2**63)))
        yield
