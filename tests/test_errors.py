"""Errors speak one dialect in all rooms: an argument, its rule and its value; or an unknown name and the nearest ones.

`NAME: must RULE, got VALUE`, behind the places that it is in, from the outside in; or
`unknown KIND NAME: did you mean NEAREST? Known: ...`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretune.agents import GRPO, RLOO, Agent, Sweep
from paretune.bench import Bench, Grid, LocalProcesses
from paretune.cli.main import main
from paretune.envs import Accuracy, StyleEnv, WeightedSum, check_env, make_env
from paretune.envs.suggest import unknown_name
from paretune.integrations.driver import WeightingDriver
from paretune.weighting import (
    FixedWeighting,
    HypervolumeWeighting,
    ParetoArchive,
    inputs,
    make_weighting,
    resolve_preference,
)

TOY = "paretune/TokenConvex-v0"


def grid(**arguments: Any) -> None:
    Grid(**({"envs": [TOY], "agents": ["rloo"], "weightings": ["fixed"], "seeds": 1} | arguments)).check()


RULES: dict[str, tuple[Callable[[], object], str, str, str]] = {
    # what is done: argument, rule, value
    "setting": (lambda: GRPO(TOY, lr=-1), "lr", "None or a finite number above 0", "-1"),
    "setting of another type": (lambda: GRPO(TOY, pictures="no"), "pictures", "true or false", "'no'"),
    "setting in a list": (
        lambda: GRPO(TOY, reference=[0, np.nan]),
        "reference",
        "None or a list (each a finite number)",
        "[0, nan]",
    ),
    "settings together": (
        lambda: GRPO(TOY, minibatches=999),
        "minibatches",
        "at most prompts_per_step * group_size = 128",
        "999",
    ),
    "setting of a language model": (lambda: GRPO(TOY, top_p=0.5), "top_p", "1.0 for a network policy", "0.5"),
    "environment without a vector reward": (lambda: GRPO("CartPole-v1"), "env", "a vector reward", "<"),
    "steps": (lambda: RLOO(TOY).train(0), "steps", "a whole number of at least 1", "0"),
    "run": (lambda: Agent.load("nowhere"), "run", "the folder of a run", "'nowhere'"),
    "sweep": (lambda: Sweep(GRPO, TOY, steps=1, refine=-1), "refine", "a whole number of at least 0", "-1"),
    "preferences of a sweep": (
        lambda: Sweep(GRPO, TOY, steps=1, preferences=[[1]]),
        "preferences",
        "2 weights",
        "[[1]]",
    ),
    "grid": (lambda: grid(steps=0), "steps", "a whole number of at least 1", "0"),
    "table of a grid": (
        lambda: grid(envs=[{"id": TOY, "steps": "9"}]),
        f"envs: '{TOY}': steps",
        "None or a whole number of at least 1",
        "'9'",
    ),
    "setting in a grid": (
        lambda: grid(settings={"epochs": 0}),
        "grid: TokenConvex-v0/rloo/fixed/equal/seed-0: epochs",
        "a whole number of at least 1",
        "0",
    ),
    "jobs": (lambda: LocalProcesses(0), "jobs", "a whole number of at least 1", "0"),
    "benchmark": (
        lambda: Bench(Grid(envs=[TOY], agents=["rloo"], weightings=["fixed"]), __file__),
        "out",
        "a folder",
        "'",
    ),
    "preference": (lambda: resolve_preference([0, 0]), "preference", "a positive sum", "[0, 0]"),
    "option of a weighting": (
        lambda: make_weighting("saw", 2, epsilon=-1.0),
        "epsilon",
        "a number of at least",
        "-1.0",
    ),
    "option of another type": (lambda: make_weighting("gradient", 2, floor="a"), "floor", "float for weighting", "'a'"),
    "modifier": (lambda: make_weighting("fixed", 2, every=0), "every", "a whole number of at least 1", "0"),
    "what a weighting sees": (
        lambda: make_weighting("saw", 2).on_rewards([[1.0]]),
        "rewards",
        "shape (any, any, 2)",
        "(1, 1)",
    ),
    "reference of an archive": (lambda: ParetoArchive([]), "reference", "a vector of at least one number", "[]"),
    "performance": (lambda: ParetoArchive(2).add([0.5], tag=0), "performance", "shape (2)", "(1,)"),
    "reference of a weighting": (
        lambda: HypervolumeWeighting(2, reference=[0.0]),
        "reference",
        "of length 2, as the preference",
        "[0.0]",
    ),
    "option of an environment": (
        lambda: make_env("paretune/Arithmetic-v0", terms=7),
        "terms",
        "a whole number from 2 to 6",
        "7",
    ),
    "option of a wrong type": (lambda: make_env(TOY, length="x"), "length", f"int for {TOY}", "'x'"),
    "missing option": (lambda: make_env("paretune/Math-v0"), "dataset", "given", "nothing"),
    "data set": (lambda: make_env("paretune/Math-v0", dataset="no.jsonl"), "dataset", "exists", "'no.jsonl'"),
    "token": (lambda: StyleEnv(4, 3).check_tokens("texts", [9]), "texts", "an integer from 0 to 3", "[9]"),
    "weights of objectives": (lambda: WeightedSum("w", [Accuracy()], [1, 2]), "weights", "1 numbers", "[1, 2]"),
    "checked environment": (lambda: check_env(StyleEnv(4, 3), episodes=0), "episodes", "at least 1", "0"),
    "driver": (lambda: WeightingDriver(FixedWeighting(2), ["a"]), "weighting", "1 weights", "2"),
}

NAMES: dict[str, tuple[Callable[[], object], str, str, str]] = {
    # what is done: kind, name, the nearest one
    "setting": (lambda: GRPO(TOY, grup_size=4), "setting", "grup_size", "group_size"),
    "choice of a setting": (lambda: GRPO(TOY, order="weigh_frist"), "order", "weigh_frist", "weigh_first"),
    "network": (lambda: GRPO(TOY, "mpl"), "policy of a stepped environment", "mpl", "mlp"),
    "agent": (lambda: grid(agents=["rlo"]), "agent", "rlo", "rloo"),
    "key": (lambda: grid(weightings=[{"name": "saw", "option": 1}]), "key", "option", "options"),
    "weighting": (lambda: make_weighting("sav", 2), "weighting", "sav", "saw"),
    "option of a weighting": (
        lambda: make_weighting("gradient", 2, flor=0.1),
        "option of weighting 'gradient'",
        "flor",
        "floor",
    ),
    "choice of a weighting": (lambda: make_weighting("tchebycheff", 2, source="reward"), "source", "reward", "rewards"),
    "environment": (lambda: make_env("paretune/TokenConvexe-v0"), "environment", "paretune/TokenConvexe-v0", TOY),
    "option of an environment": (lambda: make_env(TOY, lenth=3), f"option of {TOY}", "lenth", "length"),
    "fallback": (lambda: Accuracy("last_numbr"), "fallback", "last_numbr", "last_number"),
    "split": (lambda: make_env("paretune/Arithmetic-v0", split="tset"), "split", "tset", "test"),
    "rule": (lambda: check_env(StyleEnv(4, 3), skip=["pickel"]), "rule", "pickel", "pickle"),
}


def error_of(wrong_use: Callable[[], object]) -> str:
    with pytest.raises(ValueError) as error:
        wrong_use()
    return str(error.value)


@pytest.mark.parametrize("use", RULES)
def test_an_error_names_the_argument_its_rule_and_its_value(use: str) -> None:
    wrong_use, argument, rule, value = RULES[use]
    text = error_of(wrong_use)
    assert re.match(rf"{re.escape(argument)}: must .*{re.escape(rule)}.*, got .*{re.escape(value)}", text, re.DOTALL), (
        text
    )


@pytest.mark.parametrize("use", NAMES)
def test_an_unknown_name_is_answered_with_the_nearest(use: str) -> None:
    wrong_use, kind, name, nearest = NAMES[use]
    text = error_of(wrong_use)
    assert re.search(rf"(^|: )unknown {re.escape(kind)} '{name}': did you mean .*'{nearest}'.*\? Known: '", text), text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--steps", "0"], "steps: must be a whole number of at least 1, got 0"),
        (["train", "--temperature", "0"], "temperature: must be a finite number above 0, got 0.0"),
        (["sweep", "--refine", "-1"], "refine: must be a whole number of at least 0, got -1"),
        (["bench", "--threads", "0"], "threads: must be a whole number of at least 1, got 0"),
        (["evaluate", "nowhere", "--prompts", "0"], "prompts: must be None or a whole number of at least 1, got 0"),
        (["envs", "CartPole-v1"], "env: must be one of paretune's own to be listed, got 'CartPole-v1'"),
        (["weightings", "sav"], "unknown weighting 'sav': did you mean 'saw'? Known: 'fixed'"),
        (["trian"], "unknown command 'trian': did you mean 'train'? Known: 'train'"),
    ],
)
def test_the_command_line_says_the_same(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert capsys.readouterr().err.startswith(f"paretune: error: {message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr = -1", "lr: must be None or a finite number above 0, got -1"),
        ("group_sise = 1", "unknown setting 'group_sise': did you mean 'group_size'"),
    ],
)
def test_a_settings_file_says_where(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(text)
    assert main(["train", "--config", str(config)]) == 2
    assert capsys.readouterr().err.startswith(f"paretune: error: config: {str(config)!r}: {message}")


@pytest.mark.parametrize("name", ["tset", "nothing like it", 3])
@pytest.mark.parametrize("known", [["train", "test", "Rest"], [], [f"name{i}" for i in range(20)]])
def test_weighting_which_imports_nothing_of_ours_has_the_same_words_for_names(name: object, known: list[str]) -> None:
    assert inputs.unknown_name("split", name, known) == unknown_name("split", name, known)
