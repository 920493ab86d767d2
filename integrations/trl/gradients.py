"""The Gram matrix of the objectives' gradients on a batch of a TRL trainer.

Shapes: B responses of this process, S prompt tokens, T response tokens, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from accelerate.utils import DistributedType
from numpy.typing import NDArray
from torch import Tensor

from paretune.weighting import GradientAnalyzer
from paretune.weighting.gradients.analyzer import Mode
from paretune.weighting.gradients.compared_responses import default_number, drawn, places, traits
from paretune.weighting.gradients.comparison import Part, gram_of_parts
from paretune.weighting.gradients.split import Split

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

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


def split_of_batch(trainer: Any, batch: Mapping[str, Any], parts: int, rng: np.random.Generator) -> Split:
    """Deal the prompts of all processes out to parts; see `paretune.weighting.gradients.split`.

    Args:
        trainer: The trainer.
        batch: What `_generate_and_score_completions` returned, this process's share.
        parts: How many.
        rng: The source of the order, the same in all processes.
    """
    size = trainer.num_generations
    groups = len(batch["advantages"]) * trainer.accelerator.num_processes // size
    return Split.of_groups(groups, size, parts, rng)


def drawn_responses(
    trainer: Any,
    batch: Mapping[str, Any],
    advantages: Array,
    number: int | None,
    rng: np.random.Generator,
    split: Split | None = None,
) -> tuple[Rows, Array]:
    """Draw the responses whose gradients are compared; see `paretune.weighting.gradients.compared_responses`.

    Args:
        trainer: The trainer.
        batch: What `_generate_and_score_completions` returned, this process's share.
        advantages: Each objective's advantages (B, K), this process's share.
        number: How many of all processes' responses are drawn; None is the default.
        rng: The source of the draw, the same in all processes.
        split: The parts that the responses of all processes are in.

    Returns:
        Those of this process's share that are drawn, and factors (B,) of its responses' advantages.
    """
    log_probs = batch.get("old_per_token_logps")
    log_probs = batch.get("sampling_per_token_logps") if log_probs is None else log_probs
    own_B4 = traits(
        advantages[:, None],
        None if log_probs is None else log_probs.float().cpu().numpy(),
        _counted(batch).bool().cpu().numpy(),
    )
    traits_B4 = trainer.accelerator.gather(torch.tensor(own_B4, dtype=torch.float32, device=batch["advantages"].device))
    rows, factors_B = drawn(traits_B4.cpu().double().numpy(), number or default_number(len(traits_B4)), rng, split)
    own = trainer._share(batch)
    return places(rows, own), factors_B[own]


def gram_of_batch(
    trainer: Any,
    analyzer: GradientAnalyzer,
    batch: Mapping[str, Any],
    advantages: Array,
    rows: Rows | None = None,
    split: Split | None = None,
) -> Array:
    """Return the Gram matrix (K, K) of what responses of all processes add to the objectives' policy gradients.

    With a split it is (S * K, S * K), as `GradientAnalyzer.gram` has it.

    Log-probabilities come from the model's own logits: TRL's fused output head computes them outside of its modules.

    Args:
        trainer: The trainer.
        analyzer: Analyzer of its model.
        batch: What `_generate_and_score_completions` returned, this process's share.
        advantages: Each objective's advantages (B, K), this process's share.
        rows: Responses of this process's share; None is all.
        split: The parts that the responses of all processes are in.

    Raises:
        ValueError: If the batch has images.
    """
    if "pixel_values" in batch:
        raise ValueError("weighting: one that needs gradients must have text alone, but the batch has images")
    weights_BT = token_weights(trainer, _counted(batch))
    weights_BT = weights_BT * batch.get("importance_sampling_ratio", 1)  # of vLLM's probabilities
    rows = np.arange(len(weights_BT)) if rows is None else rows
    if not len(rows):  # a process must take part: with a response that counts for nothing
        rows, weights_BT = np.zeros(1, dtype=np.int64), torch.zeros_like(weights_BT)
    taken = _everywhere(trainer, len(rows)) / _everywhere(trainer, len(weights_BT))  # the analyzer's mean is over these
    lengths = batch["completion_mask"].sum(1).cpu().numpy()
    parts = torch.from_numpy(rows[np.argsort(-lengths[rows], kind="stable")]).split(
        trainer.args.per_device_train_batch_size
    )

    def score(part: Tensor) -> Tensor:
        log_probs_BT = _log_probs(trainer, batch, part)
        return taken * (log_probs_BT * weights_BT[part, : log_probs_BT.shape[1]]).sum(1)

    own_split = None if split is None else split.select(trainer._share(batch))

    def scored(part: Tensor) -> Part:
        part_split = None if own_split is None else own_split.select(part.numpy())
        return Part(partial(score, part), advantages[part.numpy()], split=part_split)

    return gram_of_parts(analyzer, [scored(part) for part in parts])


def _everywhere(trainer: Any, number: int) -> int:
    """Return the sum of a number over the processes."""
    accelerator = trainer.accelerator
    return int(accelerator.gather(torch.tensor([number], device=accelerator.device)).sum())


def _counted(batch: Mapping[str, Any]) -> Tensor:
    """Return which tokens of the responses (B, T) the loss counts."""
    mask_BT: Tensor = batch["completion_mask"] * batch.get("tool_mask", 1)
    return mask_BT


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
    """Return the log-probabilities of the tokens of responses (rows, up to the longest), with gradient."""
    prompt_mask_BS, mask_BT = batch["prompt_mask"][rows], batch["completion_mask"][rows]
    read, length = int(prompt_mask_BS.sum(1).max()), int(mask_BT.sum(1).max())
    completion_BT = batch["completion_ids"][rows, :length]
    tokens = torch.cat([batch["prompt_ids"][rows][:, -read:], completion_BT], dim=1)
    mask = torch.cat([prompt_mask_BS[:, -read:], mask_BT[:, :length]], dim=1)
    model = trainer.accelerator.unwrap_model(trainer.model)
    with trainer.accelerator.autocast():
        logits = model(input_ids=tokens, attention_mask=mask, logits_to_keep=length + 1, use_cache=False).logits
    log_probs = (logits[:, -length - 1 : -1].float() / trainer.temperature).log_softmax(-1)
    return log_probs.gather(2, completion_BT[..., None]).squeeze(2)
