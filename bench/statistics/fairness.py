"""What must be the same in all arms of a comparison, and what was not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from paretune.bench.outcome import Outcome

DIFFER = ("weighting", "weighting_options", "preference")
"""Arguments of a run in which arms differ."""

EQUAL_COSTS = ("updates", "responses")
"""Costs that must be equal. Tokens are not among them: how long its responses are is the policy's choice; there is a
measure at equal tokens instead (`paretune.bench.statistics.budgets`)."""

Arm = tuple[str, str]


def differences(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what was not the same in all arms of one comparison although it should be, one sentence each.

    Arms must have the same seeds and, seed by seed, the same arguments (but for weighting and preference), reference
    point and objectives, performance of the untrained policy, and numbers of updates and responses.

    Args:
        outcomes: All outcomes of the comparison, at most one for each arm and seed.
    """
    seeds: dict[Arm, list[int]] = defaultdict(list)
    facts: dict[int, dict[Arm, dict[str, str]]] = defaultdict(dict)
    for outcome in sorted(outcomes, key=lambda outcome: outcome.seed):
        seeds[outcome.arm].append(outcome.seed)
        facts[outcome.seed][outcome.arm] = dict(_facts(outcome))
    found = _disagreement({arm: ", ".join(map(str, numbers)) for arm, numbers in seeds.items()})
    sentences = [f"seeds: {found}"] if found else []
    where: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for seed, by_arm in facts.items():
        for name in dict.fromkeys(name for arm_facts in by_arm.values() for name in arm_facts):
            found = _disagreement({arm: arm_facts.get(name, "nothing") for arm, arm_facts in by_arm.items()})
            if found:
                where[name].append((seed, found))
    for name, cases in where.items():
        seed, found = cases[0]
        more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
        sentences.append(f"{name}: {found} (seed {seed}{more})")
    return sentences


def _facts(outcome: Outcome) -> Iterator[tuple[str, str]]:
    """What must agree, by name, as text."""
    yield from _flat({name: value for name, value in outcome.setup.items() if name not in DIFFER})
    yield "reference", str(outcome.reference)
    yield "objectives", str(outcome.objectives)
    if outcome.curve.performance:
        yield "validation of the untrained policy", str([round(value, 9) for value in outcome.curve.performance[0]])
    yield from ((name, f"{outcome.cost[name]:.15g}") for name in EQUAL_COSTS if name in outcome.cost)


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, str(list(value) if isinstance(value, tuple) else value)


def _disagreement(values: Mapping[Arm, str]) -> str:
    """Say who has which value; nothing if all have the same."""
    holders: dict[str, list[str]] = defaultdict(list)
    for arm, value in values.items():
        holders[value].append("/".join(arm))
    if len(holders) <= 1:
        return ""
    return "; ".join(f"{value} in {_some(arms)}" for value, arms in holders.items())


def _some(names: Sequence[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
