"""Small things to train: a random language model and an environment that is learned in seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from paretune.agents import LanguageModelPolicy
from paretune.envs import FunctionObjective, Prompt, RelativeConciseness, ResponseEnv, Split

ALPHABET = ["<pad>", "<eos>", "<unk>", *"abcdef", " ", "\n"]


def letter_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(ALPHABET)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def random_policy(
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    context: int = 64,
    precision: torch.dtype = torch.float32,
) -> LanguageModelPolicy:
    """A random Llama of 2 layers and 16 dimensions over six letters."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=len(ALPHABET),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=context,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=None,
            initializer_range=0.3,
        )
        model = LlamaForCausalLM(config).to(dtype)
    return LanguageModelPolicy(model, letter_tokenizer(), "random", precision)


def share_of(letter: str):
    def share(prompts: Sequence[Prompt], responses: Sequence[str]) -> np.ndarray:
        return np.array([text.count(letter) / max(1, len(text)) for text in responses], dtype=np.float32)

    return share


class LearningEnv(ResponseEnv):
    """Be shorter than the mean so far, write the letter b: the first objective learns from training responses."""

    def __init__(self) -> None:
        super().__init__([RelativeConciseness(8), FunctionObjective("b", share_of("b"))], max_tokens=8)

    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        return [Prompt.from_question("cd" * (1 + i % 3), split=split) for i in range(6)][:limit]


class LettersEnv(ResponseEnv):
    """Write the letter a, write the letter b: two objectives that exclude each other."""

    def __init__(self, max_tokens: int = 8, split: Split = "train", prompts: int = 12) -> None:
        self.number = prompts
        objectives = [FunctionObjective("a", share_of("a")), FunctionObjective("b", share_of("b"))]
        super().__init__(objectives=objectives, max_tokens=max_tokens, split=split)

    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        letters = {"train": "cd", "validation": "dc", "test": "dd"}[split]
        return [Prompt.from_question(letters + "c" * (i % 3), split=split) for i in range(self.number)][:limit]
