"""Every strategy in training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file

from paretune.agents import RLOO, Agent, RunFolder, replay
from paretune.envs import StyleEnv
from paretune.weighting import WEIGHTINGS
from paretune.weighting.strategies.gramian_rules import AGGREGATORS

SETTINGS: dict[str, Any] = {"prompts_per_step": 2, "group_size": 4, "eval_every": 1, "eval_prompts": 2, "lr": 1e-2}
SETTINGS |= {"pictures": False}
NEEDED: dict[str, Any] = {
    "lagrangian": {"thresholds": [0.6, None]},
    "schedule": {"points": [[1, 1, 0], [4, 0, 1]]},
}
"""Options of strategies that cannot do without."""

CASES: list[tuple[str, dict[str, Any]]] = [
    *((name, NEEDED.get(name, {})) for name in WEIGHTINGS),
    ("hypervolume-gradient", {"form": "gram"}),
    ("tchebycheff", {"margin": 0.1, "source": "validation"}),
]


def result_of(folder: Path) -> tuple[list[dict], dict, dict]:
    """Return what a run left: metrics without times, the last checkpoint's tensors and weighting."""
    run = RunFolder(folder)
    last = run.checkpoints()[-1]
    tensors = {name: tensor.tolist() for name, tensor in load_file(last / "model.safetensors").items()}
    state = json.loads((last / "state.json").read_text())["weighting"]
    return [line | {"times": None} for line in run.metrics()], tensors, state


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{name} {', '.join(options)}" for name, options in CASES])
def test_every_strategy_trains_resumes_and_replays_bitwise(tmp_path, name, options):
    def made(folder: str) -> Agent:
        env = StyleEnv(4, 3)
        given = {"weighting_options": options, "preference": [2, 1], "out": tmp_path / folder}
        return RLOO(env, "mlp", name, **given, **SETTINGS)

    whole = made("whole")
    assert whole.train(2).steps == 2
    assert np.isfinite(whole.weighting.weights).all()

    parts = made("parts")
    parts.train(1)
    loaded = Agent.load(tmp_path / "parts", env=StyleEnv(4, 3))
    assert type(loaded.weighting) is WEIGHTINGS[name]
    assert loaded.weighting.weights.tolist() == parts.weighting.weights.tolist()
    loaded.train(1)
    assert result_of(tmp_path / "parts") == result_of(tmp_path / "whole")
    if name in [strategy.name for strategy in AGGREGATORS]:
        assert RunFolder(tmp_path / "parts").metrics()[-1]["raw_weights"] is not None

    again = replay(tmp_path / "parts", name, weighting_options=options)
    assert again.weights.tolist() == again.own_weights.tolist()
    assert again.scale.tolist() == again.own_scale.tolist()


def test_a_weighting_moves_the_policy(tmp_path):
    ends = []
    for points in ([[0, 1, 0]], [[0, 0, 1]]):
        agent = RLOO(StyleEnv(4, 3), "mlp", "schedule", weighting_options={"points": points}, **SETTINGS)
        agent.train(40)
        ends.append(agent.evaluate("test"))
    assert ends[0][0] > ends[1][0] and ends[1][1] > ends[0][1]
