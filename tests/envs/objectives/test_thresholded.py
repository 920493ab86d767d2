import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretune.envs import Accuracy, Conciseness, FunctionObjective, Gated, Prompt, Response, Thresholded, WeightedSum

PROMPTS = [Prompt.from_question("What is 1 + 1?", "2")]


def scores(*values: float) -> FunctionObjective:
    return FunctionObjective("scores", lambda prompts, responses: values[: len(responses)])


def apply(objective, n: int) -> list[float]:
    return objective(PROMPTS * n, ["x"] * n).tolist()


def test_a_threshold_is_a_step_or_a_ramp():
    values = scores(0, 0.25, 0.5, 0.625, 0.75, 1)
    assert apply(Thresholded(values, 0.75), 6) == [0, 0, 0, 0, 1, 1]
    assert apply(Thresholded(values, 0.75, ramp_from=0.5), 6) == [0, 0, 0, 0.5, 1, 1]
    assert apply(Thresholded(values, 1.0, ramp_from=0.0), 6) == [0, 0.25, 0.5, 0.625, 0.75, 1]


@given(value=st.floats(0, 1, width=32), threshold=st.floats(0.01, 1), start=st.floats(0, 0.99))
def test_thresholds_keep_order_and_range(value, threshold, start):
    start = start * threshold
    low, same = apply(Thresholded(scores(value / 2, value), threshold, ramp_from=start), 2)
    assert 0 <= low <= same <= 1
    assert (same == 1) or np.float32(value) < np.float32(threshold)


def test_a_score_that_is_written_like_the_threshold_reaches_it():
    for part in (scores(0.7), WeightedSum("mean", [scores(0.7)], [1])):  # float32, and float64 made of float32
        assert apply(Thresholded(part, 0.7), 1) == [1]
        assert apply(Gated(scores(1.0), by=part, threshold=0.7), 1) == [1]


def test_names_and_bad_arguments():
    assert Thresholded(scores(1), 0.5).name == "scores"
    assert Thresholded(scores(1), 0.5, name="enough").name == "enough"
    for threshold, start, message in (
        (0, None, r"threshold: must be in \(0, 1\], got 0"),
        (1.5, None, "threshold: must be"),
        (0.5, 0.5, r"ramp_from: must be in \[0, threshold\) with threshold = 0.5, got 0.5"),
        (0.5, -0.1, "ramp_from: must be"),
    ):
        with pytest.raises(ValueError, match=message):
            Thresholded(scores(1), threshold, start)


def test_brevity_counts_only_where_the_answer_is_right_and_only_up_to_a_level():
    brief = Gated(Thresholded(Conciseness(10), 0.5, ramp_from=0.0), by=Accuracy(fallback="last_number"))
    responses = [Response("2", tokens=4), Response("2", tokens=8), Response("3", tokens=1)]
    assert brief(PROMPTS * 3, responses).tolist() == pytest.approx([1, 0.4, 0])
    brief.close()
