"""Replays: which weights another strategy would have set on the history of a run.

Shapes: S training steps, P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.agents.runs.history import History
from paretune.agents.runs.metrics import Line
from paretune.agents.runs.run_folder import RunFolder
from paretune.weighting import Weighting
from paretune.weighting.bookkeeping import move_weights, show_gradients
from paretune.weighting.catalog import resolve_weighting

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Replay:
    """The weights of a run, and those that another strategy sets when it sees what that run saw.

    The history is that of the policy which the run's own weights trained. Had the other strategy trained it, other
    responses would have come, and so, from the second step on, other weights: a replay shows how a strategy reacts, not
    what it leads to.

    Attributes:
        objectives: Names of the K objectives, in order.
        steps: The training steps (S,), from 1.
        name: Name of the strategy that was replayed.
        weights: Its weights (S, K): those that a step would have trained with.
        scale: Their sums (S,).
        own_name: Name of the run's own strategy.
        own_weights: The weights (S, K) that the run trained with.
        own_scale: Their sums (S,).
    """

    objectives: tuple[str, ...]
    steps: NDArray[np.int64]
    name: str
    weights: Array
    scale: Array
    own_name: str
    own_weights: Array
    own_scale: Array

    @property
    def shares(self) -> Array:
        """Each replayed weight's share of the sum (S, K)."""
        return self.weights / self.weights.sum(axis=1, keepdims=True)

    @property
    def own_shares(self) -> Array:
        """Each own weight's share of the sum (S, K)."""
        return self.own_weights / self.own_weights.sum(axis=1, keepdims=True)


def replay(
    run_folder: str | PathLike[str],
    weighting: str | Weighting,
    preference: Sequence[float] | None = None,
    weighting_options: Mapping[str, Any] | None = None,
) -> Replay:
    """Show a strategy what a run logged, in the agent's order, and return the weights that it sets.

    A run's own strategy gets the run's own weights, bit for bit. No model is loaded.

    Args:
        run_folder: Folder of a run, finished or not.
        weighting: The strategy's name, or a strategy that has not seen anything yet.
        preference: Weights (K,) for a strategy given by name; None takes those of the run.
        weighting_options: Options of a strategy given by name.

    Raises:
        ValueError: If the folder holds no run or a history with gaps, the strategy or an option is wrong, or the
            strategy needs Gram matrices that the history does not have.

    Example:
        >>> shown = replay("runs/a", "sa-mrpo")  # doctest: +SKIP
        >>> shown.weights.mean(axis=0) - shown.own_weights.mean(axis=0)  # doctest: +SKIP
        array([ 0.11, -0.02, -0.09])
    """
    run = RunFolder(Path(run_folder))
    config, lines = run.config(), run.metrics()
    if len(lines) < 2 or lines[0]["step"] != 0:
        raise ValueError(
            f"run: must hold the metrics of its training from step 0 to at least 1 to be replayed, got "
            f"{[line['step'] for line in lines]} in {str(run.path)!r}"
        )
    objectives = tuple(lines[0]["weights"])
    if isinstance(weighting, str) and preference is None:
        preference = config["preference"]
    strategy = resolve_weighting(weighting, preference, weighting_options, objectives, config["reference"])
    history = History(run.history_path, (config["prompts_per_step"], config["group_size"], len(objectives)))
    trained = lines[1:]
    weights_SK, scale_S = _weights_on(strategy, lines, objectives, history, run.path)
    return Replay(
        objectives=objectives,
        steps=np.array([line["step"] for line in trained]),
        name=strategy.name,
        weights=weights_SK,
        scale=scale_S,
        own_name=config["weighting"],
        own_weights=np.array([[line["weights"][name] for name in objectives] for line in trained]),
        own_scale=np.array([line["scale"] for line in trained]),
    )


def _weights_on(
    strategy: Weighting, lines: Sequence[Line], objectives: Sequence[str], history: History, run: Path
) -> tuple[Array, Array]:
    """Call the strategy's hooks as the agent does; return its weights (S, K) in the steps from 1, and their sums."""
    rewards, grams = history.rewards(), history.grams()
    weights, scales = [], []
    for line in lines:
        step = line["step"]
        if step > 0:
            if step not in rewards:
                raise _without_rewards(run, step, rewards)
            strategy.on_rewards(rewards[step])
            if strategy.needs_gram:
                if step not in grams:
                    raise _without_gram(strategy, run, step, len(grams))
                show_gradients(grams[step], line["lr"], strategy)
            weights.append(strategy.weights)
            scales.append(strategy.scale)
        if "validation" in line:
            entries = [line["validation"][name] for name in objectives]
            errors_K = np.array([entry.get("standard_error") for entry in entries], dtype=np.float64)  # NaN for None
            move_weights(np.array([entry["mean"] for entry in entries]), strategy, errors_K)
    return np.array(weights), np.array(scales)


def _without_rewards(run: Path, step: int, rewards: Mapping[int, Array]) -> ValueError:
    if not rewards:
        return ValueError(
            f"run: must hold a history (history/) to be replayed, got none in {str(run)!r}: it was trained by an older "
            "version of paretune; train it again"
        )
    return ValueError(f"run: must hold a history of every step to be replayed, got none of step {step} in {str(run)!r}")


def _without_gram(strategy: Weighting, run: Path, step: int, number: int) -> ValueError:
    return ValueError(
        f"weighting: must do without a Gram matrix at step {step}, which the history of {str(run)!r} lacks (it has "
        f"{number}), got {strategy.name!r}; a run trained with --record-gram (in Python record_gram=True) has one for "
        "every step"
    )
