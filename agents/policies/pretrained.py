"""What published models bring along: their settings of generation, their end tokens, and progress bars."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging


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


def savable_generation(published: GenerationConfig | None) -> GenerationConfig | None:
    """Return a generation configuration that transformers agrees to save: many that it loads break its own rules."""
    config = copy.deepcopy(published)
    if config is not None and not config.do_sample:
        for name in ("temperature", "top_p", "top_k", "min_p", "typical_p"):
            setattr(config, name, None)
    return config


def end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return the tokens that end a response: those that the model names, and the tokenizer's."""
    named: Any = model.generation_config.eos_token_id if model.generation_config is not None else None
    tokens = [] if named is None else [named] if isinstance(named, int) else list(named)
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in tokens:
        tokens.append(tokenizer.eos_token_id)
    return tokens
