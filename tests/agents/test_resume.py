"""A run that was stopped, at whatever moment, ends as if it had not been."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from paretune.agents import GRPO, RLOO, Agent, LanguageModelPolicy, RunFolder
from paretune.agents import recorder as recorder_module
from tests.agents.letters import LearningEnv, LettersEnv, random_policy

SETTINGS = {"prompts_per_step": 3, "group_size": 4, "lr": 1e-2, "eval_every": 3, "checkpoint_every": 4, "kl": 0.01}
SETTINGS |= {"schedule": "cosine", "epochs": 2, "minibatches": 2, "pictures": False}
COMMAND = [sys.executable, "-m", "paretune.cli", "train", "--quiet"]
SMALL = [
    "--prompts-per-step",
    "4",
    "--group-size",
    "4",
    "--eval-prompts",
    "8",
    "--lr",
    "1e-3",
    "--weighting",
    "gradient",
]
SMALL += ["--eval-every", "3", "--checkpoint-every", "2"]


def fresh(folder: Path) -> Agent:
    return GRPO(LettersEnv(), random_policy(), "hypervolume", out=folder, **SETTINGS)


def assert_same_run(first: Path, second: Path, weights: str = "model.safetensors") -> None:
    """Same metrics but for times, same archive, same history, same last checkpoint, bit for bit."""
    lines = [RunFolder(folder).metrics() for folder in (first, second)]
    for line in lines[0] + lines[1]:
        del line["times"]
    assert lines[0] == lines[1]
    assert RunFolder(first).archive_path.read_text() == RunFolder(second).archive_path.read_text()
    histories = [RunFolder(folder).history_path.iterdir() for folder in (first, second)]
    kept = [{path.name: path.read_bytes() for path in paths} for paths in histories]
    assert kept[0] == kept[1] and len(next(iter(kept[0].values()))) > 0
    last = [RunFolder(folder).checkpoints()[-1] for folder in (first, second)]
    assert last[0].name == last[1].name
    for name in (weights, "optimizer.safetensors"):
        tensors = [load_file(path / name) for path in last]
        assert tensors[0].keys() == tensors[1].keys()
        assert all((tensors[0][key] == tensors[1][key]).all() for key in tensors[0])


class StopAt:
    """A display that sends a signal, or raises, once a step has been shown."""

    def __init__(self, step: int, action) -> None:
        self.at, self.action = step, action

    def start(self, total: int, done: int) -> None: ...
    def message(self, text: str) -> None: ...
    def stop(self) -> None: ...

    def step(self, line) -> None:
        if line["step"] == self.at:
            self.action()


@pytest.fixture
def whole(tmp_path) -> Path:
    fresh(tmp_path / "whole").train(10)
    return tmp_path / "whole"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_after_a_signal_the_step_ends_and_resuming_gives_the_same_run(tmp_path, whole, number):
    made = fresh(tmp_path / "cut")
    made.recorder._display = StopAt(5, lambda: os.kill(os.getpid(), number))
    result = made.train(10)
    assert result.interrupted and result.steps == 5
    assert RunFolder(tmp_path / "cut").checkpoints()[-1].name == "step-000005"
    loaded = Agent.load(tmp_path / "cut", env=LettersEnv())
    assert not loaded.train(10 - loaded.step).interrupted
    assert_same_run(whole, tmp_path / "cut")


@pytest.mark.parametrize("at", [0, 3, 6, 9])
def test_after_a_crash_the_run_goes_on_from_its_last_checkpoint(tmp_path, whole, at):
    def crash() -> None:
        raise RuntimeError("power cut")

    made = fresh(tmp_path / "cut")
    made.recorder._display = StopAt(at, crash)
    with pytest.raises(RuntimeError):
        made.train(10)
    with RunFolder(tmp_path / "cut").metrics_path.open("a") as file:
        file.write('{"step": 7, "half a li')
    if at > 0:
        with (RunFolder(tmp_path / "cut").history_path / "rewards.f32").open("ab") as history:
            history.write(b"half a record")
    loaded = Agent.load(tmp_path / "cut", env=LettersEnv())
    loaded.train(10 - loaded.step)
    assert_same_run(whole, tmp_path / "cut")


@pytest.mark.parametrize(
    ("weighting", "settings"),
    [
        ("gradient", {"weighting_options": {"every": 2, "prior": 0.1}, "eval_sampled": True, "gradient_responses": 5}),
        ("gradient", {"gradient_every": 3, "gradient_mode": "sketch", "gradient_width": 4}),
        ("hypervolume", {"weighting_options": {"exact_paper": True}, "order": "normalise_first", "keep": "front"}),
        ("fixed", {"minibatches": 3, "clip": 0.1, "schedule": "polynomial", "temperature": 0.8, "top_p": 0.9}),
    ],
)
def test_resuming_is_exact_under_other_settings(tmp_path, weighting, settings):
    options = {"prompts_per_step": 3, "group_size": 4, "lr": 1e-2, "eval_every": 3, "checkpoint_every": 4}
    options |= {"pictures": False, **settings}

    def made(name: str) -> Agent:
        return RLOO(LearningEnv(), random_policy(), weighting, out=tmp_path / name, **options)

    made("whole").train(8)
    cut = made("cut")
    cut.recorder._display = StopAt(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert cut.train(8).interrupted
    loaded = Agent.load(tmp_path / "cut", env=LearningEnv())
    loaded.train(3)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_frozen_parameters_stay_frozen(tmp_path):
    policy = random_policy()
    policy.train_only(["lm_head.weight", "model.norm.weight"])
    made = GRPO(LettersEnv(), policy, prompts_per_step=2, group_size=2, lr=1e-2)
    made.train(1)
    made.save(tmp_path / "run")
    loaded = Agent.load(tmp_path / "run", env=LettersEnv())
    assert loaded.policy.trained_parameters() == policy.trained_parameters()
    loaded.train(1)
    made.train(1)
    assert torch.equal(loaded.policy.model.lm_head.weight, made.policy.model.lm_head.weight)


def test_the_initial_policy_is_read_once_and_none_is_copied_first(tmp_path, monkeypatch):
    made = fresh(tmp_path / "run")
    start = [parameter.clone() for parameter in made.policy.model.parameters()]
    made.train(1)
    monkeypatch.setattr(LanguageModelPolicy, "reference", None)  # what would copy
    resumed = Agent.load(tmp_path / "run", env=LettersEnv())
    reference = resumed.updater.reference
    assert all(torch.equal(x, y) for x, y in zip(start, reference.model.parameters(), strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(start, resumed.policy.model.parameters(), strict=True))


def test_the_reference_is_written_on_resuming_if_the_first_attempt_failed(tmp_path, monkeypatch):
    def fail(*args) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    made = GRPO(
        "paretune/Arithmetic-v0", out=tmp_path / "run", kl=0.1, prompts_per_step=2, group_size=2, eval_prompts=2
    )
    monkeypatch.setattr(made.updater.reference, "save", fail)
    with pytest.raises(OSError, match="no space is left"):
        made.train(1)
    Agent.load(tmp_path / "run").train(1)
    assert Agent.load(tmp_path / "run").updater.reference is not None


def test_a_run_stopped_before_its_first_checkpoint_starts_again(tmp_path):
    def tiny(name: str) -> Agent:
        options = {"prompts_per_step": 2, "group_size": 2, "eval_prompts": 4, "lr": 1e-3}
        return GRPO("paretune/Arithmetic-v0", "tiny-math", "fixed", out=tmp_path / name, **options)

    tiny("whole").train(2)
    made = tiny("cut")
    made.recorder._write = lambda *args: RunFolder(tmp_path / "missing").append_metrics({})
    with pytest.raises(FileNotFoundError):
        made.train(2)
    loaded = Agent.load(tmp_path / "cut")
    assert loaded.step == 0
    loaded.train(2)
    assert_same_run(tmp_path / "whole", tmp_path / "cut")


def test_settings_that_are_missing_are_named(tmp_path):
    RunFolder(tmp_path / "run").create({"agent": "grpo", "steps": 3})
    with pytest.raises(ValueError, match=r"must hold all settings, got .* without \['checkpoint_every', 'clip'"):
        Agent.load(tmp_path / "run")


def test_training_on_from_an_earlier_checkpoint_needs_a_folder_of_its_own(tmp_path):
    made = GRPO(LettersEnv(), random_policy(), out=tmp_path / "run", **SETTINGS | {"keep": "all"})
    made.train(5)
    earlier = Agent.load(tmp_path / "run", "step-000003", env=LettersEnv())
    with pytest.raises(ValueError, match=r"must be the last one \(step-000005\) for training to go on, got step 3"):
        earlier.train(2)
    earlier.save(tmp_path / "branch")
    assert Agent.load(tmp_path / "branch", env=LettersEnv()).train(2).steps == 5
    with pytest.raises(ValueError, match="unknown checkpoint"):
        Agent.load(tmp_path / "run", "step-000001", env=LettersEnv())


def test_a_full_disk_is_reported_and_costs_only_the_steps_since_the_last_checkpoint(tmp_path, whole, monkeypatch):
    write = recorder_module.write_checkpoint

    def full(folder, *args):
        if folder.name == "step-000008":
            raise OSError(errno.ENOSPC, "No space left on device")
        write(folder, *args)

    monkeypatch.setattr(recorder_module, "write_checkpoint", full)
    with pytest.raises(OSError, match=r"no space is left.*--resume.*step-000004"):
        fresh(tmp_path / "cut").train(10)
    monkeypatch.undo()
    loaded = Agent.load(tmp_path / "cut", env=LettersEnv())
    loaded.train(10 - loaded.step)
    assert_same_run(whole, tmp_path / "cut")


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="mounting a small disk needs root on Linux")
def test_a_really_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=21m", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        command = [*COMMAND, *SMALL, "--keep", "all", "--out", str(disk / "run"), "--steps", "6"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        assert "no space is left on the disk" in done.stderr and "--resume" in done.stderr
        assert "Traceback" not in done.stderr
        assert not [path for path in (disk / "run" / "checkpoints").iterdir() if path.name.startswith(".")]
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The folder of a run of 8 steps that nothing stopped."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    run_to_the_end(folder, *SMALL, "--steps", "8")
    return folder


def run_to_the_end(folder: Path, *words: str) -> None:
    done = subprocess.run([*COMMAND, *words, "--out", str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.xdist_group("killed")  # they share a run
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_is_resumed_from_the_command_line(tmp_path, uninterrupted, number):
    process = subprocess.Popen([*COMMAND, *SMALL, "--steps", "8", "--out", str(tmp_path / "cut")])
    metrics = tmp_path / "cut" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") >= 4):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert metrics.read_text().count("\n") < 9

    run_to_the_end(tmp_path / "cut", "--resume")
    assert_same_run(uninterrupted, tmp_path / "cut")
