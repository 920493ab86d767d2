"""A language model in shards: of every parameter, gradient and moment of the optimizer, each process keeps a part.

torch's `fully_shard` (FSDP2) does the work, layer by layer: parameters are gathered before a layer's forward pass and
again before its backward pass, and dropped behind it; its gradients are summed over the processes and each keeps its
part. So all processes must make equal numbers of passes. Where that cannot be had (sampling, whose responses end at
different places, and comparing gradients), the whole model is gathered for a while: see `Shards.gathered`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from paretune.agents.policies import adapters
from paretune.agents.processes.distributed import Processes
from paretune.weighting.gradients.layers import find_layers

T = TypeVar("T")

CALL = "call_gathered"
"""Name of the method of a sharded model that calls a function as if it were the model's forward pass."""


class Shards:
    """The shards of a model.

    Parameters are float32 in shards. Gathered ones have the precision of the forward pass in the layers; embedding,
    last norm and output layer stay float32, and with them the hidden states between the layers, as they do in a single
    process.
    """

    def __init__(self, model: Any, precision: torch.dtype, processes: Processes) -> None:
        """Shard `model` in place.

        Args:
            model: A causal language model, with or without adapters; the same in all processes. Which parameters are
                trained must not change from here on.
            precision: Number format of the forward pass.
            processes: Those that get a part each.
        """
        memo: dict[int, Any] = {id(p): nn.Parameter(p.to("meta"), p.requires_grad) for p in model.parameters()}
        self._empty = copy.deepcopy(model, memo)  # all of the model but its numbers
        self._model = model
        self._root: Any = model.get_base_model() if adapters.is_adapted(model) else model
        mesh = init_device_mesh(self._root.device.type, (processes.size,))
        low = None if precision == torch.float32 else precision
        layers = dict.fromkeys(find_layers(self._root)[1])
        for layer in layers:
            mixed = MixedPrecisionPolicy(param_dtype=low, reduce_dtype=torch.float32, cast_forward_inputs=False)
            fully_shard(layer, mesh=mesh, reshard_after_forward=True, mp_policy=mixed)
        fully_shard(self._root, mesh=mesh, reshard_after_forward=True)
        setattr(self._root, CALL, lambda function: function())
        register_fsdp_forward_method(self._root, CALL)
        for module in self._modules():
            module.set_gradient_divide_factor(1.0)  # sums, where the default is means
            module.set_force_sum_reduction_for_comms(True)  # gloo has no scaled sums
        with self.gathered():
            pass  # whether gathered parameters are trained is decided here, while all adapters are switched on

    def call(self, function: Callable[[], T]) -> T:
        """Return function(), which calls parts of the model; it is one forward pass of the whole."""
        result: T = getattr(self._root, CALL)(function)
        return result

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Hold the whole model inside the block, where processes may make different numbers of passes.

        Backward passes are for `torch.autograd.grad` only. The model's parameters inside the block are the same objects
        in all blocks, and not those outside.
        """
        self._keep_gathered(True)
        try:
            for module in self._modules():
                module.unshard()
            yield
        finally:
            self._keep_gathered(False)
            for module in self._modules():
                module.reshard()

    def whole_model(self, keep: bool) -> Any:
        """Return the model as it was before sharding, on the CPU; None where it is not to be kept.

        All processes must call it.
        """
        numbers = {name: whole(p, keep) for name, p in self._model.named_parameters()}
        if not keep:
            return None
        empty = self._empty.named_parameters()
        memo = {id(p): nn.Parameter(numbers[name], p.requires_grad) for name, p in empty}
        return copy.deepcopy(self._empty, memo)

    def _modules(self) -> list[FSDPModule]:
        return [module for module in self._root.modules() if isinstance(module, FSDPModule)]

    def _keep_gathered(self, keep: bool) -> None:
        self._root.set_reshard_after_forward(not keep)
        self._root.set_reshard_after_backward(not keep)


def whole(tensor: Tensor, keep: bool = True) -> Tensor:
    """Return a tensor as it is, or if it is in shards, all of it on the CPU; nothing where it is not to be kept.

    All processes must call it.
    """
    if not isinstance(tensor, DTensor):
        return tensor.detach()
    with torch.no_grad():
        full = tensor.full_tensor()
    return full.cpu() if keep else torch.empty(0)


def shard_like(tensor: Tensor, parameter: Tensor) -> Tensor:
    """Return this process's part of `tensor` if `parameter`, of the same shape, is in shards; else all of it."""
    if not isinstance(parameter, DTensor) or tensor.shape != parameter.shape:
        return tensor
    mesh, placements = parameter.device_mesh, parameter.placements
    return distribute_tensor(tensor.to(parameter.device), mesh, placements, src_data_rank=None)
