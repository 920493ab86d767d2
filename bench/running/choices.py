"""The entries of a grid: a name alone, or a table with a label and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

from paretune.agents.rules import Count, check_all
from paretune.weighting import resolve_preference

Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvChoice:
    """An environment of a grid.

    Attributes:
        id: Its id.
        label: What reports call it.
        options: Options of the environment.
        policy: The policy that is trained in it; None is the default for it.
        policy_options: Options of a network.
        steps: Training steps; None takes the grid's.
        settings: Fields of `AgentSettings`, over the grid's.
        preferences: Preferences, where they are others than the grid's.
        weighting_options: Options of strategies in this environment, by the strategies' labels.
        test_prompts: Test prompts; None takes the grid's.
    """

    key: ClassVar[str] = "id"
    id: str
    label: str
    options: Options = field(default_factory=dict)
    policy: str | None = None
    policy_options: Options = field(default_factory=dict)
    steps: Count | None = None
    settings: Options = field(default_factory=dict)
    preferences: Any = None
    weighting_options: Mapping[str, Options] = field(default_factory=dict)
    test_prompts: Count | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChoice:
    """An agent of a grid.

    Attributes:
        name: Name of the algorithm.
        label: What reports call it.
        settings: Fields of `AgentSettings`, over those of grid and environment.
    """

    key: ClassVar[str] = "name"
    name: str
    label: str
    settings: Options = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightingChoice:
    """A weighting strategy of a grid.

    Attributes:
        name: Name of the strategy.
        label: What reports call it.
        options: Options of the strategy.
        preferences: Labels of the preferences that it is trained for; None is all.
        settings: Fields of `AgentSettings` for this strategy alone, which make comparisons unfair.
    """

    key: ClassVar[str] = "name"
    name: str
    label: str
    options: Options = field(default_factory=dict)
    preferences: tuple[str, ...] | None = None
    settings: Options = field(default_factory=dict)


Choice = TypeVar("Choice", EnvChoice, AgentChoice, WeightingChoice)


def choices(kind: type[Choice], argument: str, entries: Sequence[str | Options]) -> list[Choice]:
    """Return the entries of a grid in full.

    Args:
        kind: What they are.
        argument: Name of the grid's argument, for messages.
        entries: Names, or tables.

    Raises:
        ValueError: If a table has an unknown key, lacks its name, or has a value of the wrong type.

    Example:
        >>> choices(AgentChoice, "agents", ["rloo", {"name": "grpo", "label": "no clip", "settings": {"clip": 0}}])[0]
        AgentChoice(name='rloo', label='rloo', settings={})
    """
    if isinstance(entries, str | Mapping):
        raise ValueError(f"{argument}: must be a list, got {entries!r}")
    return [_choice(kind, argument, {kind.key: entry} if isinstance(entry, str) else entry) for entry in entries]


def setting_words(settings: Options) -> str:
    """Return settings as words NAME=VALUE.

    Example:
        >>> setting_words({"lr": 5e-05, "order": "weigh_first"})
        'lr=5e-05 order=weigh_first'
    """
    return " ".join(f"{name}={value}" for name, value in settings.items())


def _choice(kind: type[Choice], argument: str, table: Options) -> Choice:
    if not isinstance(table, Mapping) or kind.key not in table:
        raise ValueError(f"{argument}: must be names, or tables with the key {kind.key!r}, got {table!r}")
    try:
        checked = check_all(table, kind, "key")
    except ValueError as error:
        raise ValueError(f"{argument}: {table[kind.key]!r}: {error}") from error
    return kind(**{"label": checked[kind.key].rpartition("/")[2], **checked})


def named_preferences(preferences: Any) -> dict[str, list[float] | None]:
    """Return preferences (K,) that sum to 1 by their labels; None stands for equal weights.

    Args:
        preferences: A table of preferences by label, or a list of preferences and of the word "equal".

    Raises:
        ValueError: If it is neither, or a preference is none.

    Example:
        >>> named_preferences(["equal", [3, 1]])
        {'equal': None, '0.75 0.25': [0.75, 0.25]}
    """
    if isinstance(preferences, Mapping):
        return {str(label): _preference(value) for label, value in preferences.items()}
    if isinstance(preferences, str) or not isinstance(preferences, Sequence) or not len(preferences):
        raise ValueError(f"preferences: must be a table or a list of preferences, got {preferences!r}")
    values = [_preference(value) for value in preferences]
    return {"equal" if value is None else " ".join(f"{x:.3g}" for x in value): value for value in values}


def _preference(value: Any) -> list[float] | None:
    if value == "equal":
        return None
    if isinstance(value, str | int):
        raise ValueError(f'preferences: must be lists of weights, or "equal", got {value!r}')
    try:
        return list(resolve_preference(value))
    except ValueError as error:
        raise ValueError(f"preferences: {error}") from error
