"""The objectives that mathematics tasks have unless they are given others."""

from __future__ import annotations

from typing import Literal, get_args

from paretune.envs.objectives.accuracy import Accuracy
from paretune.envs.objectives.base import Objective
from paretune.envs.objectives.clarity import Clarity
from paretune.envs.objectives.conciseness import Conciseness, RelativeConciseness
from paretune.envs.suggest import unknown_name

ConcisenessRule = Literal["absolute", "relative"]
DEFAULT_OBJECTIVES = ("accuracy", "conciseness", "clarity")


def default_objectives(max_tokens: int, fallback: str, conciseness: ConcisenessRule) -> list[Objective]:
    """Return accuracy, conciseness and clarity.

    Args:
        max_tokens: The response length, in tokens, that scores 0 in conciseness.
        fallback: What counts as the final answer of a response without a box.
        conciseness: "absolute" is 1 - tokens / max_tokens, "relative" is whether a response is shorter than the running
            mean of all training responses.

    Raises:
        ValueError: If an argument is not one of its choices.
    """
    rules = {"absolute": Conciseness, "relative": RelativeConciseness}
    if conciseness not in rules:
        raise ValueError(unknown_name("conciseness", conciseness, get_args(ConcisenessRule)))
    return [Accuracy(fallback=fallback), rules[conciseness](max_tokens), Clarity()]
