"""Several processes train as one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from paretune.agents import GRPO, RunFolder
from paretune.agents.processes.distributed import Processes
from paretune.agents.seeds import generator, skip_batches, torch_seed
from paretune.cli.main import main
from tests.agents import shared_run
from tests.agents.letters import LettersEnv, random_policy

SCRIPT = Path(shared_run.__file__)
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
STEPS = 6


def launch(*words: object, script: Path = SCRIPT) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH")]))
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    command = [*LAUNCH, str(script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


def knowledge(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"rank-{rank}.json").read_text())


def lines(folder: Path) -> list[dict]:
    """The metrics, but for what depends on how the work is shared out."""
    metrics = RunFolder(folder).metrics()
    return [{name: value for name, value in line.items() if name not in ("times", "padding")} for line in metrics]


def assert_close(first: object, second: object) -> None:
    """Equal, numbers to 1e-4, or 1e-5 where they are near 0.

    A trained model that is nearly sure multiplies the round-off of float32, 6e-8, by about a hundred; steps add up.
    """
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            assert_close(first[name], second[name])
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_close(one, other)
    elif isinstance(first, float):
        assert first == pytest.approx(second, rel=1e-4, abs=1e-5)
    else:
        assert first == second


def test_one_process_has_everything() -> None:
    alone, gradient = Processes(), nn.Parameter(torch.ones(2))
    assert (alone.main, alone.share(7), alone.gathered(3), alone.any(False)) == (True, slice(0, 7), [3], False)
    assert alone.concatenated(np.ones((2, 3))).shape == (2, 3) and alone.summed({"a": 1}) == {"a": 1}
    alone.sum_gradients([gradient])
    assert gradient.grad is None


@pytest.mark.parametrize("number", [2, 5, 8, 9])
def test_shares_are_neighbours_that_cover_everything_once(number: int) -> None:
    for size in (1, 2, 3):
        shares = [range(number)[Processes(rank, size).share(number)] for rank in range(size)]
        assert [i for share in shares for i in share] == list(range(number))
        assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_stream_goes_on_where_earlier_batches_end() -> None:
    whole, rest = generator(0, 1, "responses"), skip_batches(generator(0, 1, "responses"), 1)
    draws = []
    for rng in (whole, whole, rest):
        with torch_seed(rng, torch.device("cpu")):
            draws.append(torch.rand(3).tolist())
    assert draws[1] == draws[2] != draws[0]


@pytest.mark.parametrize(("name", "value"), [("prompts_per_step", 3), ("eval_prompts", 1)])
def test_what_cannot_be_shared_out_is_told(monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match=rf"{name}: .*2, got {value}"):
        GRPO(LettersEnv(), random_policy(), **({"prompts_per_step": 4, "group_size": 2} | {name: value}))


def test_other_commands_run_in_one_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["bench"]) == 2
    assert "command: must be train in several processes, got bench in 2" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("run", ["hypervolume", "gradient", "reuse", "learning"])
def test_two_processes_train_as_one(tmp_path: Path, run: str) -> None:
    """Objectives that learn from what they score (`learning`) see all responses in both processes."""
    shared_run.main(tmp_path / "one", run, STEPS)
    done = launch(tmp_path / "two", run, STEPS)
    assert done.returncode == 0, done.stderr
    assert_close(lines(tmp_path / "one"), lines(tmp_path / "two"))
    assert knowledge(tmp_path / "two", 0) == knowledge(tmp_path / "two", 1)
    assert_close(knowledge(tmp_path / "one", 0), knowledge(tmp_path / "two", 0))
    folders = [RunFolder(tmp_path / name) for name in ("one", "two")]
    last = [load_file(folder.checkpoints()[-1] / "model.safetensors") for folder in folders]
    assert all(torch.allclose(last[0][name], last[1][name], atol=5e-5) for name in last[0])


@pytest.mark.slow
def test_a_run_goes_on_after_one_of_its_processes_was_killed(tmp_path: Path) -> None:
    shared_run.main(tmp_path / "whole", "hypervolume", STEPS)
    assert launch(tmp_path / "killed", "hypervolume", STEPS, "none", 3).returncode != 0
    assert RunFolder(tmp_path / "killed").checkpoints()[-1].name == "step-000003"
    done = launch(tmp_path / "killed", "hypervolume", STEPS)
    assert done.returncode == 0, done.stderr
    assert_close(lines(tmp_path / "whole"), lines(tmp_path / "killed"))
    assert_close(knowledge(tmp_path / "whole", 0), knowledge(tmp_path / "killed", 0))
