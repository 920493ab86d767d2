"""What is kept in shards follows the setting, or accelerate's launcher."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paretune.agents import GRPO
from paretune.agents.processes import launcher as launcher_module
from paretune.agents.processes import zero as zero_module
from paretune.agents.processes.distributed import Processes
from paretune.agents.processes.launcher import chosen_sharding
from paretune.cli.main import main

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
DEEPSPEED = {"ACCELERATE_USE_DEEPSPEED": "true"}
STAGE, FILE = "ACCELERATE_DEEPSPEED_ZERO_STAGE", "ACCELERATE_DEEPSPEED_CONFIG_FILE"


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch):
    """Set what accelerate's launcher sets; DeepSpeed seems to be there."""
    monkeypatch.setattr(launcher_module, "check_deepspeed", lambda: None)

    def launch(variables: dict[str, str]) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launch


@pytest.mark.parametrize(
    ("variables", "chosen"),
    [
        ({}, "none"),
        (FSDP, "fsdp"),
        (DEEPSPEED, "zero2"),
        (DEEPSPEED | {STAGE: "0"}, "none"),
        (DEEPSPEED | {STAGE: "1", "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "none"}, "zero1"),
    ],
)
def test_auto_is_what_accelerate_was_launched_with(launched, variables: dict[str, str], chosen: str) -> None:
    launched(variables)
    assert chosen_sharding("auto", 2) == chosen
    assert chosen_sharding("auto", 1) == "none"
    assert chosen_sharding("none", 2) == "none" and chosen_sharding("zero1", 2) == "zero1"


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, "none"),
        ({"stage": 1, "offload_optimizer": {"device": "none"}, "reduce_bucket_size": "auto"}, "zero1"),
        ({"stage": 2, "offload_param": None}, "zero2"),
    ],
)
def test_auto_is_what_deepspeeds_file_says(launched, tmp_path: Path, options: dict, chosen: str) -> None:
    (tmp_path / "ds.json").write_text(json.dumps({"fp16": {"enabled": True}, "zero_optimization": options}))
    launched(DEEPSPEED | {STAGE: "3", FILE: str(tmp_path / "ds.json")})
    assert chosen_sharding("auto", 2) == chosen


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ACCELERATE_USE_FSDP": "true"}, "sharding: .*first version.*--fsdp_version 2"),
        (
            FSDP | {"FSDP_OFFLOAD_PARAMS": "true"},
            "must keep parameters on the device, got FSDP_OFFLOAD_PARAMS",
        ),
        (DEEPSPEED | {STAGE: "3"}, "sharding: .*stage 0, 1 or 2, got stage 3.*--sharding fsdp"),
        (DEEPSPEED | {"ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu"}, "offload_optimizer to cpu.*fsdp"),
        (DEEPSPEED | {FILE: "no.json"}, "sharding: .*deepspeed_config_file.*'no.json'"),
    ],
)
def test_what_accelerate_cannot_have_is_told(
    launched, capsys: pytest.CaptureFixture[str], variables: dict[str, str], message: str
) -> None:
    launched(variables)
    with pytest.raises(ValueError, match=message):
        chosen_sharding("auto", 2)
    assert main(["train", "--steps", "1"]) == 2
    assert "sharding: " in capsys.readouterr().err


def test_a_file_that_offloads_is_refused(launched, tmp_path: Path) -> None:
    options = {"zero_optimization": {"stage": 2, "offload_optimizer": {"device": "cpu"}}}
    (tmp_path / "ds.json").write_text(json.dumps(options))
    launched(DEEPSPEED | {FILE: str(tmp_path / "ds.json")})
    with pytest.raises(ValueError, match=r"sharding: .*offload_optimizer to cpu"):
        chosen_sharding("auto", 2)


@pytest.mark.parametrize(
    ("available", "message"),
    [(False, 'sharding: .*pip install "paretune.deepspeed."'), (True, "0.19.8 or newer, got 0.18")],
)
def test_a_deepspeed_that_will_not_do_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], available: bool, message: str
) -> None:
    monkeypatch.setattr(zero_module, "is_deepspeed_available", lambda: available)
    monkeypatch.setattr(zero_module, "compare_versions", lambda *_: False)
    monkeypatch.setattr(zero_module, "version", lambda _: "0.18")
    with pytest.raises(ValueError, match=message):
        chosen_sharding("zero2", 2)
    assert chosen_sharding("zero2", 1) == "none"  # a run of several processes can be resumed in one
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", "--sharding", "zero2", "--steps", "1"]) == 2  # before the processes are connected
    assert "sharding: " in capsys.readouterr().err


@pytest.mark.parametrize("sharding", ["fsdp", "zero1"])
def test_small_networks_are_not_sharded(launched, monkeypatch: pytest.MonkeyPatch, sharding: str) -> None:
    monkeypatch.setattr(Processes, "launched", lambda: Processes(0, 2))
    with pytest.raises(ValueError, match=f"sharding: must be none for small networks.*{sharding}"):
        GRPO("paretune/TokenConvex-v0", prompts_per_step=2, sharding=sharding)
