"""AdamW in shards: DeepSpeed's ZeRO, where its users have it.

Each process keeps a part of the moments (stage 1), and a part of the summed gradients as well (stage 2), but all of the
model; it updates its part of the parameters and gets the others' parts from the others. Forward passes are as ever:
DeepSpeed's hooks sit on the parameters. What ZeRO-3 would shard in addition, the model itself, FSDP2 does; see
`sharding`.

DeepSpeed is imported only where it is used: it is slow to import and tells of itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import torch
from accelerate.utils import compare_versions, is_deepspeed_available
from torch import Tensor, nn

from paretune.agents.processes.distributed import BUCKET

NEEDED = "0.19.8"
"""The oldest DeepSpeed that will do: those before take steps along float32 gradients that are not finite."""


class ZeroOptimizer:
    """An AdamW whose state, and for stage 2 whose gradients, are in shards.

    All processes must call every method, and for stage 2 make backward passes through the same layers in the same
    order: gradients are summed over the processes as they come.
    """

    def __init__(self, optimizer: torch.optim.AdamW, stage: int) -> None:
        """Take over an optimizer.

        Args:
            optimizer: Has made no step, and has one group of float32 parameters.
            stage: 1 or 2.

        Raises:
            ValueError: If DeepSpeed is missing or too old, or would move the model to another device.
        """
        check_deepspeed()
        import deepspeed
        from deepspeed.accelerator import get_accelerator

        (group,) = optimizer.param_groups
        self._trained: list[nn.Parameter] = group["params"]
        device, taken = self._trained[0].device.type, get_accelerator().device_name()
        if device != taken:
            raise ValueError(f"device: must be {taken}, where DeepSpeed computes, got {device}")
        self._optimizer = optimizer
        self._engine: Any
        holder = _Holder(self._trained)
        self._engine, *_ = deepspeed.initialize(model=holder, optimizer=optimizer, config=_config(stage))

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The one group, with the learning rate."""
        return self._optimizer.param_groups

    @property
    def state(self) -> Mapping[Tensor, Mapping[str, Tensor]]:
        """What this process holds: the moments of its part of all parameters, in one piece."""
        return self._optimizer.state

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients."""
        self._engine.optimizer.zero_grad(set_to_none)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a share of the loss; the update is along the sum of all shares of all processes."""
        self._engine.backward(self._engine(loss))

    def step(self, limit: float) -> float:
        """Clip the gradient to a norm of `limit`, which may be infinite, make the step, and return the norm before.

        Raises:
            RuntimeError: If the gradient is not finite; the parameters are left as they were.
        """
        # DeepSpeed takes 0 for no clipping.
        self._engine.optimizer.clip_grad = max(limit, 1e-30) if math.isfinite(limit) else 0.0
        self._engine.step()
        if not self._engine.was_step_applied():
            raise RuntimeError("The gradient is not finite: no step was made.")
        return float(self._engine.get_global_grad_norm())

    def moments(self, keep: bool) -> dict[str, Tensor]:
        """Return the whole state on the CPU, by parameter's number and name, as it is without shards.

        Args:
            keep: Whether this process wants it; if not, it gets nothing.
        """
        from deepspeed.utils import safe_get_full_optimizer_state

        found: dict[str, Tensor] = {}
        for state in self.state.values():
            for index, parameter in enumerate(self._trained):
                for name, value in state.items():
                    full = safe_get_full_optimizer_state(parameter, name) if value.ndim else value.clone()
                    if keep:
                        found[f"{index}.{name}"] = full.cpu()
        return found

    def load(self, moments: Iterable[tuple[int, str, Tensor]]) -> None:
        """Restore the state from whole tensors: parameter's number, name, value."""
        from deepspeed.utils import safe_set_full_optimizer_state

        steps = 0.0
        for index, name, value in moments:
            if not self.state:
                self._make_state()
            if name == "step":
                steps = max(steps, float(value))
            else:
                safe_set_full_optimizer_state(self._trained[index], value, name)
        for state in self.state.values():
            state["step"].fill_(steps)

    def _make_state(self) -> None:
        """Make a step that changes nothing: there are moments only after the first one."""
        rates = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = 0.0
        self.backward(torch.stack([(parameter * 0).sum() for parameter in self._trained]).sum())
        self.step(math.inf)
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate


def check_deepspeed() -> None:
    """Raise ValueError if DeepSpeed is not installed, or too old."""
    if not is_deepspeed_available():
        raise ValueError(
            'sharding: DeepSpeed (zero1, zero2) needs the extra "deepspeed": pip install "paretune[deepspeed]", or pip '
            'install -e ".[deepspeed]" in a clone; fsdp needs no extra'
        )
    if not compare_versions("deepspeed", ">=", NEEDED):
        raise ValueError(f"sharding: must have DeepSpeed {NEEDED} or newer, got {version('deepspeed')}")


class _Holder(nn.Module):
    """What DeepSpeed takes for the model: its trained parameters, and a forward pass that has been made already."""

    def __init__(self, trained: Iterable[nn.Parameter]) -> None:
        super().__init__()
        self.trained = nn.ParameterList(trained)

    def forward(self, loss: Tensor) -> Tensor:
        return loss


def _config(stage: int) -> dict[str, Any]:
    """Return DeepSpeed's settings. Precision, learning rate and clipping are not its business but ours."""
    return {
        "train_micro_batch_size_per_gpu": 1,  # asked for, and used for its own statistics only
        "managed_gradient_accumulation": False,  # as many passes as we make until we make a step
        "gradient_allreduce_op": "sum",
        "zero_optimization": {
            "stage": stage,
            "overlap_comm": False,
            "reduce_bucket_size": BUCKET,
            "allgather_bucket_size": BUCKET,
        },
    }
