"""Checkpoints: everything a run needs to go on, in a folder that transformers can load as a model.

A checkpoint holds the policy in Hugging Face format, `optimizer.safetensors` and `state.json`, which also carries the
checksums of the others. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from paretune.agents.files import atomic_path, write_json
from paretune.agents.policies.base import Policy
from paretune.agents.policies.shards import shard_like, whole
from paretune.agents.processes.zero import ZeroOptimizer

STATE = "state.json"
OPTIMIZER = "optimizer.safetensors"


def write_checkpoint(
    folder: Path | None, policy: Policy, optimizer: torch.optim.Optimizer | ZeroOptimizer, state: Mapping[str, Any]
) -> None:
    """Write a checkpoint; `folder` appears only when all of it is on the disk, and one that is there stays.

    It does not tell how many processes there were. All that hold a shard of the policy or optimizer must call this.

    Args:
        folder: Where to; None gives what this process holds to the one that writes.
        policy: The policy.
        optimizer: Its optimizer.
        state: The rest, JSON-able.
    """
    whole_policy, moments = policy.whole(folder is not None), _moments(optimizer, folder is not None)
    if folder is None or folder.exists():
        return
    assert whole_policy is not None
    with atomic_path(folder) as temporary:
        temporary.mkdir(parents=True)
        whole_policy.save(temporary)
        save_file(moments, temporary / OPTIMIZER)
        files = sorted(path for path in temporary.rglob("*") if path.is_file())
        checksums = {path.relative_to(temporary).as_posix(): _checksum(path) for path in files}
        write_json(temporary / STATE, {**state, "checksums": checksums})


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files are as they were written.

    Attributes:
        path: Its folder.
        state: What is in it besides policy and optimizer.
    """

    path: Path
    state: dict[str, Any]


def read_checkpoint(folder: Path) -> Checkpoint:
    """Return a checkpoint after checking that every file is as it was written.

    Raises:
        ValueError: If the checkpoint is damaged; the message names the file and what to do.
    """
    try:
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        checksums = state.pop("checksums")
        broken = [name for name, checksum in checksums.items() if _checksum(folder / name) != checksum]
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _damaged(folder, f"{STATE} or a file it lists cannot be read ({error})") from error
    if broken:
        raise _damaged(folder, f"{', '.join(broken)} differs from what was written")
    return Checkpoint(folder, state)


def read_optimizer(folder: Path, optimizer: torch.optim.Optimizer | ZeroOptimizer) -> None:
    """Restore the state of `optimizer` from a checkpoint."""
    if isinstance(optimizer, ZeroOptimizer):
        optimizer.load(_stored(folder))
        return
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for index, name, value in _stored(folder):
        state.setdefault(index, {})[name] = shard_like(value, parameters[index])
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _stored(folder: Path) -> Iterator[tuple[int, str, Tensor]]:
    """Yield what is stored of an optimizer: number of a parameter, name, value."""
    with safe_open(folder / OPTIMIZER, "pt") as file:
        for key in file.keys():  # noqa: SIM118  # the file is no dictionary
            index, name = key.split(".", 1)
            yield int(index), name, file.get_tensor(key)


def _moments(optimizer: torch.optim.Optimizer | ZeroOptimizer, keep: bool) -> dict[str, Tensor]:
    if isinstance(optimizer, ZeroOptimizer):
        return optimizer.moments(keep)
    return {
        f"{index}.{name}": whole(value, keep).contiguous()
        for index, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
    }


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _damaged(folder: Path, reason: str) -> ValueError:
    return ValueError(
        f"checkpoint: must be whole, got {str(folder)!r}, which is damaged: {reason}; remove this folder and resume "
        "again, from the checkpoint before it or, if there is none, from the start"
    )
