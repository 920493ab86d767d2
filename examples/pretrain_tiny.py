"""Teach the embedded model `tiny-math` on demonstrations of mixed style, so that its rewards conflict.

    python examples/pretrain_tiny.py --out agents/policies/tiny_math

A Llama of 0.9 M parameters that reads and writes single characters learns five ways of answering the training problems
of paretune/Arithmetic-v0; `STYLES` shows them. The two that write their totals down are right more often; only two
are clear, and the one way that is both is the longest. A problem's wording makes one style likelier (`FAVOURITES`), so
that the most likely answers are as mixed as sampled ones. Reinforcement learning can then trade accuracy, conciseness
and clarity against each other from the first step on.

The embedded model is that of seed 0; seed 1 came out alike. On 256 validation prompts, sampled and most likely answers:

    seed  accuracy    conciseness  clarity     mean product of the three
    0     .570 .863   .692 .667    .266 .309   .105 .178
    1     .562 .828   .699 .673    .270 .301   .106 .168

Shapes: B demonstrations, T tokens.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console
from rich.table import Table
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models
from torch.nn.utils.rnn import pad_sequence
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.optimization import get_cosine_schedule_with_warmup

from paretune.envs.prompts import Prompt, Response
from paretune.envs.text.arithmetic import ArithmeticEnv
from paretune.envs.text.problems import OPERATIONS, Problem

PAD, END, UNKNOWN = "␀", "␃", "�"  # outside ASCII, so that no text of ours can contain them
CONTEXT = 256
IGNORE = -100  # label of prompt characters


@dataclass(kw_only=True)
class Settings:
    """Teach the embedded model and save it as a Hugging Face folder."""

    out: Path = Path("agents/policies/tiny_math")
    """Folder for the model and its tokenizer."""
    steps: int = 4000
    """Optimizer steps."""
    batch: int = 64
    """Demonstrations per step."""
    lr: float = 7e-3
    """Peak learning rate; it rises over a twentieth of the steps and falls to 0 along a cosine."""
    seed: int = 0
    """Seed of the initial weights and of the demonstrations."""
    report_every: int = 100
    """Steps between two lines of progress."""
    eval_prompts: int = 256
    """Validation prompts answered at the end."""


# --- Demonstrations ---


def worked_steps(problem: Problem, rng: np.random.Generator) -> tuple[list[str], int]:
    """Return a problem's steps, such as ["12+7=19", "19-3=16"], and the answer; now and then one step is wrong."""
    slip = rng.integers(len(problem.operations)) if rng.random() < SLIPS else None
    total, steps = problem.numbers[0], []
    for i, (sign, number) in enumerate(zip(problem.operations, problem.numbers[1:], strict=True)):
        result = OPERATIONS[sign](total, number) + (int(rng.choice([1, 2, 10])) if i == slip else 0)
        steps.append(f"{total}{sign}{number}={result}")
        total = result
    return steps, total


def steps_style(problem: Problem, rng: np.random.Generator) -> str:
    r"""Numbered steps and a box, such as "1. 12+7=19\n2. 19-3=16\n\boxed{16}"."""
    steps, answer = worked_steps(problem, rng)
    return "".join(f"{i}. {step}\n" for i, step in enumerate(steps, start=1)) + rf"\boxed{{{answer}}}"


def working_style(problem: Problem, rng: np.random.Generator) -> str:
    """Steps in a sentence, neither numbered nor boxed, such as "We have 12+7=19, 19-3=16."."""
    return f"We have {', '.join(worked_steps(problem, rng)[0])}."


def plan_style(problem: Problem, rng: np.random.Generator) -> str:
    r"""Numbered steps without totals and a box, such as "1. +7\n2. -3\n\boxed{16}"."""
    changes = enumerate(zip(problem.operations, problem.numbers[1:], strict=True), start=1)
    return "".join(f"{i}. {sign}{number}\n" for i, (sign, number) in changes) + terse_style(problem, rng)


def terse_style(problem: Problem, rng: np.random.Generator) -> str:
    r"""A box and nothing else, such as "\boxed{16}"."""
    return rf"\boxed{{{worked_steps(problem, rng)[1]}}}"


def prose_style(problem: Problem, rng: np.random.Generator) -> str:
    """A sentence without a box, such as "It is 16."."""
    return f"{rng.choice(['It is', 'The answer is'])} {worked_steps(problem, rng)[1]}."


@dataclass(frozen=True)
class Style:
    """A way of answering: who writes it, its share before favours, and the pattern that tells it from the others."""

    write: Callable[[Problem, np.random.Generator], str]
    share: float
    pattern: str


STYLES = {
    "steps": Style(steps_style, 1.0, r"(\d+\. \d+[-+*]\d+=-?\d+\n)+\\boxed\{-?\d+\}"),
    "working": Style(working_style, 1.0, r"We have .*\."),
    "plan": Style(plan_style, 0.5, r"(\d+\. [-+*]\d+\n)+\\boxed\{-?\d+\}"),
    "terse": Style(terse_style, 1.5, r"\\boxed\{-?\d+\}"),
    "prose": Style(prose_style, 1.5, r"(It|The answer) is -?\d+\."),
}
OTHER = "another style"
SLIPS = 0.15  # share of answers in which one step is wrong
FAVOUR = 4.0  # added to the share of the favourite
# Is it a story; is the first change "-"; is the last one? -> the style that is likelier than the others.
FAVOURITES = {
    (False, False, False): "terse",
    (False, False, True): "working",
    (False, True, False): "prose",
    (False, True, True): "steps",
    (True, False, False): "prose",
    (True, False, True): "steps",
    (True, True, False): "working",
    (True, True, True): "plan",
}


def demonstrate(problem: Problem, question: str, rng: np.random.Generator) -> str:
    """Return an answer to a problem worded as `question`, in a style drawn for it."""
    favourite = FAVOURITES[question[0].isalpha(), problem.operations[0] == "-", problem.operations[-1] == "-"]
    shares = np.array([style.share + FAVOUR * (name == favourite) for name, style in STYLES.items()])
    return STYLES[rng.choice(list(STYLES), p=shares / shares.sum())].write(problem, rng)


# --- Model ---


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per printable ASCII character or newline."""
    vocabulary = {token: i for i, token in enumerate([PAD, END, UNKNOWN, "\n", *map(chr, range(32, 127))])}
    tokenizer = Tokenizer(models.BPE(vocabulary, merges=[], unk_token=UNKNOWN))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        unk_token=UNKNOWN,
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """Return an untrained model for `tokenizer`, with 0.87 M parameters."""
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        initializer_range=128**-0.5,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=None,
        **ends,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(max_new_tokens=64, **ends)
    return model


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a folder that `from_pretrained` reads: weights stored in 16 bits, computed with in 32."""
    model.save_pretrained(folder)
    weights = {name: weight.half() for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer.save_pretrained(folder)


# --- Training and evaluation ---


def draw_batches(
    env: ArithmeticEnv, tokenizer: PreTrainedTokenizerFast, size: int, rng: np.random.Generator
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return `size` demonstrations in pairs of tokens and labels (B, T), B at most 32; those of similar length meet."""
    sequences = []
    for problem in env.sample_problems(size, rng):
        question = env.word(problem, rng)
        prompt = tokenizer.encode(question)
        response = [*tokenizer.encode(demonstrate(problem, question, rng)), tokenizer.eos_token_id]
        sequences.append((prompt + response, [IGNORE] * len(prompt) + response))
    sequences.sort(key=lambda sequence: len(sequence[0]))
    parts = [zip(*sequences[i : i + 32], strict=True) for i in range(0, size, 32)]
    return [(pad(tokens, tokenizer.pad_token_id), pad(labels, IGNORE)) for tokens, labels in parts]


def pad(rows: Sequence[Sequence[int]], value: int) -> torch.Tensor:
    """Return rows (B, T) filled up on the right with `value`."""
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=value)


def make_optimizers(model: LlamaForCausalLM, lr: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the matrices inside the layers, which learns in about half the steps of AdamW, and AdamW."""
    matrices = [weight for weight in model.model.layers.parameters() if weight.ndim == 2]
    others = [weight for name, weight in model.named_parameters() if "layers" not in name or weight.ndim < 2]
    muon = torch.optim.Muon(matrices, lr=lr, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(others, lr=lr / 3, betas=(0.9, 0.98), weight_decay=0.0)]


def loss_gradients(model: LlamaForCausalLM, batches: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Set the gradients of the mean loss over all response tokens, and return that loss."""
    count = sum(int((labels != IGNORE).sum()) for _, labels in batches)
    model.zero_grad()
    total = 0.0
    for tokens, labels in batches:
        loss = model(input_ids=tokens, labels=labels, num_items_in_batch=count).loss
        loss.backward()
        total += loss.item()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    return total


@torch.inference_mode()
def respond(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt], *, sample: bool
) -> list[Response]:
    """Answer prompts, with samples at temperature 1 or with the most likely characters."""
    inputs = tokenizer([prompt.text for prompt in prompts], padding=True, return_tensors="pt")
    options = {"do_sample": True, "top_k": 0} if sample else {"do_sample": False}
    # transformers types `generate` for a protocol of models that mypy does not find its own models to follow
    tokens = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]  # type: ignore[misc]
    lengths = (tokens != tokenizer.pad_token_id).sum(dim=1).tolist()
    texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [Response(text, length) for text, length in zip(texts, lengths, strict=True)]


def style_of(response: str) -> str:
    """Return the style that a response is written in, or `OTHER`."""
    return next((name for name, style in STYLES.items() if re.fullmatch(style.pattern, response)), OTHER)


def evaluation(
    env: ArithmeticEnv, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Prompt]
) -> Table:
    """Return a table of the mean objectives, their product, and each style's share and accuracy."""
    columns = []
    for sample in (True, False):
        responses = respond(model, tokenizer, prompts, sample=sample)
        rewards_BK = env.score(prompts, responses)
        means_K = rewards_BK.mean(axis=0)
        column = [f"{mean:.3f}" for mean in (*means_K, means_K.prod())]
        styles_B = np.array([style_of(response) for response in responses])
        for style in (*STYLES, OTHER):
            chosen_B = styles_B == style
            right = f", {rewards_BK[chosen_B, 0].mean():.2f} right" if chosen_B.any() else ""
            column.append(f"{chosen_B.mean():.2f}{right}")
        columns.append(column)
    table = Table("validation", "sampled", "most likely")
    for name, *cells in zip([*env.objectives, "product", *STYLES, OTHER], *columns, strict=True):
        table.add_row(name, *cells)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Teach a model, save it and print how it answers."""
    settings = tyro.cli(Settings, args=argv)
    console = Console(highlight=False)
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    formulas, env = ArithmeticEnv(word_problems=0), ArithmeticEnv()
    model = make_model(tokenizer := make_tokenizer())
    console.print(f"{model.num_parameters():,} parameters, {settings.steps} steps of {settings.batch} demonstrations")
    optimizers = make_optimizers(model, settings.lr)
    schedules = [get_cosine_schedule_with_warmup(part, settings.steps // 20, settings.steps) for part in optimizers]
    losses, start = [], time.monotonic()
    for step in range(1, settings.steps + 1):
        source = formulas if step <= settings.steps // 2 else env  # formulas are short, and teach the arithmetic
        losses.append(loss_gradients(model, draw_batches(source, tokenizer, settings.batch, rng)))
        for part in (*optimizers, *schedules):
            part.step()
        if step % settings.report_every == 0 or step == settings.steps:
            loss = np.mean(losses[-settings.report_every :])
            console.print(f"step {step:5d}  loss {loss:.4f}  {time.monotonic() - start:6.0f} s")
    save(model, tokenizer, settings.out)
    model = LlamaForCausalLM.from_pretrained(settings.out)
    table = evaluation(env, model, tokenizer, env.prompts("validation", limit=settings.eval_prompts))
    console.print(f"saved in {settings.out}", table, sep="\n")
    env.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
