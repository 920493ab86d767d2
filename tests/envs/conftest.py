from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch


@pytest.fixture
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder, without wandb or a display, the global random numbers seeded."""
    wandb = pytest.importorskip("wandb", reason='comes with morl-baselines: pip install "paretune[morl]"')

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("wandb was called though log=False")

    monkeypatch.setattr(wandb, "init", refuse)
    monkeypatch.setattr(wandb, "log", refuse)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.chdir(tmp_path)
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    return tmp_path
