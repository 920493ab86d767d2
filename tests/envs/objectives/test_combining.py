import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs.objectives.base import Objective
from paretune.envs.objectives.combining import (
    FunctionObjective,
    Gated,
    Product,
    WeightedSum,
    as_objective,
    evaluate,
    leaves,
)
from paretune.envs.objectives.conciseness import RelativeConciseness
from paretune.envs.prompts import Prompt, Response

PROMPTS = [Prompt.from_question("What is 1 + 1?", "2")] * 2
RESPONSES = ["2", "It is 2."]


class Constant(Objective):
    """Gives every response the same score, and keeps account of what happens to it."""

    def __init__(self, name, score):
        self.name = name
        self.score = score
        self.calls = 0
        self.closed = 0

    def __call__(self, prompts, responses):
        self.calls += 1
        return np.full(len(responses), self.score, dtype=np.float32)

    def counts(self):
        return {f"{self.name}/calls": self.calls}

    def state_dict(self):
        return {"calls": self.calls}

    def load_state_dict(self, state):
        self.calls = state["calls"]

    def close(self):
        self.closed += 1


def short(prompts, responses):
    return [len(response) < 4 for response in responses]


def test_function_objective():
    objective = FunctionObjective("short", short)
    scores = objective(PROMPTS, RESPONSES)
    assert (objective.name, scores.dtype, scores.tolist()) == ("short", np.float32, [1, 0])


def test_function_objective_returns_a_fresh_array():
    kept = np.array([0.5, 0.5], dtype=np.float32)
    FunctionObjective("kept", lambda prompts, responses: kept)(PROMPTS, RESPONSES)[:] = 0
    assert kept.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([0.5], r"'bad': must return one score per response, shape \(2,\), got shape \(1,\)"),
        ([[0.5, 0.5]], r"got shape \(1, 2\)"),
        (0.5, r"got shape \(\)"),
        ([0.5, 1.5], r"'bad': must return scores in \[0, 1\], got 1.5 for response 1"),
        ([-0.1, 0.5], "got -0.1.* for response 0"),
        ([0.5, float("nan")], "got nan for response 1"),
        ([0.5, float("inf")], "got inf for response 1"),
    ],
)
def test_function_objective_checks_what_it_gets(returned, message):
    with pytest.raises(ValueError, match=message):
        FunctionObjective("bad", lambda prompts, responses: returned)(PROMPTS, RESPONSES)


def test_as_objective():
    objective = Constant("a", 1)
    assert as_objective(objective) is objective
    assert as_objective(short).name == "short"
    with pytest.raises(ValueError, match="objectives: must have names"):
        as_objective(lambda prompts, responses: [])
    with pytest.raises(ValueError, match="must be Objectives or functions of prompts and responses, got 3"):
        as_objective(3)


def test_weighted_sum_normalises_weights():
    objective = WeightedSum("mean", [Constant("a", 0.5), short], weights=[1, 3])
    assert objective.weights.tolist() == [0.25, 0.75]
    assert objective(PROMPTS, RESPONSES).tolist() == [0.875, 0.125]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "weights: must be 2 numbers, one per objective of 'mean'"),
        ([1, -1], "must be finite, not negative and not all zero"),
        ([0, 0], "not all zero"),
        ([1, float("nan")], "must be finite"),
    ],
)
def test_weighted_sum_refuses_bad_weights(weights, message):
    with pytest.raises(ValueError, match=message):
        WeightedSum("mean", [short, short], weights)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 1000)), min_size=1, max_size=9))
def test_combinations_stay_in_the_unit_interval(scores_and_weights):
    parts = [Constant(f"c{i}", score) for i, (score, _) in enumerate(scores_and_weights)]
    total = WeightedSum("sum", parts, [weight for _, weight in scores_and_weights])(PROMPTS, RESPONSES)
    product = Product("product", parts)(PROMPTS, RESPONSES)
    scores = [np.float32(part.score) for part in parts]
    assert min(scores) - 1e-6 <= total[0] <= min(1, max(scores) + 1e-6)
    assert 0 <= product[0] <= min(scores)


def test_product():
    assert Product("both", [Constant("a", 0.5), short])(PROMPTS, RESPONSES).tolist() == [0.5, 0]
    with pytest.raises(ValueError, match="objectives: must be at least one for 'none' to combine"):
        Product("none", [])


def test_gate_closes_below_its_threshold():
    half = Constant("half", 0.5)
    assert Gated(Constant("a", 0.25), by=short)(PROMPTS, RESPONSES).tolist() == [0.25, 0]
    assert Gated(short, by=half)(PROMPTS, RESPONSES).tolist() == [1, 0]
    assert Gated(short, by=half, threshold=0.6)(PROMPTS, RESPONSES).tolist() == [0, 0]
    assert Gated(short, by=half).name == "short"
    assert Gated(short, by=half, name="gated").name == "gated"
    with pytest.raises(ValueError, match=r"threshold: must be in \(0, 1\], got 0"):
        Gated(short, by=half, threshold=0)


def test_shared_parts_are_evaluated_and_closed_once():
    shared, other = Constant("shared", 0.5), Constant("other", 1.0)
    gated = Gated(other, by=shared)
    objective = WeightedSum("sum", [shared, gated, Product("p", [shared, gated])], [1, 1, 2])
    assert leaves([objective]) == [shared, other]
    assert objective(PROMPTS, RESPONSES).tolist() == [0.625, 0.625]
    assert (shared.calls, other.calls) == (1, 1)
    assert evaluate([shared, gated, objective], PROMPTS, RESPONSES).tolist() == [[0.5, 1, 0.625]] * 2
    assert (shared.calls, other.calls) == (2, 2)
    assert objective.counts() == {"shared/calls": 2, "other/calls": 2}
    objective.close()
    assert (shared.closed, other.closed) == (1, 1)


def test_state_goes_to_the_parts():
    def make():
        return Product("p", [Gated(RelativeConciseness(100), by=short), short])

    trained, restored = make(), make()
    trained(PROMPTS, [Response("x", tokens=10), Response("x", tokens=30)])
    restored.load_state_dict(trained.state_dict())
    responses = [Response("x", tokens=19), Response("x", tokens=21)]
    assert restored(PROMPTS, responses).tolist() == trained(PROMPTS, responses).tolist() == [1, 0]
    assert copy.deepcopy(trained).state_dict() == trained.state_dict()
