"""The objectives that mathematics tasks have unless they are given others."""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

from paretune.envs.judging.answers import final_answer
from paretune.envs.objectives.accuracy import Accuracy
from paretune.envs.objectives.base import Objective
from paretune.envs.objectives.clarity import Clarity
from paretune.envs.objectives.conciseness import Conciseness, RelativeConciseness
from paretune.envs.suggest import unknown_name

ConcisenessRule = Literal["absolute", "relative"]
DEFAULT_OBJECTIVES = ("accuracy", "conciseness", "clarity")


def default_objectives(
    max_tokens: int, fallback: str, conciseness: ConcisenessRule, silence_is_concise: bool = False
) -> list[Objective]:
    """Return accuracy, conciseness and clarity.

    Args:
        max_tokens: The response length, in tokens, that scores 0 in conciseness.
        fallback: What counts as the final answer of a response without a box.
        conciseness: "absolute" is 1 - tokens / max_tokens, "relative" is whether a response is shorter than the running
            mean of all training responses.
        silence_is_concise: Whether a response without a final answer may be concise, as in arXiv 2509.11452.

    Raises:
        ValueError: If an argument is not one of its choices.
    """
    rules = {"absolute": Conciseness, "relative": RelativeConciseness}
    if conciseness not in rules:
        raise ValueError(unknown_name("conciseness", conciseness, get_args(ConcisenessRule)))
    answers = None if silence_is_concise else partial(final_answer, fallback=fallback)
    return [Accuracy(fallback=fallback), rules[conciseness](max_tokens, answers=answers), Clarity()]
