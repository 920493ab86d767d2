"""How much memory training takes on each GPU, computed from the shape of a model. `docs/scaling.md` explains the parts.

    python examples/memory.py                    # the table there, for three sizes on 1 and 8 GPUs
    python examples/memory.py --measure tiny-math --tokens 512 --length 64     # computed beside measured, on this CPU

Nothing is loaded: forward passes run on tensors without numbers, and what they keep for a backward pass is counted. The
measured numbers are counts of real tensors, of a model that has made an update. Needs the extra peft for the adapters.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    AutoModelForCausalLM,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from paretune.agents import GRPO, AgentSettings, load_policy
from paretune.agents.policies.adapters import add_lora
from paretune.weighting.gradients.layers import find_layers

QWEN = {"vocab_size": 151936, "max_position_embeddings": 32768}
MODELS: dict[str, PreTrainedConfig] = {
    "Qwen2.5-0.5B": Qwen2Config(
        **QWEN,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    "Qwen2.5-1.5B": Qwen2Config(
        **QWEN,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
    "Qwen3-8B": Qwen3Config(
        **QWEN,
        hidden_size=4096,
        intermediate_size=12288,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=False,
    ),
}
FEW = 48
"""Tokens of a row whose forward pass is counted."""

CAUSAL = "causal_without_a_mask"
"""The attention that transformers takes where it sees that no token is padding, which it cannot without numbers."""

AttentionInterface.register(CAUSAL, sdpa_attention_forward)
AttentionMaskInterface.register(CAUSAL, lambda *args, **kwargs: None)

LOGIT = 20
"""Bytes of a logit while it is scored, at most: bfloat16 and float32, its log-softmax, and the gradients of each."""


@dataclass(kw_only=True)
class Options:
    """What is trained, and how much of it at a time."""

    models: tuple[str, ...] = tuple(MODELS)
    """Of the table."""
    gpus: tuple[int, ...] = (1, 8)
    """Shards; 1 is none."""
    lora_ranks: tuple[int, ...] = (0, 16)
    """0 trains all weights."""
    tokens: int = AgentSettings.tokens_per_batch
    """tokens_per_batch."""
    length: int = 1280
    """Tokens of a prompt with its longest response."""
    logits: int = AgentSettings.logits_at_once
    """logits_at_once."""
    sample_batch: int = 64
    """sample_batch."""
    measure: str | None = None
    """A model to count real tensors of, instead of the table."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What follows from a model's shape; numbers are counts, of parameters or bytes.

    Attributes:
        model: Parameters.
        trained: Those that are trained.
        layer: Parameters of a layer.
        trained_layer: Those that are trained.
        head: Parameters of the output layer.
        n_layers: Number of layers.
        hidden: Bytes of a token's hidden state between layers.
        kept: Bytes that a layer keeps of a token.
        rest: Bytes that embedding and last norm keep of a token.
        cache: Bytes of a token in the sampler's cache.
    """

    model: int
    trained: int
    layer: int
    trained_layer: int
    head: int
    n_layers: int
    hidden: int
    kept: float
    rest: float
    cache: int


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    moments: float
    gathered: float
    recomputed: float
    kept: float
    logits: float
    update: float
    sampling: float


def count(config: PreTrainedConfig, lora_rank: int, precision: torch.dtype = torch.bfloat16) -> Counts:
    """Return the counts of a model with this configuration, trained whole (rank 0) or through adapters."""
    few = (1, 2)
    saved = np.array([[_saved_by_shape(config, lora_rank, n, rows, precision) for rows in few] for n in few])
    per_token = (saved[:, 1] - saved[:, 0]) / FEW  # without copies of weights, which do not grow with the rows
    kept = per_token[1] - per_token[0]
    with FakeTensorMode():
        model = _model(config, lora_rank, config.num_hidden_layers)
        layers = find_layers(model)[1]
        numbers = {p: p.numel() for p in model.parameters()}
        return Counts(
            model=sum(numbers.values()),
            trained=sum(n for p, n in numbers.items() if p.requires_grad),
            layer=sum(p.numel() for p in layers[0].parameters()),
            trained_layer=sum(p.numel() for p in layers[0].parameters() if p.requires_grad),
            head=model.get_output_embeddings().weight.numel(),
            n_layers=len(layers),
            hidden=4 * config.hidden_size,
            kept=float(kept),
            rest=float(per_token[0] - kept),
            cache=cache_bytes(config, precision),
        )


def cache_bytes(config: PreTrainedConfig, precision: torch.dtype) -> int:
    """Return the bytes of a token in the sampler's cache: keys are float32 (rotated in it), values of the precision."""
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return config.num_hidden_layers * config.num_key_value_heads * width * (4 + precision.itemsize)


def memory(counts: Counts, gpus: int, options: Options) -> Memory:
    """Return what each of so many GPUs needs; one alone holds everything."""
    c = counts
    weights, gradients, moments = (size * n / gpus for size, n in ((4, c.model), (4, c.trained), (8, c.trained)))
    layers, root, trained_root = (
        c.n_layers * c.layer,
        c.model - c.n_layers * c.layer,
        c.trained - c.n_layers * c.trained_layer,
    )
    if gpus == 1:
        gathered = sampled = 2 * (layers + c.head)  # autocast's copies
    else:
        # Two layers and the gradient of one, also in float32 while it is summed; the root in float32 with the same.
        gathered = 2 * 2 * c.layer + (2 + 4) * c.trained_layer + 4 * root + (4 + 4) * trained_root + 2 * c.head
        sampled = 2 * layers + 4 * root + 2 * c.head
    kept = options.tokens * (c.n_layers * c.kept + c.rest)
    recomputed = options.tokens * (c.n_layers * c.hidden + c.kept + c.rest)
    logits = LOGIT * options.logits
    return Memory(
        weights=weights,
        gradients=gradients,
        moments=moments,
        gathered=gathered,
        recomputed=recomputed,
        kept=kept,
        logits=logits,
        update=weights + gradients + moments + gathered + recomputed + logits,
        sampling=weights + moments + sampled + options.sample_batch * options.length * c.cache,
    )


def saved_bytes(model: Any, tokens: Tensor, precision: torch.dtype) -> int:
    """Return the bytes that the layers keep of tokens (B, L) for a backward pass, parameters left out."""
    body = (model.get_base_model() if hasattr(model, "peft_config") else model).base_model
    parameters = {p.untyped_storage()._cdata for p in model.parameters()}
    kept: dict[int, tuple[torch.UntypedStorage, int]] = {}  # alive, so that no other takes its place

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            kept[storage._cdata] = storage, storage.nbytes()
        return tensor

    autocast = torch.autocast("cpu", precision) if precision != torch.float32 else nullcontext()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast:
        hidden = body(input_ids=tokens, use_cache=False).last_hidden_state
    assert hidden.requires_grad
    return sum(size for _, size in kept.values())


def _saved_by_shape(config: PreTrainedConfig, lora_rank: int, layers: int, rows: int, precision: torch.dtype) -> int:
    with FakeTensorMode():
        tokens = torch.zeros((rows, FEW), dtype=torch.long)
        return saved_bytes(_model(config, lora_rank, layers), tokens, precision)


def _model(config: PreTrainedConfig, lora_rank: int, layers: int) -> Any:
    shape = type(config)(**(config.to_dict() | {"num_hidden_layers": layers, "layer_types": None}))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32, attn_implementation=CAUSAL)
        if lora_rank:
            model = add_lora(model, lora_rank, 2.0 * lora_rank, (), 0)
    memo: dict[int, Any] = {id(p): nn.Parameter(_without_numbers(p), p.requires_grad) for p in model.parameters()}
    memo |= {id(buffer): _without_numbers(buffer) for buffer in model.buffers()}
    return copy.deepcopy(model, memo)


def _without_numbers(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype)


def measured(name: str, rows: int, length: int) -> dict[str, tuple[float, int]]:
    """Return computed and measured bytes of a model that has made an update on the CPU, in float32."""
    policy = load_policy(name, "cpu", "float32")
    settings = {"prompts_per_step": 2, "group_size": 2, "eval_prompts": 1, "max_new_tokens": 8, "lr": 1e-6}
    agent = GRPO("paretune/Arithmetic-v0", policy, "fixed", **settings)
    agent.train(1)
    optimizer, parameters = agent.updater.optimizer, list(policy.model.parameters())
    tokens = torch.zeros((rows, length), dtype=torch.long)
    counts = count(policy.model.config, 0, torch.float32)
    whole = memory(counts, 1, Options(tokens=rows * length))
    saved = saved_bytes(policy.model, tokens, torch.float32)
    return {
        "weights": (whole.weights, sum(p.nbytes for p in parameters)),
        "gradients": (whole.gradients, sum(p.nbytes for p in parameters if p.requires_grad)),
        "moments": (whole.moments, sum(x.nbytes for state in optimizer.state.values() for x in state.values())),
        "kept": (whole.kept, saved),
    }


def table(options: Options) -> list[str]:
    """Return the lines of the table, in GiB."""
    names = [field.name for field in fields(Memory)]
    lines = ["| model | trained | GPUs | " + " | ".join(names) + " |", "|---|---|--:|" + "--:|" * len(names)]
    for name in options.models:
        for rank in options.lora_ranks:
            counts = count(MODELS[name], rank)
            for gpus in options.gpus:
                sizes = memory(counts, gpus, options)
                numbers = " | ".join(f"{getattr(sizes, each) / 2**30:.1f}" for each in names)
                lines.append(f"| {name} | {f'LoRA {rank}' if rank else 'all'} | {gpus} | {numbers} |")
    return lines


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table, or what was measured beside what was computed."""
    options = tyro.cli(Options, args=argv, description=__doc__)
    if options.measure is None:
        print("\n".join(table(options)))
        return 0
    for name, pair in measured(options.measure, options.tokens // options.length, options.length).items():
        print(f"{name}: computed {pair[0] / 2**20:.1f} MiB, measured {pair[1] / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
