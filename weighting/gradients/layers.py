"""The layers of a module, and the parameters whose gradients are compared."""

from __future__ import annotations

import re
from collections.abc import Callable

from torch import nn


def find_layers(module: nn.Module) -> tuple[str, list[nn.Module]]:
    """Return the name and the members of the longest ModuleList (the decoder layers), or ("", []) if there is none.

    Lists inside the members of another list, such as the experts of a layer, do not count.
    """
    lists = {name: list(member) for name, member in module.named_modules() if isinstance(member, nn.ModuleList)}
    outermost = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    name = max(outermost, key=lambda name: len(lists[name]), default="")
    return name, lists.get(name, [])


def choose_parameters(module: nn.Module, choice: str) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of `module` that `choice` stands for, by name; tied ones appear once.

    Args:
        module: The policy.
        choice: "all"; "last:N", those of the last N layers; "lora", those of LoRA adapters; or "name:REGEX", those
            whose name contains a match.

    Raises:
        ValueError: If `choice` has another form or stands for no trainable parameter.

    Example:
        >>> list(choose_parameters(nn.Linear(2, 1), "name:bias"))
        ['bias']
    """
    matches = _name_rule(module, choice)
    chosen: dict[nn.Parameter, str] = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if parameter.requires_grad and matches(name):
            chosen.setdefault(parameter, name)
    if not chosen:
        raise ValueError(f"parameters: must match a trainable parameter of {type(module).__name__}, got {choice!r}")
    return {name: parameter for parameter, name in chosen.items()}


def _name_rule(module: nn.Module, choice: str) -> Callable[[str], bool]:
    """Return the predicate on parameter names that `choice` stands for."""
    kind, _, detail = choice.partition(":")
    if choice == "all":
        return lambda name: True
    if choice == "lora":
        return lambda name: "lora_" in name
    if kind == "name" and detail:
        try:
            pattern = re.compile(detail)
        except re.error as error:
            raise ValueError(f"parameters: must hold a valid regular expression, got {choice!r} ({error})") from None
        return lambda name: pattern.search(name) is not None
    if kind == "last" and detail.isdecimal():
        path, layers = find_layers(module)
        if not 1 <= int(detail) <= len(layers):
            raise ValueError(
                f"parameters: must name 1 to {len(layers)} layers of {type(module).__name__}, got {choice!r}"
            )
        last = tuple(f"{path}.{index}." for index in range(len(layers) - int(detail), len(layers)))
        return lambda name: name.startswith(last)
    raise ValueError(f'parameters: must be "all", "last:N", "lora" or "name:REGEX", got {choice!r}')
