"""The most memory that a process has held."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """Return the most memory in MB that this process has held, and of a GPU that it uses, the most of that besides."""
    held = _peak_bytes()
    if torch.cuda.is_initialized():
        held += torch.cuda.max_memory_allocated()
    return held / 1e6


def _peak_bytes() -> int:
    """Linux counts a process's peak from its start only here: `getrusage` goes on from the one that started it."""
    if STATUS.exists():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
