"""Synthetic outcomes for the tests of statistics and reports."""

from __future__ import annotations

from typing import Any

import numpy as np

from paretune.bench.outcome import Course, Curve, Outcome, Point, undominated
from paretune.bench.statistics.measures import measure
from paretune.weighting.archive import ParetoArchive

START = [0.1, 0.2]


def outcome(
    weighting: str = "fixed",
    preference: str = "balanced",
    seed: int = 0,
    *,
    end: tuple[float, float] = (0.5, 0.5),
    env: str = "Toy",
    agent: str = "GRPO",
    exact: list[list[float]] | None = None,
    lr: float = 1e-3,
    seconds: float = 10.0,
    start: list[float] = START,
    steps: int = 20,
    weights: list[float] | None = None,
) -> Outcome:
    """Return a run of five validations that goes straight from `start` to `end`, on test data as on validation.

    It is for the preference `weights`, equal ones by default.
    """
    at = np.linspace(0.0, 1.0, 5)
    performance = [list(map(float, np.array(start) + t * (np.array(end) - start))) for t in at]
    archive = ParetoArchive([0.0, 0.0])
    volumes = []
    for step, point in enumerate(performance):
        archive.add(point, tag=step)
        volumes.append(archive.hypervolume())
    validated = [round(t * steps) for t in at]
    curve = Curve(
        steps=validated,
        updates=validated,
        tokens=[100 * step for step in validated],
        performance=performance,
        hypervolume=volumes,
    )
    points = [Point(step=step, validation=at, test=at) for step, at in zip(validated, performance, strict=True)]
    front, trained, final = [points[tag] for tag in sorted(archive.tags)], undominated(points[1:]), points[-1]
    setup: dict[str, Any] = {
        "env": env,
        "env_options": {},
        "agent": agent,
        "policy": "network",
        "policy_options": {},
        "weighting": weighting,
        "weighting_options": {},
        "preference": weights or [0.5, 0.5],
        "settings": {"seed": seed, "lr": lr, "prompts_per_step": 16},
        "steps": steps,
        "test_prompts": 64,
    }
    return Outcome(
        env=env,
        agent=agent,
        weighting=weighting,
        preference=preference,
        seed=seed,
        objectives=["accuracy", "brevity"],
        reference=[0.0, 0.0],
        curve=curve,
        course=Course(
            steps=[1, steps], direction=[[0.5, 0.5], [0.25, 0.75]], scale=[1.0, 1.0], rewards=[start, list(end)]
        ),
        front=front,
        final=final,
        exact=exact,
        measures=measure(curve, front, final, [0.0, 0.0], exact, trained),
        cost={
            "updates": float(steps),
            "responses": 128.0 * steps,
            "tokens": 100.0 * steps,
            "seconds": seconds,
            "seconds/sampling": seconds / 2,
            "peak_memory_mb": 200.0,
        },
        setup=setup,
        own_weights=weights or [0.5, 0.5],
        untrained=points[0],
        trained=trained,
    )


def arm(
    weighting: str, levels: list[float] | np.ndarray, preference: str = "balanced", **changes: Any
) -> list[Outcome]:
    """Return one run for each level, with seeds 0, 1, ...; a run of level x ends at (x, x)."""
    return [outcome(weighting, preference, seed, end=(x, x), **changes) for seed, x in enumerate(levels)]
