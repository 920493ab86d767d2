"""What all tests share: no network, no deadlines on a busy machine, a garbage collector that passes over libraries."""

from __future__ import annotations

import gc
import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"

from hypothesis import settings

settings.register_profile("paretune", deadline=None)
settings.load_profile("paretune")


def pytest_collection_finish() -> None:
    """Let collections pass over what is imported by now.

    Every training of transformers ends with a full collection, which otherwise costs more than a small training itself.
    """
    gc.collect()
    gc.freeze()
