"""A Hugging Face causal language model as a policy.

Shapes: B responses, S prompt tokens, T response tokens, V tokens in the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

from paretune.agents.policy import Decisions, Policy
from paretune.agents.rollout import Tokens
from paretune.envs import Prompt


class LanguageModelPolicy(Policy):
    """A causal language model with its tokenizer.

    Attributes:
        name: Where the model came from; `load_policy(name)` loads it again.
        model: The model, in evaluation mode (no dropout) with float32 weights.
        tokenizer: Its tokenizer.
        precision: Number format of the forward pass; bfloat16 goes through autocast, the weights stay float32.
    """

    model: Any  # a PreTrainedModel; what generation mixes into it is not typed

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str = "custom",
        precision: torch.dtype = torch.float32,
    ) -> None:
        """Wrap `model` and `tokenizer`.

        Raises:
            ValueError: If neither the model nor the tokenizer names an end token.
        """
        self.name = name
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.precision = precision
        self._published_generation_config = _savable(model.generation_config)
        self.end_tokens = _end_tokens(model, tokenizer)
        if not self.end_tokens:
            raise ValueError(f"policy: the model and tokenizer of {name!r} must name an end token; neither does")
        self.pad_token = self.end_tokens[0]  # masked everywhere; a tokenizer's own may lie outside of the vocabulary
        # generate() fills unset options from the model's own configuration: a bare one keeps the distribution pure.
        model.generation_config = GenerationConfig(eos_token_id=self.end_tokens, pad_token_id=self.pad_token)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def context_length(self) -> int | None:
        """Most tokens (prompt and response) that the model can read; None if it does not say."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)

    def encode(self, prompts: Sequence[Prompt]) -> list[list[int]]:
        """Return the tokens of each prompt: through the chat template if there is one, else of its plain text."""
        if self.tokenizer.chat_template:
            chats: list[list[dict[str, str]]] = [
                [{"role": message["role"], "content": message["content"]} for message in prompt.messages]
                for prompt in prompts
            ]
            texts = [
                self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True) for chat in chats
            ]
            return self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return self.tokenizer([prompt.text for prompt in prompts])["input_ids"]

    def decode(self, response: Sequence[int]) -> str:
        """Return the text of a response's tokens, without special tokens."""
        text = self.tokenizer.decode(list(response), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def logits(self, decisions: Decisions) -> Tensor:
        """Return the logits (N, V) at the N response tokens that are not padding, from one forward pass."""
        assert isinstance(decisions, Tokens)
        mask = torch.cat([decisions.prompt_mask, decisions.mask], dim=1)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32):
            logits = self.model(
                input_ids=torch.cat([decisions.prompt, decisions.response], dim=1),
                attention_mask=mask.long(),
                position_ids=(mask.cumsum(1) - 1).clamp(min=0),
                logits_to_keep=decisions.response.shape[1] + 1,
                use_cache=False,
            ).logits
        return logits[:, :-1][decisions.mask]

    def check_savable(self) -> None:
        """Raise ValueError if checkpoints of the model could not be loaded again."""
        if hasattr(self.model, "peft_config"):
            raise ValueError(
                f"policy: checkpoints must hold a whole model, but {self.name!r} has adapters on another one; merge "
                "them (merge_and_unload) or train without a run folder"
            )

    def save(self, folder: str | Path) -> None:
        """Write the model (safetensors) and tokenizer in Hugging Face format."""
        bare = self.model.generation_config
        self.model.generation_config = self._published_generation_config
        try:
            with no_progress_bars():
                self.model.save_pretrained(folder)
                self.tokenizer.save_pretrained(folder)
        finally:
            self.model.generation_config = bare


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing progress bars inside the block."""
    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()


def _savable(published: GenerationConfig | None) -> GenerationConfig | None:
    """Return a generation configuration that transformers agrees to save: many that it loads break its own rules."""
    config = copy.deepcopy(published)
    if config is not None and not config.do_sample:
        for name in ("temperature", "top_p", "top_k", "min_p", "typical_p"):
            setattr(config, name, None)
    return config


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    named: Any = model.generation_config.eos_token_id if model.generation_config is not None else None
    tokens = [] if named is None else [named] if isinstance(named, int) else list(named)
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in tokens:
        tokens.append(tokenizer.eos_token_id)
    return tokens
