"""Our environments in TRL's form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl")

from paretune.envs import ArithmeticEnv, Conciseness, FunctionObjective, Prompt, RelativeConciseness, Response, make_env
from paretune.integrations.trl import prompt_dataset, reward_functions


def call(functions: list[Any], rows: Any, completions: list[Any], ids: list[list[int]]) -> np.ndarray:
    """Call reward functions as TRL does: with one list of completions for all, and the columns."""
    columns = {name: list(rows[name]) for name in rows.column_names if name != "prompt"}
    given = {"prompts": list(rows["prompt"]), "completions": completions, "completion_ids": ids, "trainer_state": None}
    return np.array([function(**given, **columns) for function in functions]).T


def test_the_reward_functions_are_the_objectives() -> None:
    env: Any = make_env("paretune/Arithmetic-v0", system_prompt="Be brief.")
    functions, rows = reward_functions(env), prompt_dataset(env, "validation", 4)
    assert [function.__name__ for function in functions] == list(env.unwrapped.objectives)
    prompts = env.unwrapped.prompts("validation", 4)
    completions = [f"1. so\n2. \\boxed{{{prompt.answer}}}" for prompt in prompts[:3]] + ["no"]
    ids = [[1] * 9, [1] * 5, [1], []]
    responses = [Response(text, len(each)) for text, each in zip(completions, ids, strict=True)]
    scores = call(functions, rows, completions, ids)
    np.testing.assert_allclose(scores, env.unwrapped.score(prompts, responses))
    assert scores[0, 0] == 1 and scores[3, 0] == 0


def test_chats_are_messages_and_their_completions_too() -> None:
    env = ArithmeticEnv(held_out=3, system_prompt="Be brief.")
    rows = prompt_dataset(env, "test", chat=True)
    assert rows[0]["prompt"] == [dict(message) for message in env.prompts("test")[0].messages]
    assert rows[0]["prompt"][0] == {"role": "system", "content": "Be brief."}
    plain = prompt_dataset(env, "test")
    assert plain[0]["prompt"] == env.prompts("test")[0].text and len(plain) == 3
    answers = [prompt.answer for prompt in env.prompts("test")]
    chats = [[{"role": "assistant", "content": answer}] for answer in answers]
    ids = [[1, 2]] * 3
    np.testing.assert_array_equal(
        call(reward_functions(env), rows, chats, ids), call(reward_functions(env), plain, answers, ids)
    )


def test_a_batch_is_scored_once() -> None:
    seen: list[Prompt] = []

    def one(prompts: Any, responses: Any) -> list[float]:
        seen.extend(prompts)
        return [1.0] * len(responses)

    env = ArithmeticEnv(held_out=2, objectives=[FunctionObjective("one", one), Conciseness(96)])
    functions, rows = reward_functions(env), prompt_dataset(env, "train", 2)
    completions = ["a", "b"]
    call(functions, rows, completions, [[1], [1]])
    assert len(seen) == 2 and seen == env.prompts("train", 2)
    call(functions, rows, list(completions), [[1], [1]])
    assert len(seen) == 4


def test_objectives_learn_from_training_prompts_alone() -> None:
    env = ArithmeticEnv(
        held_out=2, objectives=[RelativeConciseness(96), FunctionObjective("one", lambda p, r: [1.0] * len(r))]
    )
    functions, before = reward_functions(env), env.state_dict()
    call(functions, prompt_dataset(env, "validation"), ["a", "b"], [[1], [1]])
    assert env.state_dict() == before
    call(functions, prompt_dataset(env, "train"), ["a", "b"], [[1], [1]])
    assert env.state_dict() != before


def test_other_environments_are_refused() -> None:
    with pytest.raises(ValueError, match="env: must be an environment of prompts and responses, got StyleEnv"):
        reward_functions(make_env("paretune/TokenConvex-v0"))  # type: ignore[arg-type]
