"""All weighting strategies by name, and how one is made from a name and options."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, get_type_hints

from typeguard import TypeCheckError, check_type

from paretune.weighting.aggregators import AGGREGATORS
from paretune.weighting.base import Weighting
from paretune.weighting.ctwa import CTWAWeighting
from paretune.weighting.dirichlet import RandomWeighting
from paretune.weighting.fixed import FixedWeighting
from paretune.weighting.gradient import GradientWeighting
from paretune.weighting.hypervolume import HypervolumeWeighting
from paretune.weighting.hypervolume_gradient import HypervolumeGradientWeighting
from paretune.weighting.inputs import Preference
from paretune.weighting.lagrangian import LagrangianWeighting
from paretune.weighting.modifiers import ModifiedWeighting, modifier_names
from paretune.weighting.rays import RaySweepWeighting
from paretune.weighting.rays_hypervolume import RaysHypervolumeWeighting
from paretune.weighting.sa_mrpo import SAMRPOWeighting
from paretune.weighting.saw import SAWWeighting
from paretune.weighting.schedule import ScheduleWeighting
from paretune.weighting.tchebycheff import TchebycheffWeighting

STRATEGIES: list[type[Weighting]] = [
    FixedWeighting,
    HypervolumeWeighting,
    GradientWeighting,
    HypervolumeGradientWeighting,
    RaySweepWeighting,
    RaysHypervolumeWeighting,
    TchebycheffWeighting,
    LagrangianWeighting,
    SAWWeighting,
    SAMRPOWeighting,
    CTWAWeighting,
    ScheduleWeighting,
    RandomWeighting,
    *AGGREGATORS,
]

WEIGHTINGS: dict[str, type[Weighting]] = {strategy.name: strategy for strategy in STRATEGIES}
"""The strategies by their names on the command line."""


def make_weighting(name: str, preference: Preference, **options: Any) -> Weighting:
    """Make a weighting strategy.

    Args:
        name: A key of `WEIGHTINGS`.
        preference: K non-negative weights, or K for equal ones.
        **options: The strategy's other fields; those of `ModifiedWeighting` that it has not itself modify it.

    Raises:
        ValueError: If the name or an option is unknown, or a value is of the wrong type or out of range.

    Example:
        >>> make_weighting("gradient", 3, floor=0.1)
        GradientWeighting(preference=(0.3333333333333333, 0.3333333333333333, 0.3333333333333333), mu=None, rate=0.02, \
eta=None, floor=0.1, prior=0.0, every=1)
        >>> make_weighting("fixed", 2, floor=0.1)
        ModifiedWeighting(strategy=FixedWeighting(preference=(0.5, 0.5)), floor=0.1, prior=0.0, average=0.0, every=1, \
warmup=0)
    """
    valid = option_names(name)
    strategy = WEIGHTINGS[name]
    hints = {**get_type_hints(ModifiedWeighting), **get_type_hints(strategy)}
    for option, value in options.items():
        if option not in valid:
            raise ValueError(f"unknown option {option!r} of weighting {name!r}; {_suggest(option, valid)}")
        try:
            check_type(value, hints[option])
        except TypeCheckError as error:
            kind = {field.name: field.type for field in (*fields(ModifiedWeighting), *fields(strategy))}[option]
            raise ValueError(
                f"{option} of weighting {name!r} must be {kind} (a list is written [1, 2]), got {value!r}"
            ) from error
    modifiers = {option: options.pop(option) for option in modifier_names(strategy) if option in options}
    made = strategy(preference, **options)  # type: ignore[call-arg]
    return ModifiedWeighting(made, **modifiers) if modifiers else made


def option_names(name: str) -> list[str]:
    """Return the names of a strategy's options, its own first.

    Raises:
        ValueError: If there is no such strategy.
    """
    if name not in WEIGHTINGS:
        raise ValueError(f"unknown weighting {name!r}; {_suggest(name, WEIGHTINGS)}")
    strategy = WEIGHTINGS[name]
    own = [field.name for field in fields(strategy) if field.init and field.name != "preference"]
    return own + modifier_names(strategy)


def _suggest(word: str, known: Collection[str]) -> str:
    """Say which of the `known` words may have been meant."""
    nearest = get_close_matches(word, known)
    listed = ", ".join(map(repr, known))
    return f"did you mean {' or '.join(map(repr, nearest))}? Known: {listed}" if nearest else f"known: {listed}"
