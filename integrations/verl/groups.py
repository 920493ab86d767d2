"""From the rows of one of verl's batches to groups of responses, and from vector rewards to advantages of rows.

Shapes: B rows, P prompts, G responses per prompt, K objectives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.weighting.advantages import AdvantageRule, Array, Order, SplitWeights, batch_normalised, weighed

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Groups:
    """Which rows answer the same prompt.

    Attributes:
        by_size: By number of responses G: the rows (P, G) of the prompts that have so many.
        judged_by: For each row (B,), the row whose reward counts: the last one of its session, -1 for padding.
    """

    by_size: dict[int, Rows]
    judged_by: Rows

    @property
    def most(self) -> Rows:
        """Rows (P, G) of the prompts that have the most frequent number of responses; failed sessions leave fewer."""
        return max(self.by_size.values(), key=len)


def find_groups(keys: Sequence[str], tags: Sequence[Mapping[str, Any]]) -> Groups:
    """Sort rows into groups.

    Args:
        keys: verl's names of the rows (B,): `{prompt}_{session}_{output}`; a session of several outputs has the reward
            of its last one.
        tags: verl's tags of the rows; those with `is_padding` belong to no group.
    """
    last: dict[str, tuple[int, int]] = {}
    sessions = [key.rsplit("_", 1)[0] for key in keys]
    for b, key in enumerate(keys):
        output = int(key.rsplit("_", 1)[1])
        if not tags[b].get("is_padding", False) and output >= last.get(sessions[b], (0, -1))[0]:
            last[sessions[b]] = output, b
    prompts: dict[str, list[int]] = {}
    for session, (_, b) in last.items():
        prompts.setdefault(session.rsplit("_", 1)[0], []).append(b)
    sizes = Counter(len(rows) for rows in prompts.values())
    by_size = {size: np.array([rows for rows in prompts.values() if len(rows) == size]) for size in sizes}
    return Groups(by_size, np.array([last[session][1] if session in last else -1 for session in sessions]))


def advantages_of_rows(
    rewards: Array, groups: Groups, weights: SplitWeights, rule: AdvantageRule, order: Order
) -> Array:
    """Return the advantages (B,) of all rows; padding, and a response that has none to be compared with, have 0.

    They are those of `paretune.weighting.advantages.combined` times the scale that it leaves, whose batch are here the
    rows of all groups, whatever their sizes.

    Args:
        rewards: Vector rewards (B, K).
        groups: Groups of the rows.
        weights: The weights.
        rule: How one reward becomes advantages.
        order: Order of weighing and normalising.
    """
    advantages_B = np.zeros(len(rewards) + 1)  # the last one is what padding is judged by
    compared = [rows_PG for size, rows_PG in groups.by_size.items() if size > 1]
    for rows_PG in compared:
        advantages_B[rows_PG] = weighed(rewards[rows_PG], weights, rule, order)
    if order == "normalise_first" and compared:
        rows = np.concatenate([rows_PG.ravel() for rows_PG in compared])
        advantages_B[rows] = batch_normalised(advantages_B[rows][None], rule.epsilon)[0]
    return weights.behind * advantages_B[groups.judged_by]
