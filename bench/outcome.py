"""What one cell of a benchmark came to: plain data, written by the process that ran it and read by the reports.

Shapes: K objectives, S validations, T training steps that are kept, F points of a front, E points of an exact front.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from paretune.agents.files import write_json
from paretune.weighting import ParetoArchive

Vector = list[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A run at its validations, the untrained policy's first.

    Attributes:
        steps: Training steps done by then (S,).
        updates: Optimizer updates done by then (S,).
        tokens: Tokens sampled for training by then, or environment steps where the environment is stepped (S,).
        performance: Validation performance (S, K).
        hypervolume: Hypervolume of the archive of validations so far (S,).
    """

    steps: list[int]
    updates: list[int]
    tokens: list[int]
    performance: list[Vector]
    hypervolume: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """A run at its training steps, thinned evenly where there are many.

    Attributes:
        steps: Training steps (T,), from 1.
        direction: Weights that sum to 1 (T, K).
        scale: What multiplied the advantages (T,).
        rewards: Mean of each objective over the step's training responses (T, K).
    """

    steps: list[int]
    direction: list[Vector]
    scale: Vector
    rewards: list[Vector]


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A policy of the run.

    Attributes:
        step: Training steps it has had.
        validation: Its performance (K,) on the validation split, by which it was chosen.
        test: Its performance (K,) on the test split.
    """

    step: int
    validation: Vector
    test: Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A finished cell.

    Attributes:
        env: Label of the environment.
        agent: Label of the agent.
        weighting: Label of the weighting strategy.
        preference: Label of the preference.
        seed: Seed of the run.
        objectives: Names of the K objectives.
        reference: Reference point (K,) of the hypervolumes.
        curve: The run at its validations.
        course: The run at its training steps.
        front: The policies that no other one of the run dominates on the validation split, by step; the untrained one
            (step 0) is often among them.
        final: The last policy.
        exact: The environment's exact Pareto front (E, K), where it is known.
        measures: What the run is judged by, from `paretune.bench.statistics.measures.MEASURES`; None where it is not
            defined.
        cost: What the run took, by name: updates, responses, tokens, seconds (the sum of the timed parts), seconds/PART
            for each part, peak_memory_mb.
        setup: All arguments that the run was made from.
        runs: Runs that it is made of: 1, or those of a whole sweep.
        own_weights: The preference (K,) that it is trained for, equal weights for an arm without one; None in outcomes
            of versions that did not record it, and of a whole sweep.
        untrained: The policy before the first step; None in outcomes of versions that did not record it.
        trained: The policies after step 0 that no other one after step 0 dominates on the validation split, by step;
            None in outcomes of versions that did not record it.
        sweep_of: Label of the environment whose runs a whole sweep is made of; None for a single run.
    """

    env: str
    agent: str
    weighting: str
    preference: str
    seed: int
    objectives: list[str]
    reference: Vector
    curve: Curve
    course: Course
    front: list[Point]
    final: Point
    exact: list[Vector] | None
    measures: dict[str, float | None]
    cost: dict[str, float]
    setup: dict[str, Any]
    runs: int = 1
    own_weights: Vector | None = None
    untrained: Point | None = None
    trained: list[Point] | None = None
    sweep_of: str | None = None

    @property
    def comparison(self) -> tuple[str, str]:
        """Environment and agent: outcomes that share them can be compared."""
        return self.env, self.agent

    @property
    def arm(self) -> tuple[str, str]:
        """Weighting and preference: what differs within a comparison."""
        return self.weighting, self.preference

    @property
    def start(self) -> Point | None:
        """The untrained policy; of an older outcome, where its front holds it."""
        return self.untrained or next((point for point in self.front if point.step == 0), None)

    @property
    def trained_front(self) -> list[Point] | None:
        """The front without step 0; None where nothing of it is known.

        Older outcomes did not test policies that the untrained one alone dominates: theirs is made of the front's other
        policies and of the last one.
        """
        if self.trained is not None or not self.front:
            return self.trained
        return undominated([*(point for point in self.front if 0 < point.step < self.final.step), self.final])

    def write(self, path: Path) -> None:
        """Write the outcome as JSON, all or nothing."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> Outcome:
        """Return the outcome that a file holds.

        Raises:
            ValueError: If the file is damaged.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"cell: must be whole, got {str(path)!r}, which is damaged ({error}); remove it and run it again"
            ) from error

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """Return the outcome that `dataclasses.asdict` made `values` of."""
        parts: dict[str, Any] = {
            "curve": Curve(**values["curve"]),
            "course": Course(**values["course"]),
            "front": [Point(**point) for point in values["front"]],
            "final": Point(**values["final"]),
        }
        if values.get("untrained") is not None:
            parts["untrained"] = Point(**values["untrained"])
        if values.get("trained") is not None:
            parts["trained"] = [Point(**point) for point in values["trained"]]
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values} | parts)


def undominated(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other one dominates or equals on the validation split, in their order."""
    archive = ParetoArchive(len(points[0].validation))
    for number, point in enumerate(points):
        archive.add(point.validation, tag=number)
    return [points[number] for number in sorted(archive.tags)]
