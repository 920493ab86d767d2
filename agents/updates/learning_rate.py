"""The course of the learning rate."""

from __future__ import annotations

from collections.abc import Callable

import torch
from transformers import get_scheduler

from paretune.agents.settings import AgentSettings


def learning_rates(settings: AgentSettings, horizon: int) -> Callable[[int], float]:
    """Return the learning rate as a function of the training step (from 0) for a run of `horizon` steps.

    A warm-up of W steps takes shares 1/W, 2/W ... of the peak: the first step's responses are not for nothing.
    """
    peak = settings.lr
    assert peak is not None
    nothing = torch.optim.SGD([torch.zeros(1)], lr=peak)
    name = "constant_with_warmup" if settings.schedule == "constant" else settings.schedule
    shape = {"power": 2.0, "lr_end": 0.0} if name == "polynomial" else None
    schedule = get_scheduler(name, nothing, settings.warmup, horizon, scheduler_specific_kwargs=shape)
    factor = schedule.lr_lambdas[0]
    return lambda step: peak * ((step + 1) / settings.warmup if step < settings.warmup else factor(step))
