import pytest

from paretune.envs import FunctionObjective, Prompt, make_env
from paretune.envs.text.arithmetic import ArithmeticEnv

QUESTION = Prompt.from_question("2 + 3?", "5")
length = FunctionObjective("length", lambda prompts, responses: [len(text) / 100 for text in responses])


def test_a_name_takes_an_objective_out_of_the_rewards():
    env = make_env("paretune/Arithmetic-v0", evaluation_only=["clarity"])
    assert env.objectives == ("accuracy", "conciseness") and env.reward_dim == 2
    assert env.evaluation_only == ("clarity",)
    clear = "1. 2 + 3 = 5\n2. So it is \\boxed{5}."
    assert env.score([QUESTION], [clear]).shape == (1, 2)
    assert env.report([QUESTION] * 2, [clear, "5"]).tolist() == [[1], [0]]
    env.reset(seed=0)
    assert env.step("5")[1].shape == (2,)
    env.close()


def test_further_objectives_are_reported_beside_the_rewards():
    env = ArithmeticEnv(evaluation_only=[length, "accuracy"])
    assert env.objectives == ("conciseness", "clarity") and env.evaluation_only == ("length", "accuracy")
    assert env.report([QUESTION], ["x" * 50]).tolist() == [[0.5, 0.0]]
    assert env.report([], []).shape == (0, 2)
    assert set(env.state_dict()) == {"conciseness", "clarity"}
    env.close()


def test_without_them_reports_are_empty():
    assert ArithmeticEnv().report([QUESTION], ["5"]).shape == (1, 0)


def test_bad_names_are_errors():
    with pytest.raises(ValueError, match="did you mean 'clarity'"):
        ArithmeticEnv(evaluation_only=["clarty"])
    with pytest.raises(ValueError, match=r"evaluation_only: must each have a name that no other objective has"):
        ArithmeticEnv(evaluation_only=[FunctionObjective("clarity", length.function)])
    with pytest.raises(ValueError, match=r"evaluation_only: must each have a name"):
        ArithmeticEnv(evaluation_only=["clarity", "clarity"])
    with pytest.raises(ValueError, match="objectives: must be at least one"):
        ArithmeticEnv(evaluation_only=["accuracy", "conciseness", "clarity"])
    with pytest.raises(ValueError, match="must return scores in"):
        ArithmeticEnv(evaluation_only=[length]).report([QUESTION], ["x" * 101])
