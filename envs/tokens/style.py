"""Texts that should keep their style: a token is a style, and the text earns what its styles are worth.

Shapes: L positions, V tokens, K objectives.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from paretune.envs.suggest import unknown_name
from paretune.envs.tokens.token_env import Observation, TokenEnv

Shape = Literal["convex", "linear", "concave", "disconnected"]
FLOOR = 0.1
POWERS = {"convex": 0.5, "linear": 1.0, "concave": 2.0}
DISCONNECTED_END = 0.8518328654  # where the last piece of ZDT3's front ends


class StyleEnv(TokenEnv):
    """Texts of one style; the worths of the styles form a front of any shape and size.

    Every token is a style v with a worth h(v) in [0.1, 1]^K; a text earns the mean worth of its tokens, less what it
    pays for each change of style u -> v:

        r_k(t, u, v) = h_k(v) / L - change_cost * max_j |h_j(v) - h_j(u)|,    the second part not at t = 0

    With `change_cost` 1 a change costs every objective all that it could earn any of them. So no change is worth
    while, whatever the discount (sum over the changes before each token, triangle inequality), and the front is that
    of the V constant texts: the non-dominated h(v) * sum_t gamma^t / L. With a smaller cost, texts that change their
    style midway are among the best as well, and the front has far more points.

    Shapes: for barycentric coordinates b of the styles (two objectives: evenly spread on a line; more: corners first,
    then a low-discrepancy sequence), h = 0.1 + 0.9 * b^p with p = 1/2 (convex), 1 (linear) or 2 (concave: fixed
    linear weights reach only its ends). "disconnected" is the front of ZDT3 (Zitzler, Deb and Thiele 2000), for two
    objectives.

    Example:
        >>> env = StyleEnv(vocabulary=3, length=4, shape="linear")
        >>> np.round(env.pareto_front(), 3).tolist()
        [[0.1, 1.0], [0.55, 0.55], [1.0, 0.1]]
        >>> np.round(env.convex_front(), 3).tolist()
        [[0.1, 1.0], [1.0, 0.1]]
    """

    default_objectives: ClassVar[tuple[str, ...]] = ("style_0", "style_1")

    def __init__(
        self,
        vocabulary: int = 64,
        length: int = 32,
        objectives: int = 2,
        *,
        shape: Shape = "convex",
        change_cost: float = 1.0,
        observation: Observation = "one_hot",
        render_mode: str | None = None,
    ) -> None:
        """Make the environment.

        Args:
            vocabulary: V, from max(2, objectives) to 256.
            length: L, from 1 to 64.
            objectives: K, from 2 to 8; they are called style_0, style_1, ...
            shape: "convex", "linear", "concave" or, for two objectives, "disconnected".
            change_cost: What a change of style costs, as a multiple of the largest difference in worth; at least 0.
            observation: "one_hot" or "multi_discrete".
            render_mode: "ansi" or None.

        Raises:
            ValueError: If an argument breaks its rule.
        """
        if not 2 <= objectives <= 8:
            raise ValueError(f"objectives: must be from 2 to 8, got {objectives}")
        if vocabulary < objectives:
            raise ValueError(f"vocabulary: must be at least objectives = {objectives}, got {vocabulary}")
        if length > 64:
            raise ValueError(f"length: must be at most 64, got {length}")
        if shape not in get_args(Shape):
            raise ValueError(unknown_name("shape", shape, get_args(Shape)))
        if shape == "disconnected" and objectives != 2:
            raise ValueError(f"objectives: must be 2 for the shape 'disconnected', got {objectives}")
        if not 0 <= change_cost < np.inf:
            raise ValueError(f"change_cost: must be a finite number of at least 0, got {change_cost}")
        names = [f"style_{k}" for k in range(objectives)]
        super().__init__(
            vocabulary,
            length,
            names,
            low=-change_cost,
            high=1 / max(1, length),
            observation=observation,
            render_mode=render_mode,
        )
        self.shape, self.change_cost = shape, change_cost
        self.worths = worths(vocabulary, objectives, shape)

    def rewards(self, position: Any, last: Any, new: Any) -> NDArray[np.float64]:
        """Return the worth of the new token's style / L, less the cost of a change."""
        worth, before = self.worths[new], self.worths[last]
        change = np.abs(worth - before).max(axis=-1) * (np.asarray(position) > 0)
        return worth / self.length - self.change_cost * change[..., None]


def worths(vocabulary: int, objectives: int, shape: Shape) -> NDArray[np.float64]:
    """Return the worth h (V, K) of each style, in [0.1, 1]."""
    if shape == "disconnected":
        x = np.linspace(0.0, DISCONNECTED_END, vocabulary)
        losses = np.stack([x, 1 - np.sqrt(x) - x * np.sin(10 * np.pi * x)], axis=1)
        points = 1 - (losses - losses.min(axis=0)) / np.ptp(losses, axis=0)
    else:
        points = spread_on_simplex(vocabulary, objectives) ** POWERS[shape]
    return FLOOR + (1 - FLOOR) * points


def spread_on_simplex(number: int, objectives: int) -> NDArray[np.float64]:
    """Return points (number, K) with non-negative coordinates of sum 1: the corners, and others spread among them.

    Two objectives: evenly spaced. More: gaps between sorted coordinates of the sequence n / g, n / g^2, ... mod 1,
    where g^K = g + 1 (Roberts 2018, a generalised golden ratio).
    """
    if objectives == 2:
        x = np.linspace(0.0, 1.0, number)
        return np.stack([x, 1 - x], axis=1)
    ratio = 1.5
    for _ in range(64):
        ratio = (1 + ratio) ** (1 / objectives)
    steps = np.arange(1, number - objectives + 1)[:, None]
    cube = np.sort((0.5 + steps * ratio ** -np.arange(1.0, objectives)) % 1.0, axis=1)
    inner = np.diff(cube, axis=1, prepend=0.0, append=1.0)
    return np.concatenate([np.eye(objectives), inner])
