"""A vLLM server, on other cards or another machine: asked over HTTP, new weights through a folder that both see."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from safetensors.torch import save_file
from torch import Tensor

from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.policies.merged_weights import merged_weights
from paretune.agents.processes.distributed import Processes
from paretune.agents.sampling.vllm_sampler import Drawn, Manner, Request

PATIENCE = 60.0
"""Seconds in which a server must say what it is."""

CONNECTIONS = 64
"""Most prompts that are asked at the same time; the server makes batches of them."""


PLAIN = {"top_k": 0, "min_p": 0, "repetition_penalty": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""What a request must say, or the server takes it from the model's generation configuration."""


class VllmServer:
    """A client of vLLM's own server (`vllm serve`), which must run in development mode.

    New weights are a safetensors file in a folder that the server sees under the same name; its workers load it when
    `/collective_rpc` calls their `reload_weights`.
    """

    def __init__(
        self, url: str, folder: str | None, temperature: float, top_p: float, processes: Processes | None = None
    ) -> None:
        """Ask the server what it is.

        Args:
            url: Its address.
            folder: Folder that both see.
            temperature: Sampling temperature.
            top_p: Probability of the nucleus.
            processes: Those that train together; the main one brings the weights.

        Raises:
            ValueError: If the server does not answer, is not in development mode, or tells log-probabilities that are
                not those of the sampling; or if there is no folder.
        """
        if folder is None:
            raise ValueError(
                "sampler_folder: must be a folder that the vLLM server sees as well, for new weights, got none"
            )
        self._url, self._processes = url.rstrip("/"), processes or Processes()
        self._model = self._about(temperature, top_p)
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._folder = TemporaryDirectory(prefix="weights-", dir=Path(folder).resolve())
        os.chmod(self._folder.name, 0o755)  # the server may be another user's

    def answer(self, policy: LanguageModelPolicy, requests: Sequence[Request], manner: Manner) -> list[Drawn]:
        """Send the policy's weights as they are now, and answer: all responses, request by request.

        Raises:
            RuntimeError: If the server stops answering, or refuses.
        """
        whole = policy.whole(keep=self._processes.main)
        if self._processes.main:
            assert whole is not None
            self._send_weights(whole)
        self._processes.gathered(None)  # the others wait for them
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            answers = list(pool.map(lambda request: self._ask(request, manner), requests))
        return [drawn for answer in answers for drawn in answer]

    def _about(self, temperature: float, top_p: float) -> str:
        """Return the name of the model that is served."""
        try:
            model = self._call("/v1/models", timeout=PATIENCE)["data"][0]["id"]
            info = self._call("/server_info?config_format=json", timeout=PATIENCE)
        except (RuntimeError, ValueError, KeyError, IndexError, TypeError) as error:
            raise ValueError(
                f"sampler_url: must be the address of a vLLM server in development mode (start it with "
                f"VLLM_SERVER_DEV_MODE=1), got {self._url!r}: {error}"
            ) from error
        mode = info["vllm_config"]["model_config"]["logprobs_mode"]
        wanted = "processed_logprobs" if temperature != 1 else "raw_logprobs"
        if mode != wanted and (temperature, top_p) != (1, 1):
            raise ValueError(
                f"sampler_url: must be of a server that tells log-probabilities at the temperature, before top-p, got "
                f"one of mode {mode}; start it with --logprobs-mode {wanted} for temperature={temperature} and "
                f"top_p={top_p}"
            )
        return str(model)

    def _send_weights(self, policy: LanguageModelPolicy) -> None:
        held: dict[str, Tensor] = {}
        places: set[int] = set()
        for name, value in merged_weights(policy):
            value = value.detach().cpu().contiguous()
            held[name] = value.clone() if value.data_ptr() in places else value  # tied weights share their memory
            places.add(value.data_ptr())
        target = Path(self._folder.name) / "model.safetensors"
        save_file(held, target.with_suffix(".part"))
        os.replace(target.with_suffix(".part"), target)
        call = {"method": "reload_weights", "kwargs": {"weights_path": self._folder.name}}
        self._call("/collective_rpc", call)
        self._call("/reset_prefix_cache", {})

    def _ask(self, request: Request, manner: Manner) -> list[Drawn]:
        answer = self._call(
            "/v1/completions",
            {
                "model": self._model,
                "prompt": request.prompt,
                "n": request.number,
                "seed": request.seed,
                "temperature": manner.temperature,
                "top_p": manner.top_p,
                **PLAIN,
                "max_tokens": manner.longest,
                "stop": list(manner.stop),
                "stop_token_ids": list(manner.end_tokens),
                "ignore_eos": True,
                "include_stop_str_in_output": True,
                "logprobs": 0,
                "return_token_ids": True,
            },
        )
        choices = sorted(answer["choices"], key=lambda choice: choice["index"])
        return [Drawn(choice["token_ids"], choice["logprobs"]["token_logprobs"]) for choice in choices]

    def _call(self, path: str, body: Mapping[str, Any] | None = None, timeout: float | None = None) -> Any:
        """Return what the server answers to a GET, or a POST where there is a body."""
        data = None if body is None else json.dumps(body).encode()
        try:
            request = HttpRequest(self._url + path, data, {"Content-Type": "application/json"})
            with urlopen(request, timeout=timeout) as reply:
                text = reply.read()
        except HTTPError as error:
            reason = error.read().decode(errors="replace")[:500]
            raise RuntimeError(f"{self._url}{path} answers {error.code}: {reason}") from error
        except (URLError, OSError) as error:
            raise RuntimeError(f"{self._url}{path} does not answer ({error})") from error
        return json.loads(text) if text else None
