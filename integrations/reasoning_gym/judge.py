"""How `paretune.envs.judging.worker` scores answers with a dataset of Reasoning Gym.

This file is run by itself there, and imports nothing of paretune. What it unpickles comes from our own process.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable

import reasoning_gym


def make_judge(argument: str) -> tuple[Callable[[str, str], float | None], tuple[tuple[str, str], ...]]:
    """Return what `paretune.envs.judging.worker` asks for; the argument is a dataset's name and its options, packed."""
    name, options = pickle.loads(base64.b64decode(argument))
    dataset = reasoning_gym.create_dataset(name, **options)

    def judge(entry: str, answer: str) -> float | None:
        try:
            return float(dataset.score_answer(answer, pickle.loads(base64.b64decode(entry))))
        except Exception:  # whatever a hostile answer made of a scorer that is not ours
            return None

    return judge, ()
