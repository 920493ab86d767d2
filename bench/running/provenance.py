"""Where results come from: the command, the commit, the machine and the versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

from paretune.agents.runs.run_folder import PACKAGES


def provenance(command: str) -> dict[str, str]:
    """Return what one has to know to make the results again, by name.

    Args:
        command: The command that made them.
    """
    return {
        "command": command,
        "commit": _commit(),
        "machine": _machine(),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }


def _commit() -> str:
    """Return the commit of this package's source, if it is a clone, with a plus sign where it was changed."""
    source = Path(__file__).resolve().parents[1]
    try:
        commit = _git(source, "rev-parse", "--short=12", "HEAD")
        changed = _git(source, "status", "--porcelain", "--untracked-files=no", "--", str(source.parent))
    except (OSError, subprocess.SubprocessError):
        return "not a clone"
    return f"{commit}+" if changed else commit


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _machine() -> str:
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [line for line in cpuinfo.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    parts = [f"{os.cpu_count()} cores of {name}"]
    if torch.cuda.is_available():
        parts.append(f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}")
    return ", ".join([*parts, platform.system()])
