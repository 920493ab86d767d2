"""What known_flaws.py measures on finished runs: batches, gradients and validations, replayed.

Shapes: S steps, U optimizer updates, P prompts, G responses per prompt, K objectives, V validations, C coordinates.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from paretune.agents.catalog import AGENTS
from paretune.weighting import HypervolumeWeighting
from paretune.weighting.advantages import Order, SplitWeights, combined

Array = NDArray[np.float64]
Arrays = dict[str, NDArray[Any]]
EQUAL_K = np.full(3, 1 / 3)
MULTIPLIERS = (0.5, 2.0)
NORM_LIMIT = 0.1
"""Norm that gradients are clipped to in their replay: below most of them, so that the clip acts."""
NEAR = 0.01
"""Relative distance from 0.5 or 2 at which r_meta counts as one of them."""


def advantages_under_multipliers(batches: Sequence[Array]) -> list[dict[str, Any]]:
    """Return what multipliers do to the advantages of reward batches (P, G, K), by algorithm, order and place.

    The factor that arrives is that of the best fit A' = factor * A, the change is max |A' - A| / max |A|; medians and
    extremes are over the batches.
    """
    rows = []
    for (name, agent), order, (place, factor), multiplier in itertools.product(
        AGENTS.items(), get_args(Order), {"rewards": "before", "advantages": "behind"}.items(), MULTIPLIERS
    ):
        factors, changes = [], []
        for rewards_PGK in batches:
            plain, multiplied = (
                advantages * scale
                for advantages, scale in (
                    combined(rewards_PGK, SplitWeights(EQUAL_K, **{factor: r}), agent.algorithm, order)
                    for r in (1.0, multiplier)
                )
            )
            if np.abs(plain).max() > 0:
                factors.append(float((multiplied * plain).sum() / (plain**2).sum()))
                changes.append(float(np.abs(multiplied - plain).max() / np.abs(plain).max()))
        rows.append(
            {
                "algorithm": name,
                "order": order,
                "place": place,
                "multiplier": multiplier,
                "factor": float(np.median(factors)),
                "change": float(np.median(changes)),
                "largest_change": max(changes),
            }
        )
    return rows


def distances(arm: Arrays, fixed: Arrays) -> Array:
    """Return how far an arm's parameters are from the fixed arm's after each step (S,), 1 being the fixed arm's way."""
    apart_S = np.linalg.norm(arm["parameters"] - fixed["parameters"], axis=1)[1:]
    way_S = np.linalg.norm(fixed["parameters"] - fixed["parameters"][0], axis=1)[1:]
    return apart_S / way_S


def divergence(arm: dict[str, Any], arm_arrays: Arrays, fixed: dict[str, Any], fixed_arrays: Arrays) -> dict[str, Any]:
    """Return how far a run is from the fixed arm's with the same seed (or from any other of the same length)."""
    differs_S = (arm_arrays["rewards"] != fixed_arrays["rewards"]).any(axis=(1, 2, 3))
    gaps = np.abs(np.array(arm["performances"]) - fixed["performances"])
    return {
        "arm": arm["arm"],
        "seed": arm["seed"],
        "distances": distances(arm_arrays, fixed_arrays).tolist(),
        "largest_parameter_difference": float(
            np.abs(arm_arrays["parameters"][-1] - fixed_arrays["parameters"][-1]).max()
        ),
        "first_other_rewards": int(differs_S.argmax()) + 1 if differs_S.any() else None,
        "largest_validation_difference": float(gaps.max()),
        "last_hypervolume_difference": arm["hypervolumes"][-1] - fixed["hypervolumes"][-1],
    }


def factor_courses(updates: int, every: int, meta_rewards: Array) -> dict[str, Array]:
    """Return courses (U,) of a multiplier: constant, changed once, switching every `every` updates, and a real one."""
    u = np.arange(updates)
    return {
        "2 throughout": np.full(updates, 2.0),
        "1, then 2 from half": np.where(u < updates // 2, 1.0, 2.0),
        "0.5 and 2 in turn": np.where(u // every % 2 == 0, 0.5, 2.0),
        "r_meta of a run": np.repeat(meta_rewards, updates // len(meta_rewards)),
    }


def adamw_updates(gradients: Array, norms: Array, factors: Array, clip: str) -> Array:
    """Return the updates (U, C) that AdamW makes of gradients (U, C) times factors (U,), at learning rate 1.

    Args:
        gradients: At the coordinates; AdamW treats each on its own.
        norms: Of the whole gradients (U,).
        factors: Multiplier of each update (U,).
        clip: "none"; "own units": the gradient without its factor is clipped to NORM_LIMIT; "fixed norm": the
            multiplied gradient is.
    """
    parameter = torch.zeros(gradients.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.AdamW([parameter], lr=1.0, weight_decay=0.0)
    updates = []
    for gradient, norm, factor in zip(gradients.astype(np.float64), norms, factors, strict=True):
        full = norm * factor if clip == "fixed norm" else norm
        kept = 1.0 if clip == "none" else min(1.0, NORM_LIMIT / full)
        parameter.grad = torch.from_numpy(gradient * factor * kept)
        before = parameter.detach().clone()
        optimizer.step()
        updates.append((parameter.detach() - before).numpy())
    return np.array(updates)


def gradient_replay(fixed: Arrays, meta_rewards: Array, seed: int, every: int) -> list[dict[str, Any]]:
    """Return what each course of a multiplier and way of clipping does to AdamW's updates, beside a multiplier of 1.

    Args:
        fixed: Arrays of the fixed arm, whose gradients were not clipped.
        meta_rewards: Of the corrected hypervolume-guided run with the same seed (S,).
        seed: The seed, for the record.
        every: Updates between two validations.
    """
    gradients_UC, norms_U = fixed["gradients"], fixed["norms"]
    rows = []
    for clip in ("none", "own units", "fixed norm"):
        plain_UC = adamw_updates(gradients_UC, norms_U, np.ones(len(norms_U)), clip)
        for course, factors_U in factor_courses(len(norms_U), every, meta_rewards).items():
            ratios_U, turns_U = beside(adamw_updates(gradients_UC, norms_U, factors_U, clip), plain_UC)
            rows.append(
                {
                    "seed": seed,
                    "clip": clip,
                    "course": course,
                    "ratios": ratios_U.tolist(),
                    "smallest": float(ratios_U.min()),
                    "largest": float(ratios_U.max()),
                    "last": float(ratios_U[-1]),
                    "kept": kept_share(factors_U, ratios_U),
                    "turn": float(np.median(turns_U)),
                    "largest_turn": float(turns_U.max()),
                }
            )
    return rows


def beside(updates: Array, plain: Array) -> tuple[Array, Array]:
    """Return how long updates (U, C) are beside plain ones, and the angles between both in degrees, (U,) each.

    Example:
        >>> [x.round(6).tolist() for x in beside(np.array([[0.0, 2.0]]), np.array([[1.0, 0.0]]))]
        [[2.0], [90.0]]
    """
    lengths_U, plain_lengths_U = np.linalg.norm(updates, axis=1), np.linalg.norm(plain, axis=1)
    cosines_U = (updates * plain).sum(1) / (lengths_U * plain_lengths_U)
    return lengths_U / plain_lengths_U, np.degrees(np.arccos(np.clip(cosines_U, -1, 1)))


def kept_share(factors: Array, ratios: Array) -> float | None:
    """Return the slope of log ratios (U,) over log factors (U,): 1 is a multiplier kept, 0 one lost; None if constant.

    Example:
        >>> round(kept_share(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0])), 6)
        1.0
    """
    if np.ptp(factors) == 0:
        return None
    return float(np.polyfit(np.log(factors), np.log(ratios), 1)[0])


def saturation(histories: Sequence[Sequence[Sequence[float]]], tokens: dict[str, int]) -> list[dict[str, Any]]:
    """Return the meta-rewards that validation histories (V, K) lead to in several units.

    Args:
        histories: One of each seed, conciseness second, all objectives in [0, 1].
        tokens: What conciseness is multiplied by, by the unit's name: the allowance makes tokens left of it.
    """
    rows = []
    for (unit, factor), exact in itertools.product(tokens.items(), (True, False)):
        gains, meta_rewards = [], []
        for history in histories:
            weighting = HypervolumeWeighting(3, exact_paper=exact)
            for number, performance in enumerate(history):
                weighting.on_validation(np.array(performance) * [1, factor, 1])
                if number > 0:
                    gains.append(weighting.diagnostics()["gain"])
                    meta_rewards.append(weighting.scale)
        rows.append({"unit": unit, "scale": "1" if exact else "adaptive", "gains": gains, "meta_rewards": meta_rewards})
    return [row | shares_of_range(np.array(row["gains"]), np.array(row["meta_rewards"])) for row in rows]


def shares_of_range(gains: Array, meta_rewards: Array) -> dict[str, float | None]:
    """Return which shares of meta-rewards are near 0.5, near 2 and between, over all and over those with a gain.

    Example:
        >>> shares_of_range(np.array([0.0, 0.1, 0.2]), np.array([0.5, 0.501, 1.3]))["between_of_gains"]
        0.5
    """
    low, high = np.abs(meta_rewards - 0.5) <= NEAR * 0.5, np.abs(meta_rewards - 2) <= NEAR * 2
    positive = gains > 0
    shares: dict[str, float | None] = {"positive": float(positive.mean())}
    for name, near in (("low", low), ("high", high), ("between", ~low & ~high)):
        shares[name] = float(near.mean())
        shares[f"{name}_of_gains"] = float(near[positive].mean()) if positive.any() else None
    return shares
