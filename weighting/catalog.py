"""All weighting strategies by name: from a name and options to a strategy, and back to what a settings file says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from typeguard import TypeCheckError, check_type

from paretune.weighting.base import Weighting
from paretune.weighting.inputs import Preference, require_known
from paretune.weighting.modifiers import ModifiedWeighting, modifier_names
from paretune.weighting.strategies.ctwa import CTWAWeighting
from paretune.weighting.strategies.dirichlet import RandomWeighting
from paretune.weighting.strategies.fixed import FixedWeighting
from paretune.weighting.strategies.gradient import GradientWeighting
from paretune.weighting.strategies.gramian_rules import AGGREGATORS
from paretune.weighting.strategies.hypervolume import HypervolumeWeighting
from paretune.weighting.strategies.hypervolume_gradient import HypervolumeGradientWeighting
from paretune.weighting.strategies.lagrangian import LagrangianWeighting
from paretune.weighting.strategies.rays import RaySweepWeighting
from paretune.weighting.strategies.rays_hypervolume import RaysHypervolumeWeighting
from paretune.weighting.strategies.sa_mrpo import SAMRPOWeighting
from paretune.weighting.strategies.saw import SAWWeighting
from paretune.weighting.strategies.schedule import ScheduleWeighting
from paretune.weighting.strategies.tchebycheff import TchebycheffWeighting

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
eta=None, floor=0.1, prior=0.0, every=1, gram_average=0.9, shrink=True)
        >>> make_weighting("fixed", 2, floor=0.1)
        ModifiedWeighting(strategy=FixedWeighting(preference=(0.5, 0.5)), floor=0.1, prior=0.0, average=0.0, every=1, \
warmup=0)
    """
    valid = option_names(name)
    strategy = WEIGHTINGS[name]
    hints = {**get_type_hints(ModifiedWeighting), **get_type_hints(strategy)}
    for option, value in options.items():
        require_known(f"option of weighting {name!r}", option, valid)
        if get_origin(hints[option]) is Literal:
            require_known(option, value, get_args(hints[option]))
        try:
            check_type(value, hints[option])
        except TypeCheckError as error:
            kind = {field.name: field.type for field in (*fields(ModifiedWeighting), *fields(strategy))}[option]
            raise ValueError(
                f"{option}: must be {kind} for weighting {name!r} (a list is written [1, 2]), got {value!r}"
            ) from error
    modifiers = {option: options.pop(option) for option in modifier_names(strategy) if option in options}
    make: Callable[..., Weighting] = strategy  # each has fields of its own
    made = make(preference, **options)
    return ModifiedWeighting(made, **modifiers) if modifiers else made


def option_names(name: str) -> list[str]:
    """Return the names of a strategy's options, its own first.

    Raises:
        ValueError: If there is no such strategy.
    """
    require_known("weighting", name, WEIGHTINGS)
    strategy = WEIGHTINGS[name]
    own = [field.name for field in fields(strategy) if field.init and field.name != "preference"]
    return own + modifier_names(strategy)


def resolve_weighting(
    weighting: str | Weighting,
    preference: Sequence[float] | None,
    options: Mapping[str, Any] | None,
    objectives: Sequence[str],
    reference: Sequence[float] | None = None,
) -> Weighting:
    """Return the strategy that a name or an object stands for, for these objectives.

    One given by name that measures hypervolumes takes over the reference point, unless its options have another.

    Raises:
        ValueError: If the name or an option is unknown, or the number of weights is not that of the objectives.
    """
    if isinstance(weighting, str):
        chosen: int | Sequence[float] = len(objectives) if preference is None else preference
        options = dict(options or {})
        if reference is not None and "reference" in option_names(weighting):
            options = {"reference": tuple(reference)} | options
        weighting = make_weighting(weighting, chosen, **options)
    elif preference is not None or options:
        raise ValueError(
            "preference, weighting_options: must be left out when weighting is an object, which has its own, got "
            f"{preference} and {dict(options or {})}"
        )
    if len(weighting.weights) != len(objectives):
        raise ValueError(
            f"preference: must have {len(objectives)} weights, one for each of {', '.join(objectives)}, "
            f"got {len(weighting.weights)}"
        )
    return weighting


def check_reference(reference: Sequence[float] | None, objectives: Sequence[str]) -> Sequence[float] | int:
    """Return the reference point of the hypervolume, or K for zeros.

    Raises:
        ValueError: If it has not one number for each objective.
    """
    if reference is None:
        return len(objectives)
    if len(reference) != len(objectives):
        raise ValueError(
            f"reference: must have {len(objectives)} numbers, one for each of {', '.join(objectives)}, got "
            f"{list(reference)}"
        )
    return reference


def weighting_config(weighting: Weighting) -> dict[str, Any]:
    """Return what a settings file says of `weighting`."""
    options = weighting.options()
    return {"weighting": weighting.name, "preference": options.pop("preference"), "weighting_options": options}
