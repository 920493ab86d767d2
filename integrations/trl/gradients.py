"""The Gram matrix of the objectives' gradients on a batch of a TRL trainer.

Shapes: B responses of this process, S prompt tokens, T response tokens, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from accelerate.utils import DistributedType
from numpy.typing import NDArray
from torch import Tensor

from paretune.weighting import GradientAnalyzer
from paretune.weighting.analyzer import Mode

Array = NDArray[np.float64]

SHARDED = (DistributedType.FSDP, DistributedType.DEEPSPEED)


def make_analyzer(trainer: Any, parameters: str, mode: Mode) -> GradientAnalyzer:
    """Return the analyzer of the model of `trainer`.

    Raises:
        ValueError: If parameters are sharded over processes, which is not supported, or an argument breaks its rule.
    """
    accelerator = trainer.accelerator
    if accelerator.distributed_type in SHARDED:
        raise ValueError(
            "weighting: one that needs gradients must see whole parameters, but this run shards them "
            f"({accelerator.distributed_type.value}); launch it data-parallel, or choose another strategy"
        )
    several = accelerator.num_processes > 1
    reduce = (lambda tensor: accelerator.reduce(tensor, "sum")) if several else None
    return GradientAnalyzer(accelerator.unwrap_model(trainer.model), parameters, mode, reduce=reduce)


def gram_of_batch(trainer: Any, analyzer: GradientAnalyzer, batch: Mapping[str, Any], advantages: Array) -> Array:
    """Return the Gram matrix (K, K) of the objectives' policy gradients over the responses of all processes.

    Log-probabilities come from the model's own logits: TRL's fused output head computes them outside of its modules.

    Args:
        trainer: The trainer.
        analyzer: Analyzer of its model.
        batch: What `_generate_and_score_completions` returned, this process's share.
        advantages: Each objective's advantages (B, K), this process's share.

    Raises:
        ValueError: If the batch has images.
    """
    if "pixel_values" in batch:
        raise ValueError("weighting: one that needs gradients must have text alone, but the batch has images")
    mask_BT = batch["completion_mask"] * batch.get("tool_mask", 1)
    weights_BT = token_weights(trainer, mask_BT) * batch.get("importance_sampling_ratio", 1)  # of vLLM's probabilities
    size = trainer.args.per_device_train_batch_size
    parts = torch.arange(len(mask_BT)).split(size)
    for i, rows in enumerate(parts):
        with analyzer.watch():
            scores = (_log_probs(trainer, batch, rows) * weights_BT[rows]).sum(1)
        if i < len(parts) - 1:
            analyzer.add(scores, advantages[rows.numpy()])
    return analyzer.gram(scores, advantages[rows.numpy()])


def token_weights(trainer: Any, mask: Tensor) -> Tensor:
    """Return what the trainer's loss makes of each token's log-probability (B, T), times the number of responses.

    RLOO and "luspo" sum over a response's tokens; "dr_grpo" divides the sum by the longest length, "grpo" and "sapo"
    by the response's own; the others divide by the mean length, here that of the whole batch.
    """
    kind = getattr(trainer, "loss_type", "rloo")
    weights_BT = mask.float()
    if kind in ("rloo", "luspo"):
        return weights_BT
    if kind == "dr_grpo":
        return weights_BT / trainer.max_completion_length
    lengths_B1 = weights_BT.sum(1, keepdim=True)
    if kind in ("grpo", "sapo"):
        return weights_BT / lengths_B1.clamp(min=1)
    return weights_BT / trainer.accelerator.gather(lengths_B1).mean().clamp(min=1)


def _log_probs(trainer: Any, batch: Mapping[str, Any], rows: Tensor) -> Tensor:
    """Return the log-probabilities of the response tokens (rows, T), with gradient."""
    completion_BT = batch["completion_ids"][rows]
    tokens = torch.cat([batch["prompt_ids"][rows], completion_BT], dim=1)
    mask = torch.cat([batch["prompt_mask"][rows], batch["completion_mask"][rows]], dim=1)
    model = trainer.accelerator.unwrap_model(trainer.model)
    length = completion_BT.shape[1]
    with trainer.accelerator.autocast():
        logits = model(input_ids=tokens, attention_mask=mask, logits_to_keep=length + 1, use_cache=False).logits
    log_probs = (logits[:, -length - 1 : -1].float() / trainer.temperature).log_softmax(-1)
    return log_probs.gather(2, completion_BT[..., None]).squeeze(2)
