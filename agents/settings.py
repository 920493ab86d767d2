"""The settings of an agent: one dataclass. Field docs are the help of the command line, hints the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from paretune.agents.rules import (
    AtLeastOne,
    AtLeastTwo,
    ClipRange,
    Count,
    CountFromZero,
    Discount,
    NotNegative,
    Positive,
    Share,
    Text,
    Vector,
    check_all,
)
from paretune.weighting.advantages import Order

LossMean = Literal["token", "response", "constant"]
Schedule = Literal["constant", "linear", "cosine", "polynomial"]
Precision = Literal["auto", "float32", "bfloat16"]
Keep = Literal["last", "front", "fronts", "all"]
SamplerName = Literal["transformers", "vllm", "vllm-server"]
Credit = Literal["step", "episode"]
GradientEstimate = Literal["split", "batch"]
GradientMode = Literal["auto", "exact", "sketch", "backward"]
Sharding = Literal["auto", "none", "fsdp", "zero1", "zero2"]


@dataclass(kw_only=True)
class AgentSettings:
    """Settings that REINFORCE, RLOO and GRPO share; None means the algorithm's own default."""

    seed: CountFromZero = 0
    """Seed of everything random; the same seed gives the same run, bit for bit on a CPU."""

    # Sampling
    prompts_per_step: Count = 16
    """P, prompts per training step."""
    group_size: Count = 8
    """G, responses per prompt; at least 2 for RLOO and GRPO."""
    max_new_tokens: Count | None = None
    """Longest response in tokens, or episode in steps; None takes the environment's own limit, or 1000 steps if it has
    none."""
    temperature: Positive = 1.0
    """Sampling temperature, above 0."""
    top_p: Share = 1.0
    """Nucleus sampling: smallest set of tokens with this probability, in (0, 1]."""
    stop: tuple[Text, ...] = ()
    """Strings that end a response."""
    sample_batch: Count = 512
    """Most responses sampled at the same time; bounds the memory of sampling."""

    sampler: SamplerName = "transformers"
    """What draws the responses of a language model: transformers, a vLLM engine in this process (needs the extra vllm),
    or a vLLM server, on other cards or another machine."""
    sampler_memory: Share = 0.3
    """Share of a GPU's memory that the vLLM engine in this process takes while it samples; in between it sleeps and
    gives it back."""
    sampler_url: str = "http://127.0.0.1:8000"
    """Address of the vLLM server. It must serve the policy's base model and be in development mode, which lets it take
    new weights."""
    sampler_folder: str | None = None
    """Folder that this process and the vLLM server see under the same name: new weights go through it."""

    # Advantages and loss
    order: Order = "weigh_first"
    """Weigh the rewards and then normalise, or normalise each objective and then weigh (GDPO, arXiv 2601.05242)."""
    gamma: Discount = 1.0
    """Discount of stepped environments, from 0 to 1."""
    credit: Credit = "step"
    """Stepped environments: compare what each action can still change, or whole episodes."""
    clip: ClipRange | None = None
    """PPO clip range of the probability ratio; 0 is no clip; None is 0.2 for GRPO and no clip for the others."""
    kl: NotNegative = 0.0
    """Weight of the KL divergence to the initial policy (k3 estimator); 0 keeps no reference model."""
    entropy: NotNegative = 0.0
    """Weight of the entropy (nats per decision) that the policy is rewarded with."""
    loss_mean: LossMean | None = None
    """Mean of the loss over all tokens, over responses of their token means, or over a constant number of tokens
    (B * max_new_tokens); None is "response" for GRPO and "constant" for the others."""
    epochs: Count = 1
    """Passes over each step's responses."""
    importance_cap: AtLeastOne | None = None
    """Weigh each decision by the trainer's probability of it over the sampler's own, at most this (truncated importance
    sampling); None is no correction. What there is to correct, the metrics tell as log_prob_gap."""
    minibatches: Count = 1
    """Optimizer updates per pass; responses are split evenly."""

    # Adapters of language models
    lora_rank: Count | None = None
    """Train LoRA adapters of this rank instead of the model's own weights; a checkpoint holds them alone, and the KL
    term needs no second model. Needs the extra peft."""
    lora_alpha: Positive | None = None
    """LoRA updates are scaled by lora_alpha / lora_rank; None is twice the rank."""
    lora_targets: tuple[Text, ...] = ()
    """Names of the layers that get adapters, such as q_proj v_proj; none stands for all linear ones but the output."""

    # Optimizer
    lr: Positive | None = None
    """Peak learning rate of AdamW; None goes by the size of the model: 2e-4 * (parameters / 1e6)^(-3/5), which is
    2.2e-4 for tiny-math, 1.1e-5 for 135 M parameters and 9.1e-7 for 8 B, where the paper takes 1e-6; at most 3e-3;
    ten times as much for adapters."""
    schedule: Schedule = "constant"
    """Course of the learning rate over the training steps, after the warm-up; the polynomial is of degree 2."""
    warmup: CountFromZero = 0
    """Training steps over which the learning rate rises to its peak, by equal parts; the first step has one of them."""
    weight_decay: NotNegative = 0.0
    """Weight decay of AdamW."""
    max_grad_norm: NotNegative = 1.0
    """The gradient's norm, without the scale of the weights, is clipped to this; 0 is no clipping."""

    # Memory and devices
    tokens_per_batch: Count = 8192
    """Most tokens (padding included) in one forward pass; gradients accumulate over as many passes as are needed."""
    logits_at_once: Count = 33_554_432
    """Most logits (tokens times vocabulary) of a language model that exist at a time while responses are scored. Where
    a forward pass has more, they come in chunks, and the backward pass computes them again."""
    share_prompts: bool = True
    """Read a prompt once for all responses to it, in sampling with transformers, in updates and while gradients are
    compared, where that saves tokens: less time, the same gradients. Models whose layers keep more than keys and values
    do without, updates and comparisons also with gradient_checkpointing or a sharded model."""
    gradient_checkpointing: bool = False
    """Keep only the inputs of a language model's layers for the backward pass, which computes the rest again: less
    memory, a third more time, the same gradients."""
    device: str = "auto"
    """Device of the model, such as cpu, cuda:1 or mps; auto takes the best at hand."""
    sharding: Sharding = "auto"
    """Of several processes, each keeps a part of a language model, of its gradients and of the optimizer (fsdp); of the
    optimizer (zero1), or of optimizer and gradients (zero2), by DeepSpeed's ZeRO, which needs the extra deepspeed; or
    all of it (none). auto does what accelerate was launched with."""
    precision: Precision = "auto"
    """Number format of forward and backward passes; auto is bfloat16 where a GPU supports it, else float32."""

    # Gradient analysis (for weightings that need it, and for replays)
    gradient_parameters: str = "all"
    """Parameters whose gradients are compared: all, last:N (layers), lora, or name:REGEX."""
    gradient_estimate: GradientEstimate = "split"
    """What stands for the products of the objectives' true gradients. split: products of the gradients of different
    parts of a step's prompts, which are right on average and come with their errors; strategies average them over the
    steps. batch: the products of the batch's gradients with themselves, as arXiv 2509.11452 has it; they are larger
    than the truth by the noise of a batch. split needs 2 prompts_per_step, and 4 for the errors."""
    gradient_parts: AtLeastTwo | None = None
    """Parts of a split, at most one for each prompt; None is 8, or 2 with gradient_mode=backward, which goes back once
    for each part and objective. Errors are known from 4 parts on."""
    gradient_responses: Count | None = None
    """Responses whose gradients are compared; None is as many as the update can use the comparison's passes of (see
    gradient_reuse; all, if they fit), but at least a quarter of the step's, and 8. They are drawn at random, with
    chances by their advantages and by how unlikely their tokens were, and weighed so that they stand for all (in each
    part for the part's). Errors fall as fast as the number rises: to save time, compare all at fewer steps
    (gradient_every) rather than few at each. Where they do not fit into tokens_per_batch, one gradient per objective
    and part is kept (sketch: small projections; backward: all forward passes)."""
    gradient_mode: GradientMode = "auto"
    """One backward pass for all objectives (exact); the same with random projections, which costs almost nothing
    (sketch); or one for each objective (backward), which suits every model. auto is exact for models made of linear
    layers, embeddings, norms and LoRA, else backward."""
    gradient_width: Count = 16
    """Dimensions that sketch projects each side of a layer's gradient onto; its error falls with the root."""
    gradient_every: Count = 1
    """Training steps from one comparison of gradients to the next. In between, weightings go on with the last Gram
    matrix."""
    gradient_reuse: bool = True
    """Let the update take the compared responses' part of its gradient from the comparison's own pass, where it can:
    less time, about the same memory. It can where the loss is linear in the advantages (one update a step, no KL or
    entropy term), all trained parameters are compared, and the responses fill at most half of tokens_per_batch."""
    record_gram: bool = False
    """Compare gradients at every step, also where the weighting does without, and keep the Gram matrix in the run's
    history, so that every weighting can be replayed on it. It changes nothing in the training but its time."""

    # Evaluation and run folder
    eval_every: Count = 5
    """Training steps between two validations; the untrained policy and the last one are always validated."""
    eval_prompts: Count | None = 128
    """Prompts of a split used in an evaluation (the first ones); None takes all. Stepped environments have 32 starts
    in each split."""
    reference: Vector | None = None
    """Reference point of the hypervolume, one number per objective; None is zeros. Needed where returns are below 0."""
    eval_sampled: bool = False
    """Evaluate sampled responses (with temperature and top_p), as training rewards are of, instead of the likeliest
    ones. Which of both a weighting reads, its option source says; hypervolume and hypervolume-gradient read
    validations, all others without such an option what training samples."""
    checkpoint_every: Count = 10
    """Training steps between two checkpoints from which a run can be resumed."""
    keep: Keep = "last"
    """Checkpoints that stay: the last one (last); also those of the archive's points (front); also the untrained
    policy's and those of what it alone dominates (fronts); or all."""
    pictures: bool = True
    """Draw front.png and weights.png at the end; `paretune plot` draws them later."""


def default_learning_rate(parameters: int, adapted: bool = False) -> float:
    """Return a peak learning rate that suits a model with this many parameters, to two digits.

    The power -3/5 joins a rate that teaches the embedded model with what arXiv 2509.11452 uses for 8 B parameters. With
    the former, 60 steps of GRPO for accuracy alone take that from .895 to .98 or more on test data for 5 of 5 seeds
    (`examples/benchmarks/defaults.py`).

    Args:
        parameters: Parameters of the model, those of adapters included.
        adapted: Whether adapters alone are trained, which take ten times the rate.

    Example:
        >>> default_learning_rate(1_000_000), default_learning_rate(7_000_000_000)
        (0.0002, 9.9e-07)
    """
    peak = 2e-3 if adapted else 2e-4
    return min(3e-3, float(f"{peak * (parameters / 1e6) ** (-3 / 5):.2g}"))


def agent_settings(values: Mapping[str, Any]) -> AgentSettings:
    """Return the settings with these values.

    Raises:
        ValueError: If a name is unknown (the message has the nearest ones), or a value breaks its rule.
    """
    settings = AgentSettings(**check_all(values, AgentSettings))
    check_together(settings)
    return settings


def check_together(settings: AgentSettings) -> None:
    """Raise ValueError where settings do not fit each other."""
    if settings.lora_rank is None and (settings.lora_alpha is not None or settings.lora_targets):
        raise ValueError("lora_alpha, lora_targets: must come with lora_rank, got none")
    responses = settings.prompts_per_step * settings.group_size
    if settings.minibatches > responses:
        raise ValueError(
            f"minibatches: must be at most prompts_per_step * group_size = {responses}, got {settings.minibatches}"
        )


def check_compared(settings: AgentSettings) -> None:
    """Raise ValueError if gradients that are to be compared cannot be."""
    if settings.gradient_estimate == "batch":
        return
    if settings.prompts_per_step < 2:
        raise ValueError(
            "prompts_per_step: must be at least 2 where gradients of different prompts are compared, got "
            f'{settings.prompts_per_step}; gradient_estimate="batch" does with one'
        )
    if settings.gradient_responses == 1:
        raise ValueError(
            "gradient_responses: must be at least 2, one for each part of the prompts, got 1; "
            'gradient_estimate="batch" does with one'
        )
