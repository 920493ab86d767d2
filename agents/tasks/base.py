"""What an agent trains on: where its episodes start, how its policy acts in them, and what that earns.

Shapes: B episodes, T decisions, K objectives, M objectives for evaluation only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from paretune.agents.sequences.decisions import Decisions
from paretune.envs import Response, Split

Array = NDArray[np.float64]


class Outcome(Protocol):
    """B episodes that the policy acted out."""

    @property
    def decisions(self) -> Decisions:
        """What the policy read and chose."""
        ...

    @property
    def responses(self) -> list[Response]:
        """The same as B texts."""
        ...


Start = TypeVar("Start")
"""Where an episode starts: a prompt, or the seed of a reset. Episodes of a group share it."""

Acted = TypeVar("Acted", bound=Outcome)
"""Episodes of the task's kind."""


class Task(Protocol[Start, Acted]):
    """An environment as the training loop sees it, with the policy that acts in it."""

    unit: str
    """What a decision is called in the metrics."""

    objectives: tuple[str, ...]
    """Names of the K objectives, in order."""

    reported: tuple[str, ...]
    """Names of M objectives that only evaluations see."""

    longest: int
    """Most decisions of an episode."""

    def starts(self, split: Split, limit: int | None = None) -> list[Start]:
        """Return the fixed starts of a split (the first `limit`): what policies are evaluated on; at least one."""
        ...

    def draw(self, n: int, rng: np.random.Generator) -> list[Start]:
        """Draw `n` starts to train from."""
        ...

    def act(self, starts: Sequence[Start], rng: np.random.Generator, *, greedy: bool = False) -> Acted:
        """Have the policy act from each of B starts; the same state of `rng` gives the same outcome.

        Args:
            starts: B starts.
            rng: Source of randomness.
            greedy: Take the likeliest choice instead of drawing.
        """
        ...

    def returns(self, outcome: Acted, *, held_out: bool = False) -> Array:
        """Return what the episodes earned (B, K); nothing is learned from episodes that are `held_out`."""
        ...

    def report(self, outcome: Acted) -> Array:
        """Return what the episodes score (B, M) in the objectives that only evaluations see."""
        ...

    def credit(self, outcome: Acted, returns: Array) -> Array:
        """Return what each decision is answerable for: (B, T, K), or (B, 1, K) if all share the episode's return."""
        ...

    def counts(self) -> dict[str, int]:
        """Return running counts to put into the metrics."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what the environment has learned from training, JSON-able."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        ...
