"""The weights of a policy by the names that they have in its base model, adapters merged."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from paretune.agents.policies import adapters
from paretune.agents.policies.language_model import LanguageModelPolicy


@torch.no_grad()
def merged_weights(policy: LanguageModelPolicy) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the values of each weight, as the base model's own checkpoint would hold them.

    A tied weight comes under each of its names. LoRA is merged one layer at a time: W + scale * B @ A (arXiv
    2106.09685, section 4.1); the policy stays as it is. Adapters of other kinds need a second copy of the model.
    """
    model = policy.model
    if not adapters.is_adapted(model):
        yield from model.state_dict().items()
    elif _is_plain_lora(model):
        yield from _merged(model)
    else:
        yield from copy.deepcopy(model).merge_and_unload().state_dict().items()


def _is_plain_lora(model: Any) -> bool:
    return all(
        config.peft_type == "LORA"
        and not (config.use_dora or config.modules_to_save or config.trainable_token_indices)
        and config.bias == "none"
        for config in model.peft_config.values()
    )


def _merged(model: Any) -> Iterator[tuple[str, Tensor]]:
    layers = {name: module for name, module in model.named_modules() if hasattr(module, "get_delta_weight")}
    for name, value in model.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        if ".lora_" in name:
            continue
        layer = layers.get(owner.removesuffix(".base_layer"))
        if layer is not None and owner.endswith(".base_layer") and leaf == "weight":
            for adapter in layer.active_adapters:
                if adapter in layer.scaling:
                    value = value + layer.get_delta_weight(adapter).to(value.dtype)
        yield adapters.plain_name(name), value
