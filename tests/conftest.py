"""What all tests share: no network, and no deadlines on a busy machine."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"

from hypothesis import settings

settings.register_profile("paretune", deadline=None)
settings.load_profile("paretune")
