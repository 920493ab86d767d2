"""From the settings to the sampler of a language model."""

from __future__ import annotations

from typing import Any

from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.processes.distributed import Processes
from paretune.agents.sampling.base import Sampler
from paretune.agents.sampling.transformers_sampler import TransformersSampler
from paretune.agents.sampling.vllm_engine import VllmEngine
from paretune.agents.sampling.vllm_sampler import Engine, VllmSampler
from paretune.agents.sampling.vllm_server import VllmServer
from paretune.agents.settings import AgentSettings


def make_sampler(policy: LanguageModelPolicy, settings: AgentSettings, longest: int, processes: Processes) -> Sampler:
    """Return the sampler that the settings ask for, with responses of at most `longest` tokens.

    Raises:
        ValueError: If its package is missing, its server does not answer, or it cannot do what the settings ask for.
    """
    common: dict[str, Any] = {
        "policy": policy,
        "max_new_tokens": longest,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "stop": settings.stop,
        "batch": settings.sample_batch,
    }
    if settings.sampler == "transformers":
        return TransformersSampler(**common)
    engine: Engine
    if settings.sampler == "vllm":
        at_once = max(settings.prompts_per_step * settings.group_size, settings.eval_prompts or settings.sample_batch)
        batch = min(settings.sample_batch, -(-at_once // processes.size))
        engine = VllmEngine(settings.sampler_memory, batch, settings.temperature, processes)
    else:
        engine = VllmServer(
            settings.sampler_url, settings.sampler_folder, settings.temperature, settings.top_p, processes
        )
    return VllmSampler(engine=engine, **common)
