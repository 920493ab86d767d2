"""Summaries with invented numbers, complete in every field, for tests of the reports."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretune.bench.outcome import Course, Curve, Outcome, Point
from paretune.bench.statistics.summary import Arm, Comparison, Failure, Interval, Ranked, Rival, Summary

OBJECTIVES = ["accuracy", "conciseness", "clarity", "politeness"]
WEIGHTINGS = ["fixed", "hypervolume", "gradient", "saw"]
BASELINE = "fixed"
MAIN = "front_hypervolume"
MEASURES = [MAIN, "final_hypervolume", "igd_plus"]


def summary(
    *,
    envs: Sequence[str] = ("paretune/Arithmetic-v0",),
    agents: Sequence[str] = ("grpo",),
    weightings: Sequence[str] = WEIGHTINGS,
    preferences: Sequence[str] = ("equal",),
    seeds: int = 3,
    objectives: int = 3,
    steps: int = 40,
    failures: int = 0,
    name: str = "probe",
) -> Summary:
    """Return a summary of a full grid; every number follows from the arguments."""
    arms = [(weighting, preference) for weighting in weightings for preference in preferences]
    comparisons = [
        Comparison(
            env=env,
            agent=agent,
            objectives=OBJECTIVES[:objectives],
            arms=[_arm(env, agent, arm, place, seeds, objectives, steps) for place, arm in enumerate(arms)],
            differences=[] if agent == "grpo" else ["learning rate: 0.001 in saw, 0.002 in the others"],
        )
        for env in envs
        for agent in agents
    ]
    return Summary(
        name=name,
        baseline=BASELINE,
        main=MAIN,
        comparisons=comparisons,
        ranking=[_ranked(arm, place, len(comparisons)) for place, arm in enumerate(arms)],
        failures=[Failure(cell=f"env/rloo/saw/equal/seed-{i}", traceback=TRACEBACK) for i in range(failures)],
        missing=failures,
        provenance={"command": "paretune bench grid.toml", "machine": "2 cores", "commit": "0123abc", "python": "3.11"},
    )


TRACEBACK = 'Traceback (most recent call last):\n  File "cell.py", line 7, in run\nRuntimeError: <loss> is not finite\n'


def _ranked(arm: tuple[str, str], place: int, comparisons: int) -> Ranked:
    value = 0.9 - 0.0311 * place
    baseline = arm[0] == BASELINE
    return Ranked(
        weighting=arm[0],
        preference=arm[1],
        score=Interval(value, value - 0.0213, value + 0.0187),
        over_baseline=None if baseline else _rival((BASELINE, arm[1]), place),
        over_best=None if baseline else _rival(None, place + 2),
        comparisons=comparisons,
    )


def _rival(arm: tuple[str, str] | None, place: int) -> Rival:
    verdict = _verdict(place)
    return Rival(
        arm=arm,
        probability=_probability(place),
        verdict=verdict,
        p=0.004 * (place + 1),
        ties=0.25,
        family=3,
        adjusted=0.012 * (place + 1),
        corrected=verdict if place < 3 else "not distinguishable",
    )


def _probability(place: int) -> Interval:
    value = max(0.05, 0.81 - 0.07 * place)
    return Interval(value, max(0.0, value - 0.2), min(1.0, value + 0.15))


def _verdict(place: int) -> str:
    interval = _probability(place)
    return "better" if interval.low > 0.5 else "worse" if interval.high < 0.5 else "not distinguishable at 3 seeds"


def _arm(env: str, agent: str, arm: tuple[str, str], place: int, seeds: int, objectives: int, steps: int) -> Arm:
    baseline = arm[0] == BASELINE
    values = {measure: 0.5 + 0.1 * i - 0.01 * place for i, measure in enumerate(MEASURES)}
    rivals = {measure: _rival((BASELINE, arm[1]), place) for measure in MEASURES}
    return Arm(
        weighting=arm[0],
        preference=arm[1],
        outcomes=[_outcome(env, agent, arm, place, seed, objectives, steps, values) for seed in range(seeds)],
        measures={name: Interval(value, value - 0.02, value + 0.03) for name, value in values.items()},
        against_baseline={} if baseline else rivals,
        against_best_fixed={} if baseline else rivals,
        reached=None if baseline else seeds - 1,
        extra_cost={} if baseline else {"seconds": 1 + 0.1 * place, "tokens": 1.0, "seconds/gram": 2.5},
    )


def _outcome(
    env: str, agent: str, arm: tuple[str, str], place: int, seed: int, objectives: int, steps: int, values: dict
) -> Outcome:
    rng = np.random.default_rng([place, seed, objectives])
    goal_K = rng.dirichlet(np.full(objectives, 4.0))
    at_T = np.arange(1, steps + 1)
    done_T = 1 - np.exp(-at_T / (steps / 3))
    rewards_TK = np.clip(0.1 + done_T[:, None] * goal_K * 1.6 + rng.normal(0, 0.02, (steps, objectives)), 0, 1)
    drift_TK = np.cumsum(rng.normal(0, 0.05, (steps, objectives)), axis=0)
    weights_TK = np.exp(drift_TK) / np.exp(drift_TK).sum(axis=1, keepdims=True)
    if arm[0] == BASELINE:
        weights_TK = np.full((steps, objectives), 1 / objectives)
    validated = [0, *range(4, steps + 1, 4)]
    performance_SK = np.vstack([np.full(objectives, 0.1), rewards_TK[[step - 1 for step in validated[1:]]]])
    front = [
        Point(step=step, validation=row.tolist(), test=(row * 0.98).tolist())
        for step, row in zip(validated, performance_SK, strict=True)
        if not ((performance_SK >= row).all(axis=1) & (performance_SK > row).any(axis=1)).any()
    ]
    last = performance_SK[-1]
    return Outcome(
        env=env,
        agent=agent,
        weighting=arm[0],
        preference=arm[1],
        seed=seed,
        objectives=OBJECTIVES[:objectives],
        reference=[0.0] * objectives,
        curve=Curve(
            steps=validated,
            updates=[2 * step for step in validated],
            tokens=[500 * step + seed for step in validated],
            performance=performance_SK.tolist(),
            hypervolume=np.maximum.accumulate(performance_SK.prod(axis=1)).tolist(),
        ),
        course=Course(
            steps=at_T.tolist(),
            direction=weights_TK.tolist(),
            scale=[1.0 + (arm[0] == "hypervolume") * 0.2 * float(np.sin(t / 5)) for t in at_T],
            rewards=rewards_TK.tolist(),
        ),
        front=front,
        final=Point(step=validated[-1], validation=last.tolist(), test=(last * 0.98).tolist()),
        exact=_exact(objectives) if env == "known" else None,
        measures={name: value + 0.01 * (seed - 1) for name, value in values.items()},
        cost={"tokens": 500.0 * steps, "seconds": 12.5},
        setup={"lr": 0.001},
    )


def _exact(objectives: int) -> list[list[float]]:
    """Points of the positive part of the unit sphere."""
    around = np.abs(np.random.default_rng(0).normal(size=(60, objectives)))
    return (around / np.linalg.norm(around, axis=1, keepdims=True)).tolist()
