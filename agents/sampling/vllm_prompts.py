"""A connector of vLLM that reads a prompt once for all responses to it.

vLLM shares the full blocks of its cache between responses to a prompt, but what is left of the prompt, up to a block,
it reads again for each of them: on a CPU that takes a sixth of the time for short responses. With this connector one
response reads the prompt, and the others, which wait for a step, copy the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from vllm.distributed.kv_transfer.kv_connector.v1.base import KVConnectorBase_V1, KVConnectorMetadata

OPTIONS = {"kv_connector": "PromptCopies", "kv_connector_module_path": __name__, "kv_role": "kv_both"}
"""What vLLM needs to know to use it."""


@dataclass
class Copies(KVConnectorMetadata):
    """Blocks to copy before a step.

    Attributes:
        sources: Blocks of responses that have read their prompts.
        targets: As many blocks of responses that wait for one of them.
    """

    sources: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)


class PromptCopies(KVConnectorBase_V1):
    """Copies blocks within the cache of one engine, whose layers all keep every token of a sequence.

    vLLM makes two: its scheduler asks one what can be copied, and its worker lets the other copy.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take vLLM's own arguments."""
        super().__init__(*args, **kwargs)
        self._readers: dict[tuple[int, ...], Any] = {}  # prompt: the unfinished request that reads or has read it
        self._copies = Copies()
        self._manager: Any = None
        self._layers: list[Tensor] = []

    def bind_kv_cache_manager(self, kv_cache_manager: Any) -> None:
        """Take the scheduler's overview of blocks."""
        self._manager = kv_cache_manager

    def get_num_new_matched_tokens(self, request: Any, num_computed_tokens: int) -> tuple[int | None, bool]:
        """Return how many further tokens of a prompt can be copied, or None while they are being read."""
        reader = self._readers.get(_prompt(request))
        number = request.num_prompt_tokens - 1 - num_computed_tokens  # the last one gives the first logits
        if reader is None or number <= 0 or request.num_output_tokens:
            return 0, False
        has_read = reader.num_computed_tokens >= request.num_prompt_tokens - 1
        return (number if has_read else None), False

    def update_state_after_alloc(self, request: Any, blocks: Any, num_external_tokens: int) -> None:
        """Note which blocks a request that now runs has to copy; one that copies none reads its prompt."""
        if not num_external_tokens:
            self._readers.setdefault(_prompt(request), request)
            return
        size = self._vllm_config.cache_config.block_size
        last = request.num_prompt_tokens - 1
        which = slice((last - num_external_tokens) // size, (last - 1) // size + 1)
        reader = self._readers[_prompt(request)]
        self._copies.sources += self._manager.get_block_ids(reader.request_id)[0][which]
        self._copies.targets += blocks.get_block_ids()[0][which]

    def build_connector_meta(self, scheduler_output: Any) -> Copies:
        """Return the copies of a step."""
        copies, self._copies = self._copies, Copies()
        return copies

    def request_finished(self, request: Any, block_ids: list[int]) -> tuple[bool, None]:
        """Forget a request, whose blocks vLLM may use for others from now on."""
        if self._readers.get(_prompt(request)) is request:
            del self._readers[_prompt(request)]
        return False, None

    def register_kv_caches(self, kv_caches: dict[str, Tensor]) -> None:
        """Take the worker's cache, each layer's with the blocks in its first dimension."""
        self._layers = list(kv_caches.values())

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        """Copy what a step needs."""
        copies = self._get_connector_metadata()
        assert isinstance(copies, Copies)
        if copies.sources:
            sources, targets = torch.tensor(copies.sources), torch.tensor(copies.targets)
            for layer in self._layers:
                layer[targets] = layer[sources]

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Do nothing: all layers are there before the step."""

    def save_kv_layer(self, layer_name: str, kv_layer: Tensor, attn_metadata: Any, **kwargs: Any) -> None:
        """Do nothing: what was read stays where it is."""

    def wait_for_save(self) -> None:
        """Do nothing."""


def _prompt(request: Any) -> tuple[int, ...]:
    return tuple(request.prompt_token_ids)
