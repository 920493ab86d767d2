"""One process that scores answers for many datasets, each with the judge of ours that it has."""

from __future__ import annotations

import base64
import pickle
import runpy
from collections.abc import Callable


def make_judge(argument: str) -> tuple[Callable[[str, str], float | None], tuple[tuple[str, str], ...]]:
    """Return what a worker asks for; the argument is our judge's path and its arguments by dataset, packed."""
    path, arguments = pickle.loads(base64.b64decode(argument))
    make = runpy.run_path(path)["make_judge"]
    judges = {name: make(each)[0] for name, each in arguments.items()}

    def judge(entry: str, answer: str) -> float | None:
        name = pickle.loads(base64.b64decode(entry))["metadata"]["source_dataset"]
        return judges[name](entry, answer)

    return judge, ()
