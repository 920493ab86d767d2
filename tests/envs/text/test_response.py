from __future__ import annotations

import pickle
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.prompts import Prompt, Response, Split
from paretune.envs.text.response import ResponseEnv, check_split


class Echo(Objective):
    """The share of the reference answer's characters that the response begins with."""

    name = "echo"

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        matches = [response.startswith(prompt.answer) for prompt, response in zip(prompts, responses, strict=True)]
        return np.array(matches, dtype=np.float32)


class Longest(Objective):
    """Whether a response is longer than all before it: an objective with a state, a count and something to close."""

    name = "longest"

    def __init__(self) -> None:
        self.record = 0
        self.closed = 0

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        scores = np.array([len(response) > self.record for response in responses], dtype=np.float32)
        self.record = max([self.record, *map(len, responses)])
        return scores

    def counts(self) -> dict[str, int]:
        return {"longest/record": self.record}

    def state_dict(self) -> dict[str, Any]:
        return {"record": self.record}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.record = state["record"]

    def close(self) -> None:
        self.closed += 1


class Fixed(Objective):
    """Returns whatever it is made with."""

    name = "fixed"

    def __init__(self, scores: Any) -> None:
        self.scores = scores

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        return self.scores


class Letters(ResponseEnv):
    """Ten questions per split whose answers are letters."""

    def __init__(self, objectives: Sequence[Any] | None = None, **options: Any) -> None:
        super().__init__([Echo(), Longest()] if objectives is None else objectives, **{"max_tokens": 8} | options)

    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        start = {"train": "a", "validation": "k", "test": "u"}[check_split(split)]
        letters = [chr(ord(start) + offset) for offset in range(10)]
        return [Prompt.from_question(f"Say {letter}", letter, split=split) for letter in letters][:limit]


def texts(prompts: Sequence[Prompt]) -> list[str]:
    return [prompt.text for prompt in prompts]


def test_attributes() -> None:
    env = Letters(split="test", max_prompt_chars=100, max_response_chars=50)
    assert env.objectives == ("echo", "longest")
    assert (env.reward_dim, env.max_tokens, env.split, env.render_mode) == (2, 8, "test", None)
    assert env.reward_space.shape == (2,)
    assert env.reward_space.dtype == np.float32
    assert (env.reward_space.low.tolist(), env.reward_space.high.tolist()) == ([0, 0], [1, 1])
    assert (env.observation_space.max_length, env.action_space.max_length) == (100, 50)


def test_an_episode() -> None:
    env = Letters()
    text, info = env.reset(options={"prompt": Prompt.from_question("Say z", "z", split="test")})
    assert text == "Say z"
    assert info == {"messages": [{"role": "user", "content": "Say z"}], "split": "test"}
    text, rewards, terminated, truncated, info = env.step("zeta")
    assert text == "Say z"
    assert rewards.dtype == np.float32
    assert rewards.tolist() == [1, 1]
    assert terminated is True
    assert truncated is False
    assert info == {"answer": "z", "tokens": 1, "objectives": {"echo": 1.0, "longest": 1.0}}


def test_info_takes_the_tokens_that_a_response_knows() -> None:
    env = Letters()
    env.reset(seed=0)
    assert env.step(Response("something", tokens=7))[4]["tokens"] == 7


def test_rewards_and_infos_are_fresh() -> None:
    env = Letters([Echo()])
    prompt = Prompt.from_question("Say z", "z")
    results = []
    for _ in range(2):
        _, reset_info = env.reset(options={"prompt": prompt})
        _, rewards, _, _, info = env.step("z")
        results.append((reset_info, rewards, info))
        reset_info["messages"][0]["content"] = "changed"
        rewards[0] = 5
        info["objectives"]["echo"] = 5
    assert prompt.text == "Say z"
    assert not np.shares_memory(results[0][1], results[1][1])
    assert env.score([prompt], ["z"]).tolist() == [[1]]


def test_reset_follows_the_seed() -> None:
    env, other = Letters(), Letters()
    first = [env.reset(seed=5)[0], *(env.reset()[0] for _ in range(8))]
    assert first == [other.reset(seed=5)[0], *(other.reset()[0] for _ in range(8))]
    assert len(set(first)) > 2
    assert first != [env.reset(seed=6)[0], *(env.reset()[0] for _ in range(8))]


def test_reset_takes_plain_text_as_prompt() -> None:
    assert Letters().reset(options={"prompt": "How?"})[0] == "How?"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"promt": "How?"}, "unknown option of reset 'promt': did you mean 'prompt'"),
        ({"prompt": 3}, "must be a Prompt or a str, got int"),
        ({"prompt": "x" * 101}, r"prompt: must be in UnicodeText\(100\), got 101 characters"),
    ],
)
def test_reset_refuses_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Letters(max_prompt_chars=100).reset(options=options)


def test_step_needs_a_reset_before_each_episode() -> None:
    env = Letters()
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("a")
    env.reset(seed=0)
    env.step("a")
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("a")


def test_step_refuses_what_is_no_action_and_the_episode_goes_on() -> None:
    env = Letters(max_response_chars=4)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"action: must be a str in UnicodeText\(4\), got 5 characters"):
        env.step("aaaaa")
    with pytest.raises(ValueError, match="got int"):
        env.step(3)
    assert env.step("aaaa")[2]


def test_score_has_no_length_limit() -> None:
    assert Letters(max_response_chars=4).score(["?"], ["x" * 1000]).tolist() == [[1, 1]]


def test_score_shapes_and_values() -> None:
    env = Letters()
    rewards = env.score(env.prompts("train", 3), ["a", "x", "cc"])
    assert rewards.dtype == np.float32
    assert rewards.tolist() == [[1, 1], [0, 1], [1, 1]]
    assert env.score([], []).shape == (0, 2)
    assert env.score([], []).dtype == np.float32
    assert env.score(["What?"], ["x"]).tolist() == [[1, 0]]  # a plain prompt's answer is empty


def test_score_needs_one_response_per_prompt() -> None:
    with pytest.raises(ValueError, match="responses: must be one for each of 2 prompts, got 1"):
        Letters().score(["a", "b"], ["c"])


@pytest.mark.parametrize("score", [1.5, -0.1, np.nan])
def test_score_names_the_objective_that_leaves_its_range(score: float) -> None:
    with pytest.raises(ValueError, match=rf"objective 'fixed': must return numbers in \[0, 1\], got {score}"):
        Letters([Echo(), Fixed(np.array([score]))]).score(["?"], ["x"])


@pytest.mark.parametrize("scores", [np.zeros(2), np.zeros((1, 1)), 0.5])
def test_score_refuses_other_shapes(scores: Any) -> None:
    for objectives in ([Fixed(scores)], [Echo(), Fixed(scores)]):
        with pytest.raises(ValueError, match=r"shape|axis"):
            Letters(objectives).score(["?"], ["x"])


def test_functions_are_objectives() -> None:
    def polite(prompts: Sequence[Prompt], responses: Sequence[str]) -> list[bool]:
        return ["please" in response for response in responses]

    env = Letters([polite])
    assert env.objectives == ("polite",)
    assert env.score(["?", "?"], ["please", "now"]).tolist() == [[1], [0]]


def test_sample_prompts_goes_through_the_split_before_it_repeats() -> None:
    env = Letters(split="validation")
    drawn = env.sample_prompts(25, np.random.default_rng(0))
    everything = sorted(texts(env.prompts("validation")))
    assert sorted(texts(drawn[:10])) == sorted(texts(drawn[10:20])) == everything
    assert len(set(texts(drawn[20:]))) == 5
    assert texts(drawn) == texts(env.sample_prompts(25, np.random.default_rng(0)))
    assert texts(drawn) != texts(env.sample_prompts(25, np.random.default_rng(1)))
    assert env.sample_prompts(0, np.random.default_rng(0)) == []


def test_render() -> None:
    env = Letters([Echo()], render_mode="ansi")
    env.reset(options={"prompt": Prompt.from_question("Say z", "z")})
    assert env.render() == "prompt:\nSay z\n"
    env.step("zz")
    assert env.render() == "prompt:\nSay z\nresponse:\nzz\nrewards: echo 1.000"
    assert Letters().render() is None


def test_state_counts_and_close_are_the_objectives() -> None:
    longest = Longest()
    env = Letters([Echo(), longest])
    env.score(["?"], ["four"])
    assert env.counts() == {"longest/record": 4}
    assert env.state_dict() == {"echo": {}, "longest": {"record": 4}}
    twin = Letters()
    twin.load_state_dict(env.state_dict())
    assert twin.score(["?"], ["four"]).tolist() == [[1, 0]]
    env.close()
    env.close()
    assert longest.closed == 2


def test_state_of_other_objectives_is_refused() -> None:
    with pytest.raises(ValueError, match=r"state: must be of the objectives \['echo', 'longest'\], got .* \['echo'\]"):
        Letters().load_state_dict({"echo": {}})


@pytest.mark.parametrize("copy", [deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_where_the_original_is(copy: Any) -> None:
    env = Letters()
    env.reset(seed=3)
    env.score(["?"], ["four"])
    twin = copy(env)
    assert twin.step("five5")[1].tolist() == env.step("five5")[1].tolist()
    assert [twin.reset()[0] for _ in range(5)] == [env.reset()[0] for _ in range(5)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": []}, "objectives: must be at least one"),
        ({"objectives": [Echo(), Echo()]}, r"a name of its own, got the names \['echo', 'echo'\]"),
        ({"max_tokens": 0}, "max_tokens: must be at least 1, got 0"),
        ({"render_mode": "human"}, "render_mode: must be 'ansi' or None, got 'human'"),
        ({"split": "vaildation"}, "unknown split 'vaildation': did you mean 'validation'"),
        ({"max_response_chars": -1}, "length"),
    ],
)
def test_refuses_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Letters(**options)


def test_subclasses_must_have_prompts() -> None:
    class Empty(ResponseEnv):
        pass

    with pytest.raises(TypeError, match="prompts"):
        Empty([Echo()], max_tokens=1)


def test_check_split() -> None:
    assert check_split("test") == "test"
    with pytest.raises(ValueError, match="unknown split 'Train': did you mean 'train'"):
        check_split("Train")
