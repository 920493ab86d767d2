from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import mo_gymnasium
import pytest

import paretune.envs
from paretune.envs import ArithmeticEnv, MathEnv, catalog, list_envs, make_env

HEAVY = ("torch", "transformers", "datasets", "math_verify", "sympy", "pandas", "pyarrow", "matplotlib")


@pytest.mark.parametrize("env_id", ["paretune/Arithmetic-v0", "paretune.envs:paretune/Arithmetic-v0"])
def test_mo_gymnasium_makes_the_environments(env_id: str) -> None:
    env = mo_gymnasium.make(env_id, split="test")
    assert isinstance(env.unwrapped, ArithmeticEnv)
    assert env.unwrapped.split == "test"
    assert env.unwrapped.reward_dim == env.unwrapped.reward_space.shape[0] == len(env.unwrapped.objectives)


def test_module_in_the_id_registers_in_a_fresh_process() -> None:
    code = "import mo_gymnasium; print(mo_gymnasium.make('paretune.envs:paretune/Arithmetic-v0').reset(seed=0)[0])"
    first, again = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in range(2))
    assert first.stdout == again.stdout != b""


def test_registering_again_changes_nothing(recwarn: pytest.WarningsRecorder) -> None:
    before = dict(gym.registry)
    importlib.reload(catalog)
    importlib.reload(paretune.envs)
    assert dict(gym.registry) == before
    assert not recwarn.list


def test_import_is_light() -> None:
    code = f"import sys, paretune.envs; print([name for name in {HEAVY} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"


def test_everything_public_is_there() -> None:
    assert sorted(paretune.envs.__all__) == sorted(set(paretune.envs.__all__))
    assert all(hasattr(paretune.envs, name) for name in paretune.envs.__all__)


def test_make_env_takes_wrappers_off(tmp_path: Path) -> None:
    env = make_env("paretune/Arithmetic-v0", max_tokens=12)
    assert type(env) is ArithmeticEnv
    assert env.max_tokens == 12
    assert env.spec is not None
    assert env.spec.id == "paretune/Arithmetic-v0"
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps({"question": "1 + 1?", "answer": 2}))
    assert type(make_env("paretune/Math-v0", dataset=str(file))) is MathEnv


def test_make_env_makes_other_registered_environments() -> None:
    assert make_env("mo_gymnasium:deep-sea-treasure-v0").unwrapped.reward_dim == 2


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        ("paretune/Arithmetik-v0", {}, "unknown environment .* did you mean 'paretune/Arithmetic-v0'"),
        ("paretune/Math-v1", {}, "did you mean 'paretune/Math-v0'"),
        ("", {}, "unknown environment ''"),
        ("no.such.module:paretune/Math-v0", {}, "env: must name a module that can be imported, got 'no.such.module:"),
        (
            "paretune/Arithmetic-v0",
            {"max_token": 3},
            "unknown option of .* 'max_token': did you mean 'max_tokens'",
        ),
        ("paretune/Math-v0", {}, "dataset: must be given, as paretune/Math-v0 has no default for it, got nothing"),
        (
            "paretune/Math-v0",
            {"dataset": "missing.jsonl"},
            r"must be a file or folder that exists, got 'missing\.jsonl'",
        ),
    ],
)
def test_make_env_refuses(env_id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_env(env_id, **options)


def test_list_envs() -> None:
    infos = {info.id: info for info in list_envs()}
    assert {"paretune/Arithmetic-v0", "paretune/Math-v0", "paretune/TokenConcave-v0"} <= set(infos)
    assert all(info.summary.endswith(".") and "\n" not in info.summary for info in infos.values())
    arithmetic = infos["paretune/Arithmetic-v0"]
    assert arithmetic.objectives == make_env("paretune/Arithmetic-v0").objectives
    assert arithmetic.options["split"] == "train"
    assert next(iter(infos["paretune/Math-v0"].options)) == "dataset"
    assert infos["paretune/TokenThree-v0"].options["objectives"] == 3
    assert infos["paretune/TokenThree-v0"].objectives == make_env("paretune/TokenThree-v0").objectives


@pytest.mark.parametrize("option", ["terms", "word_problems", "max_tokens"])
def test_an_option_of_the_wrong_type_is_named(option):
    with pytest.raises(ValueError, match=rf"{option}: must be (int|float) for paretune/Arithmetic-v0, got 'abc'"):
        make_env("paretune/Arithmetic-v0", **{option: "abc"})
