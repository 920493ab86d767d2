"""From a strategy's name and options to the strategy, and back to what a settings file says of it; without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from paretune.weighting import Weighting, make_weighting
from paretune.weighting.catalog import option_names


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
            "preference, weighting_options: must be left out when weighting is an object, which has its own"
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
