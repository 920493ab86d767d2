from dataclasses import replace

import numpy as np
import pytest

from paretune.agents import GRPO, Agent
from paretune.envs import Accuracy, ArithmeticEnv, Conciseness, FunctionObjective, Prompt, Scheduled, WeightedSum

TRAIN = Prompt.from_question("What is 1 + 1?", "2")
VALIDATION = replace(TRAIN, split="validation")
RAMP = [[0, 0.0], [2, 1.0], [4, 0.5]]


def constant(value: float = 0.5) -> FunctionObjective:
    return FunctionObjective("constant", lambda prompts, responses: [value] * len(responses))


def test_the_factor_follows_straight_lines_and_keeps_its_last_value():
    objective = Scheduled(constant(), RAMP)
    scores = [objective([TRAIN] * 2, ["x"] * 2).tolist() for _ in range(7)]
    assert scores == [[factor * 0.5] * 2 for factor in (0, 0.5, 1, 0.75, 0.5, 0.5, 0.5)]


def test_evaluations_see_the_objective_as_it_is_and_do_not_count():
    objective = Scheduled(constant(), RAMP)
    assert objective([VALIDATION], ["x"]).tolist() == [0.5]
    assert objective([TRAIN, VALIDATION], ["x"] * 2).tolist() == [0, 0.5]
    assert objective([TRAIN], ["x"]).tolist() == [0.25]


def test_it_may_be_part_of_a_sum():
    total = WeightedSum("total", [constant(), Scheduled(constant(1.0), [[0, 0], [1, 1]])], [1, 1])
    assert total([TRAIN], ["x"]).tolist() == [0.25]
    assert total([TRAIN], ["x"]).tolist() == [0.75]


def test_its_state_can_be_stored_and_restored():
    first, second = Scheduled(constant(), RAMP), Scheduled(constant(), RAMP)
    for _ in range(3):
        first([TRAIN], ["x"])
    second.load_state_dict(first.state_dict())
    assert second([TRAIN], ["x"]).tolist() == first([TRAIN], ["x"]).tolist() == [0.375]


def test_a_training_run_counts_steps_and_a_resumed_one_goes_on(tmp_path):
    def env():
        late = Scheduled(Conciseness(max_tokens=64), [[0, 0.0], [2, 1.0]], name="late")
        return ArithmeticEnv(objectives=[Accuracy(), late])

    settings = {"prompts_per_step": 2, "group_size": 2, "eval_prompts": 2, "pictures": False}
    agent = GRPO(env(), out=tmp_path / "run", **settings)
    agent.train(1)
    late = agent.recorder.folder.metrics()[1]["rewards"]["late"]
    assert late["max"] == 0
    assert agent.performances[0][1] > 0
    again = Agent.load(tmp_path / "run", env=env())
    again.train(1)
    assert 0 < again.recorder.folder.metrics()[2]["rewards"]["late"]["max"] <= 0.5


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], r"must be a list of \[batch, factor\]"),
        ([[0, 1, 2]], r"must be a list of \[batch, factor\]"),
        ([[0, np.nan]], r"must be a list of \[batch, factor\]"),
        ("soon", r"must be a list of \[batch, factor\]"),
        ([[1, 0.5]], "batches that ascend from 0"),
        ([[0, 0.5], [0, 1]], "batches that ascend from 0"),
        ([[0, 1.5]], r"factors in \[0, 1\], got \[1.5\]"),
    ],
)
def test_points_that_break_a_rule_are_told(points, message):
    with pytest.raises(ValueError, match=message):
        Scheduled(constant(), points)


def test_names():
    assert Scheduled(constant(), RAMP).name == "constant"
    assert Scheduled(constant(), RAMP, name="late").name == "late"
