"""A Hugging Face causal language model as a policy.

Shapes: B responses, T response tokens, N = response tokens that are not padding, L tokens of a prompt with its
response, V tokens in the vocabulary, H hidden.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from paretune.agents.policies import adapters
from paretune.agents.policies.base import Policy
from paretune.agents.policies.pretrained import end_tokens, no_progress_bars, savable_generation
from paretune.agents.policies.shards import Shards
from paretune.agents.processes.distributed import Processes
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.sequences.rollout import Tokens
from paretune.agents.sequences.scoring import recomputed, score_hidden
from paretune.agents.sequences.shared_prompts import GroupedTokens, grouped, hidden_states, read_prompts, shares_prompts
from paretune.agents.settings import AgentSettings
from paretune.envs import Prompt
from paretune.weighting.gradients.layers import find_layers

T = TypeVar("T")


class LanguageModelPolicy(Policy):
    """A causal language model with its tokenizer.

    Attributes:
        name: Where the model came from; `load_policy(name)` loads it again.
        model: The model, in evaluation mode (no dropout) with float32 weights.
        tokenizer: Its tokenizer.
        precision: Number format of the forward pass; bfloat16 goes through autocast, the weights stay float32.
        foundation: What the model's adapters stand on; None if it has none.
        adapter_on: Whether the adapters take part.
        logits_at_once: Most logits, tokens times vocabulary, that exist at a time while responses are scored.
        gradient_checkpointing: Whether layers keep their inputs alone for the backward pass.
        share_prompts: Whether prompts may be read once for all responses to them.
        shards: What holds the model, if it is in shards.
    """

    model: Any  # a PreTrainedModel or a PeftModel; what generation mixes into it is not typed

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        name: str = "custom",
        precision: torch.dtype = torch.float32,
        foundation: adapters.Foundation | None = None,
    ) -> None:
        """Wrap `model` and `tokenizer`.

        Args:
            model: The model, with or without adapters of peft's.
            tokenizer: Its tokenizer.
            name: Where the model came from.
            precision: Number format of the forward pass.
            foundation: What adapters stand on; None is a base model that is saved with every checkpoint.

        Raises:
            ValueError: If neither the model nor the tokenizer names an end token.
        """
        self.name = name
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.precision = precision
        if foundation is None and adapters.is_adapted(model):
            foundation = adapters.Foundation(base=None, neutral=adapters.is_neutral(model))
        self.foundation, self.adapter_on = foundation, True
        self.shards: Shards | None = None
        defaults = AgentSettings()
        self.logits_at_once, self.gradient_checkpointing = defaults.logits_at_once, defaults.gradient_checkpointing
        self.share_prompts = defaults.share_prompts
        self._published_generation_config = savable_generation(model.generation_config)
        self.end_tokens = end_tokens(model, tokenizer)
        if not self.end_tokens:
            raise ValueError(f"policy: must name an end token in model or tokenizer, got none in {name!r}")
        self.pad_token = self.end_tokens[0]  # masked everywhere; a tokenizer's own may lie outside of the vocabulary
        # generate() fills unset options from the model's own configuration: a bare one keeps the distribution pure.
        model.generation_config = GenerationConfig(eos_token_id=self.end_tokens, pad_token_id=self.pad_token)
        self._plain_head = self._has_plain_head()
        if not self._plain_head:
            warnings.warn(
                f"policy: the logits of {name!r} are not those of its output layer alone (they are scaled or capped, "
                "say), so they are not computed in chunks, whatever logits_at_once says",
                stacklevel=2,
            )

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
        tokens_BL, predecessor_BT = decisions.joined()
        first = int(predecessor_BT[:, 0].min())
        with self.computing():
            kept = tokens_BL.shape[1] - 1 - first
            logits = self.model(input_ids=tokens_BL[:, :-1], logits_to_keep=kept, use_cache=False).logits
        return _at(logits, predecessor_BT - first, decisions.mask)

    def arranged(
        self, decisions: Decisions, max_tokens: int, rows: NDArray[np.int64] | None = None, objectives: int = 1
    ) -> Decisions:
        """Return the decisions so that equal prompts are read once in a forward pass, where that saves tokens."""
        assert isinstance(decisions, Tokens)
        allowed = self.share_prompts and not self.sharded and not self.gradient_checkpointing
        return grouped(decisions, max_tokens, rows, objectives) if allowed and self.reads_prompts_apart else decisions

    @cached_property
    def reads_prompts_apart(self) -> bool:
        """Whether the model can read a prompt once for all responses to it."""
        body, config = self._body_and_head()[0], self.model.config
        return self._plain_head and self._passing(lambda: shares_prompts(body, config, self.device))

    def read_prompts(self, prompt: Tensor, mask: Tensor) -> DynamicCache:
        """Return a cache with the keys and values of left-padded prompts (U, S), of a model that reads them apart."""
        body, config = self._body_and_head()[0], self.model.config
        with self.computing():
            return self._passing(lambda: read_prompts(body, config, prompt, mask)[1])

    def recomputes(self, decisions: Decisions) -> bool:
        """Whether layers keep their inputs alone for the backward pass, or logits come in chunks."""
        return self.gradient_checkpointing or (self._plain_head and int(decisions.mask.sum()) > self._rows_at_once)

    @property
    def holds_reference(self) -> bool:
        """Whether training began with adapters that did nothing: without them, the policy is as it was."""
        return self.foundation is not None and self.foundation.neutral

    def reference(self) -> Self:
        """Return the policy as it is now, frozen: a copy, or the policy itself without an adapter that did nothing."""
        if not self.holds_reference:
            return super().reference()
        base = copy.copy(self)
        base.adapter_on = False
        return base

    @property
    def sharded(self) -> bool:
        """Whether this process holds a part of the model only."""
        return self.shards is not None

    def shard(self, processes: Processes) -> None:
        """Leave a part of the model to each process."""
        self.shards = Shards(self.model, self.precision, processes)

    def gathered(self) -> AbstractContextManager[None]:
        """Hold the whole model inside a block, if it is in shards; see `Policy.gathered`."""
        return nullcontext() if self.shards is None else self.shards.gathered()

    def whole(self, keep: bool = True) -> Self | None:
        """Return the policy with the whole model, as it can be saved; see `Policy.whole`."""
        if self.shards is None:
            return self
        model = self.shards.whole_model(keep)
        if not keep:
            return None
        policy = copy.copy(self)
        policy.model, policy.shards = model, None
        return policy

    def check_savable(self) -> None:
        """Raise ValueError if checkpoints of the model could not be loaded again."""
        if self.foundation is not None:
            adapters.check_savable(self.model)

    def save(self, folder: str | Path) -> None:
        """Write tokenizer and model (safetensors) in Hugging Face format; of a model with an adapter that alone.

        A base model that has no name goes to the subfolder `base`.
        """
        with no_progress_bars():
            self.tokenizer.save_pretrained(folder)
            if self.foundation is None:
                self._save_model(self.model, folder)
                return
            adapters.save_adapter(self.model, self.foundation, Path(folder))
            if self.foundation.base is None:
                self._save_model(adapters.base_of(self.model), Path(folder) / adapters.BASE)
                self.tokenizer.save_pretrained(Path(folder) / adapters.BASE)

    def _save_model(self, model: Any, folder: str | Path) -> None:
        bare = model.generation_config
        model.generation_config = self._published_generation_config
        try:
            model.save_pretrained(folder)
        finally:
            model.generation_config = bare

    def _scores(self, decisions: Decisions, temperature: float, entropies: bool) -> tuple[Tensor, Tensor]:
        if not self._plain_head:
            return super()._scores(decisions, temperature, entropies)
        return self._passing(lambda: self._chunked_scores(decisions, temperature, entropies))

    def _passing(self, function: Callable[[], T]) -> T:
        """Call a function that makes a forward pass by calling parts of the model."""
        return function() if self.shards is None else self.shards.call(function)

    def _chunked_scores(self, decisions: Decisions, temperature: float, entropies: bool) -> tuple[Tensor, Tensor]:
        """Compute the scores from body and head, each called by itself."""
        assert isinstance(decisions, Tokens)
        body, head = self._body_and_head()
        with self.computing():
            if isinstance(decisions, GroupedTokens):
                hidden_NH = hidden_states(body, self.model.config, decisions)
            else:
                tokens_BL, predecessor_BT = decisions.joined()
                hidden_BLH = body(input_ids=tokens_BL[:, :-1], use_cache=False).last_hidden_state
                hidden_NH = _at(hidden_BLH, predecessor_BT, decisions.mask)
            chosen_N = decisions.response[decisions.mask]
            return score_hidden(head, hidden_NH, chosen_N, temperature, entropies, self._rows_at_once)

    @property
    def _rows_at_once(self) -> int:
        """Most tokens whose logits exist at a time."""
        return max(1, self.logits_at_once // self.model.config.get_text_config().vocab_size)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Forward passes in the policy's precision, with or without adapters, layers recomputed or not."""
        with ExitStack() as stack:
            stack.enter_context(
                torch.autocast(self.device.type, self.precision, enabled=self.precision != torch.float32)
            )
            if not self.adapter_on:
                stack.enter_context(adapters.adapter_off(self.model))
            if self.gradient_checkpointing and torch.is_grad_enabled():
                stack.enter_context(recomputed(find_layers(self.model)[1]))
            yield

    def _body_and_head(self) -> tuple[Any, Any]:
        """Return the layers up to the last hidden state, and the one that turns it into logits."""
        whole = self.model.get_base_model() if adapters.is_adapted(self.model) else self.model
        return whole.base_model, whole.get_output_embeddings()

    @torch.no_grad()
    def _has_plain_head(self) -> bool:
        """Whether the logits are those of the output layer, bit for bit, on two tokens."""
        body, head = self._body_and_head()
        if head is None or any(module is head for module in body.modules()):
            return False
        tokens = torch.full((1, 2), self.pad_token, device=self.device)
        hidden = body(input_ids=tokens, use_cache=False).last_hidden_state
        return torch.equal(head(hidden), self.model(input_ids=tokens, use_cache=False).logits)


def _at(values_BL: Tensor, place_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """Return the rows (N, ...) of values (B, L, ...) at the places (B, T) that are not masked."""
    row, decision = mask_BT.nonzero(as_tuple=True)
    return values_BL[row, place_BT[row, decision]]
