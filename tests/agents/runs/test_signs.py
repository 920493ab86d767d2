"""What is told of a training that goes wrong: when, how often, and in which words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from paretune.agents import GRPO, Agent, RunFolder
from paretune.agents.display import SilentDisplay
from paretune.agents.runs.metrics import short_groups
from paretune.agents.runs.signs import Signs

HEALTHY = {"short_groups": 0.05, "surprisal": 0.8, "zero_variance_groups": 0.3}
TINY = {"prompts_per_step": 4, "group_size": 4, "eval_prompts": 4, "eval_every": 2, "pictures": False}


def trained(step: int, **numbers: float) -> dict[str, Any]:
    return {"step": step, "rewards": {}, **HEALTHY, **numbers}


def validated(step: int, *means: float, weights: tuple[float, ...] = (1.0, 3.0)) -> dict[str, Any]:
    validation = {name: {"mean": mean} for name, mean in zip("ab", means, strict=True)}
    return {"step": step, "weights": dict(zip("ab", weights, strict=True)), "validation": validation}


def told(lines: list[dict[str, Any]]) -> list[str]:
    signs = Signs()
    return [text for line in lines for text in signs.seen(line)]


@pytest.mark.parametrize(
    ("name", "bad", "text"),
    [
        ("short_groups", 0.11, "step 6: to 11% of the last 5 steps' prompts most responses are shorter than 3 tokens"),
        ("surprisal", 0.08, "step 6: the policy's entropy has fallen from 0.800 to 0.080 nats a decision"),
        ("zero_variance_groups", 0.5, "step 6: in 50% of the last 5 steps' groups all rewards are alike"),
    ],
)
def test_each_sign_is_told_once_when_five_steps_show_it(name: str, bad: float, text: str) -> None:
    lines = [trained(1), *(trained(step, **{name: bad}) for step in range(2, 20))]
    (found,) = told(lines)
    assert found.startswith(text)
    assert told(lines[:5]) == []


@pytest.mark.parametrize(
    ("name", "start", "then"),
    [
        ("short_groups", 0.05, 0.09),  # few
        ("short_groups", 0.4, 0.7),  # answers are short by nature
        ("surprisal", 0.8, 0.09),
        ("zero_variance_groups", 0.45, 0.5),
        ("zero_variance_groups", 0.1, 0.49),
    ],
)
def test_what_is_like_the_beginning_is_no_sign(name: str, start: float, then: float) -> None:
    assert told([trained(1, **{name: start}), *(trained(step, **{name: then}) for step in range(2, 20))]) == []


def test_old_lines_without_a_number_say_nothing_of_it() -> None:
    assert told([{"step": step, "rewards": {}} for step in range(1, 9)]) == []


def test_three_validations_in_a_row_below_the_untrained_policy_are_told() -> None:
    start = validated(0, 0.5, 0.5)
    below = [validated(step, 0.9, 0.3) for step in (5, 10, 15, 20)]  # .25 * .9 + .75 * .3 = .45
    (text,) = told([start, *below])
    assert text.startswith(
        "step 15: for 3 validations in a row the weighted objectives are below the untrained policy's"
    )
    assert "(0.450 < 0.500)" in text
    assert told([start, *below[:2], validated(12, 0.5, 0.5), *below[2:]]) == []


def test_validations_are_weighed_with_the_weights_in_force() -> None:
    start = validated(0, 0.5, 0.5)
    assert told([start, *(validated(step, 0.9, 0.3, weights=(2.0, 2.0)) for step in (5, 10, 15))]) == []


def test_groups_are_short_where_more_than_half_of_their_responses_are() -> None:
    assert short_groups(np.array([2, 2, 3, 3, 2, 2, 2, 3, 0, 0, 0, 0]), 4) == pytest.approx(2 / 3)


def test_a_training_that_destroys_the_policy_says_so_once_and_not_again_when_it_goes_on(tmp_path) -> None:
    with pytest.warns(UserWarning, match="for 3 validations in a row the weighted objectives are below"):
        GRPO("paretune/Arithmetic-v0", "tiny-math", out=tmp_path, lr=0.1, **TINY).train(8)

    class Messages(SilentDisplay):
        def __init__(self) -> None:
            self.texts: list[str] = []

        def message(self, text: str) -> None:
            self.texts.append(text)

    messages = Messages()
    Agent.load(tmp_path, display=messages).train(4)
    assert not [text for text in messages.texts if "validations in a row" in text]


def test_the_metrics_have_what_the_signs_are_read_from(tmp_path) -> None:
    agent = GRPO("paretune/Arithmetic-v0", "tiny-math", out=tmp_path, **TINY)
    agent.train(1)
    line = RunFolder(tmp_path).metrics()[-1]
    assert line["short_groups"] == 0
    assert 0 < line["surprisal"] < np.log(agent.policy.model.config.vocab_size)
    assert json.loads(json.dumps(line)) == line
