"""Signs in a run's metrics that its training goes wrong: each is told once, with numbers and what helps.

A policy that collapses does so quietly: its rewards may even rise. What gives it away is how its answers change.
"""

from __future__ import annotations

from collections import deque

from paretune.agents.runs.metrics import SHORT, Line

WINDOW = 5
"""Training steps that a share is a mean over."""

PATIENCE = 3
"""Validations in a row below the untrained policy that are told of."""

REMEDY = "a lower lr, or a kl or entropy term, may help"


class Signs:
    """Reads a run's metrics line by line, and tells what gives a failing training away.

    - Many groups in which most responses have fewer than three tokens, more than at the first step.
    - The entropy falls below a tenth of what it was at the first step.
    - Half of the groups teach nothing, as all rewards in them are alike, and more than at the first step.
    - Validations in a row whose objectives, weighed with the weights in force, sum to less than the untrained policy's.

    Example:
        >>> signs = Signs()
        >>> def line(step, accuracy):
        ...     return {"step": step, "weights": {"accuracy": 1.0}, "validation": {"accuracy": {"mean": accuracy}}}
        >>> [text for step in range(4) for text in signs.seen(line(5 * step, 0.5 - 0.1 * step))]  # doctest: +ELLIPSIS
        ['step 15: for 3 validations in a row the weighted objectives are below the untrained policy's (0.200 ...
    """

    def __init__(self) -> None:
        """Have seen nothing."""
        self._first: Line = {}
        self._last: deque[Line] = deque(maxlen=WINDOW)
        self._untrained: dict[str, float] = {}
        self._below = 0
        self._told: set[str] = set()

    def seen(self, line: Line) -> list[str]:
        """Return what is to be told after a line, in sentences."""
        found = {}
        if "rewards" in line:
            self._first = self._first or line
            self._last.append(line)
            if len(self._last) == WINDOW:
                found = {"short": self._short(), "sure": self._sure(), "alike": self._alike()}
        if line.get("validation"):
            found["below"] = self._is_below(line)
        new = {name: text for name, text in found.items() if text and name not in self._told}
        self._told |= new.keys()
        return [f"step {line['step']}: {text}" for text in new.values()]

    def _mean(self, name: str) -> tuple[float, float] | None:
        """What a number is on average over the window, and at the first step; None where a line is without it."""
        if name not in self._first or any(name not in line for line in self._last):
            return None
        return sum(line[name] for line in self._last) / WINDOW, self._first[name]

    def _short(self) -> str:
        shares = self._mean("short_groups")
        if shares is None or shares[0] < max(0.1, 2 * shares[1]):
            return ""
        return (
            f"to {shares[0]:.0%} of the last {WINDOW} steps' prompts most responses are shorter than {SHORT} tokens "
            f"(at the first step {shares[1]:.0%}): the policy collapses; {REMEDY}"
        )

    def _sure(self) -> str:
        nats = self._mean("surprisal")
        if nats is None or nats[0] > 0.1 * nats[1]:
            return ""
        return (
            f"the policy's entropy has fallen from {nats[1]:.3f} to {nats[0]:.3f} nats a decision: it hardly tries "
            f"anything else; {REMEDY}"
        )

    def _alike(self) -> str:
        shares = self._mean("zero_variance_groups")
        if shares is None or shares[0] < max(0.5, shares[1] + 0.1):
            return ""
        return (
            f"in {shares[0]:.0%} of the last {WINDOW} steps' groups all rewards are alike (at the first step "
            f"{shares[1]:.0%}): these teach nothing; harder prompts, more responses to each, or {REMEDY}"
        )

    def _is_below(self, line: Line) -> str:
        means = {name: line["validation"][name]["mean"] for name in line["weights"]}
        self._untrained = self._untrained or means
        weights = line["weights"]
        total = sum(weights.values())
        now, before = (sum(weights[name] * each[name] for name in weights) / total for each in (means, self._untrained))
        self._below = self._below + 1 if now < before else 0
        if self._below < PATIENCE:
            return ""
        return (
            f"for {PATIENCE} validations in a row the weighted objectives are below the untrained policy's "
            f"({now:.3f} < {before:.3f}): training makes the policy worse; {REMEDY}"
        )
