"""What is kept in shards: the setting `sharding`, which may leave that to accelerate's launcher."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from paretune.agents.processes.distributed import launched_number
from paretune.agents.processes.zero import check_deepspeed
from paretune.agents.settings import AgentSettings, Sharding

InShards = Literal["none", "fsdp", "zero1", "zero2"]

ZERO_STAGES: dict[InShards, int] = {"zero1": 1, "zero2": 2}
"""DeepSpeed's name for them."""


def chosen_sharding(sharding: Sharding, processes: int) -> InShards:
    """Return what is to be kept in shards, by the setting and by what accelerate's launcher says.

    Args:
        sharding: The setting.
        processes: Number of processes; one keeps everything.

    Raises:
        ValueError: If accelerate was asked for what is not supported, or DeepSpeed is needed and missing.
    """
    chosen = _launched() if sharding == "auto" else sharding
    if processes == 1:
        return "none"
    if chosen in ZERO_STAGES:
        check_deepspeed()
    return chosen


def check_launch(settings: AgentSettings) -> None:
    """Raise ValueError if the processes that were launched cannot train by these settings.

    They cannot where accelerate was asked for what is not supported, or where the prompts of a step or of an evaluation
    cannot be shared out among them.
    """
    size = launched_number()
    chosen_sharding(settings.sharding, size)
    if settings.prompts_per_step % size:
        raise ValueError(
            f"prompts_per_step: must be a multiple of the number of processes, which is {size}, got "
            f"{settings.prompts_per_step}"
        )
    if settings.eval_prompts is not None and settings.eval_prompts < size:
        raise ValueError(
            f"eval_prompts: must be at least the number of processes, which is {size}, got {settings.eval_prompts}"
        )


def _launched() -> InShards:
    if _is_set("ACCELERATE_USE_DEEPSPEED"):
        return _deepspeed()
    if not _is_set("ACCELERATE_USE_FSDP"):
        return "none"
    if os.environ.get("FSDP_VERSION", "1") != "2":
        raise ValueError("sharding: must be FSDP2, got the first version from accelerate; launch with --fsdp_version 2")
    if _is_set("FSDP_OFFLOAD_PARAMS"):
        raise ValueError("sharding: must keep parameters on the device, got FSDP_OFFLOAD_PARAMS from accelerate")
    return "fsdp"


def _deepspeed() -> InShards:
    """Return what accelerate was asked for of DeepSpeed, in options or in a file, of which nothing else counts."""
    zero = _zero_options()
    for name in ("offload_optimizer", "offload_param"):
        if (device := str(zero[name]).lower()) != "none":
            raise ValueError(
                f"sharding: must keep everything on the device, got DeepSpeed with {name} to {device} from accelerate; "
                f"launch without, or shard more with --sharding fsdp"
            )
    names: dict[str, InShards] = {"0": "none", "1": "zero1", "2": "zero2"}
    stage = str(zero["stage"])
    if stage not in names:
        raise ValueError(
            f"sharding: must be DeepSpeed's ZeRO stage 0, 1 or 2, got stage {stage} from accelerate; what stage 3 "
            "shards, --sharding fsdp does (torch's FSDP2; accelerate's --use_fsdp --fsdp_version 2)"
        )
    return names[stage]


def _zero_options() -> dict[str, Any]:
    """Return ZeRO's stage and the devices that are offloaded to; what is not said is as accelerate has it."""
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file == "none":
        variable = "ACCELERATE_DEEPSPEED_{}".format
        return {
            "stage": os.environ.get(variable("ZERO_STAGE"), "2"),
            "offload_optimizer": os.environ.get(variable("OFFLOAD_OPTIMIZER_DEVICE"), "none"),
            "offload_param": os.environ.get(variable("OFFLOAD_PARAM_DEVICE"), "none"),
        }
    try:
        zero = json.loads(Path(file).read_text(encoding="utf-8")).get("zero_optimization", {})
        stage = zero.get("stage", 0)
        devices = {name: zero.get(name) or {} for name in ("offload_optimizer", "offload_param")}
        return {"stage": stage, **{name: value.get("device", "none") for name, value in devices.items()}}
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(
            f"sharding: must have a JSON file for accelerate's deepspeed_config_file, got {file!r} ({error})"
        ) from error


def _is_set(name: str) -> bool:
    return os.environ.get(name, "false").lower() in ("true", "1", "yes")
