"""Equal budgets: what each arm has reached by the time that the thriftiest one has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from paretune.bench.outcome import Curve, Outcome

EQUAL_TOKENS = "equal_tokens_hypervolume"
"""Name of the measure."""


def at_equal_tokens(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes of one comparison with their hypervolumes at equal tokens among their measures.

    Arms make equally many updates from equally many responses, but how long the responses are is the policy's choice:
    who learns to write more is trained on more tokens. Seed by seed, the budget is what the arm with the fewest tokens
    has sampled for training.

    Args:
        outcomes: All outcomes of the comparison. If one has no curve, they are returned as they are.
    """
    if not all(run.curve.tokens for run in outcomes):
        return list(outcomes)
    budgets: dict[int, int] = {}
    for outcome in outcomes:
        budgets[outcome.seed] = min(outcome.curve.tokens[-1], budgets.get(outcome.seed, outcome.curve.tokens[-1]))
    return [
        replace(run, measures=run.measures | {EQUAL_TOKENS: reached(run.curve, budgets[run.seed])}) for run in outcomes
    ]


def reached(curve: Curve, tokens: int) -> float:
    """Return the hypervolume of the archive at the last validation within a budget of tokens.

    Example:
        >>> curve = Curve(
        ...     steps=[0, 5], updates=[0, 10], tokens=[0, 99], performance=[[0.1], [0.2]], hypervolume=[0.1, 0.2]
        ... )
        >>> reached(curve, 98), reached(curve, 99)
        (0.1, 0.2)
    """
    return max(hypervolume for used, hypervolume in zip(curve.tokens, curve.hypervolume, strict=True) if used <= tokens)
