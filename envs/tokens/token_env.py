"""Texts written token by token, with vector rewards whose exact Pareto front is known.

Shapes: L positions, V tokens, K objectives, N points.
"""

from __future__ import annotations

import string
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space
from numpy.typing import ArrayLike, NDArray

from paretune.envs.suggest import unknown_name
from paretune.envs.tokens.fronts import Points, Prune, best_returns, convex_set, pareto_set

Observation = Literal["one_hot", "multi_discrete"]
MAX_VOCABULARY = 256
SYMBOL_RUNS = (
    string.ascii_lowercase,
    string.ascii_uppercase,
    string.digits,
    string.punctuation,
    "".join(map(chr, range(0x100, 0x1A2))),
)
SYMBOLS = "".join(SYMBOL_RUNS)
"""How tokens are shown: one visible character each, the first 94 of them ASCII."""
PADDING = "\N{MIDDLE DOT}"
"""Shown where a text has no token yet."""


class TokenEnv(gym.Env[NDArray[Any], np.int64], ABC):
    """An agent writes a text of L tokens, one a step; the reward depends on position, last token and new token.

    (position, last token) is therefore a Markov state, and the best returns are computed exactly, for any discount:
    `pareto_front` those of deterministic policies, `convex_front` those of stochastic ones. The first state is
    (0, 0): no token precedes the first, and 0 stands for it. A new task is a subclass that implements `rewards`.

    Attributes:
        default_objectives: Names of the objectives that the task has by default.
        vocabulary: V.
        length: L.
        objectives: The names of the K objectives, in order.
        observation_space: Box(0, 1, (L + 1 + V,), float32), one-hot codes of position and last token side by side; or
            MultiDiscrete([L + 1, V]), the two numbers.
        action_space: Discrete(V), the new token.
        reward_space: Box (K,), float32.
        reward_dim: K.
        symbols: The V characters that tokens are shown as.
        tokens: The text so far.
        render_mode: "ansi" if `render` shows the text and its returns, else None.

    Example:
        >>> class Alternate(TokenEnv):
        ...     def rewards(self, position, last, new):
        ...         return np.stack([new != last, new == 0], axis=-1) / self.length
        >>> env = Alternate(vocabulary=2, length=2, objectives=["varied", "zeros"], low=0.0, high=0.5)
        >>> [point.tolist() for point in env.pareto_front()]
        [[0.0, 1.0], [1.0, 0.5]]
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 (declared so by gymnasium.Env)
    default_objectives: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        vocabulary: int,
        length: int,
        objectives: Sequence[str],
        *,
        low: ArrayLike,
        high: ArrayLike,
        observation: Observation = "one_hot",
        render_mode: str | None = None,
    ) -> None:
        """Set up the spaces.

        Args:
            vocabulary: V, from 2 to 256.
            length: L, at least 1.
            objectives: The names of the K objectives, at least one, all different.
            low: Least reward of a step, a number or (K,).
            high: Largest reward of a step, a number or (K,).
            observation: "one_hot" or "multi_discrete".
            render_mode: "ansi" or None.

        Raises:
            ValueError: If an argument breaks its rule.
        """
        if not 2 <= vocabulary <= MAX_VOCABULARY:
            raise ValueError(f"vocabulary: must be from 2 to {MAX_VOCABULARY}, got {vocabulary}")
        if length < 1:
            raise ValueError(f"length: must be at least 1, got {length}")
        if not objectives or len(set(objectives)) < len(objectives):
            raise ValueError(f"objectives: must be at least one name, all different, got {list(objectives)}")
        if observation not in get_args(Observation):
            raise ValueError(unknown_name("observation", observation, get_args(Observation)))
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode: must be 'ansi' or None, got {render_mode!r}")
        self.vocabulary, self.length = vocabulary, length
        self.objectives = tuple(objectives)
        self.reward_dim = len(self.objectives)
        self.observation = observation
        self.observation_space = observation_space(vocabulary, length, observation)
        self.action_space = Discrete(vocabulary)
        bounds = [np.broadcast_to(np.asarray(x, dtype=np.float32), self.reward_dim) for x in (low, high)]
        self.reward_space = Box(bounds[0], bounds[1], dtype=np.float32)
        self.symbols = SYMBOLS[:vocabulary]
        self.render_mode = render_mode
        self.tokens: list[int] = []
        self._begun = False
        self._fronts: dict[tuple[str, float], Points] = {}

    @abstractmethod
    def rewards(self, position: Any, last: Any, new: Any) -> NDArray[np.float64]:
        """Return the rewards of writing `new` at `position` behind `last`.

        A pure function of integer arrays that broadcast together.

        Args:
            position: 0 to L - 1.
            last: The token before, 0 to V - 1; 0 at position 0.
            new: The new token, 0 to V - 1.

        Returns:
            (..., K).
        """

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an empty text; there is nothing random in it, and there are no options."""
        super().reset(seed=seed)
        if options:
            raise ValueError(unknown_name("option of reset", next(iter(options)), []))
        self.tokens = []
        self._begun = True
        return self._observe(), {}

    def step(self, action: int | np.int64) -> tuple[NDArray[Any], NDArray[np.float32], bool, bool, dict[str, Any]]:
        """Write a token.

        Args:
            action: The token, 0 to V - 1.

        Returns:
            The observation, the rewards (K,), whether the text is complete, False, and {}.

        Raises:
            ResetNeeded: If the text is complete or was not begun.
            ValueError: If there is no such token.
        """
        if not self._begun or len(self.tokens) == self.length:
            raise ResetNeeded("the episode has not begun or is over: call reset() before step()")
        given = np.asarray(action)
        token = int(self.check_tokens("action", given.reshape(()) if given.size == 1 else given, ()))
        reward = self.step_rewards(len(self.tokens), self.tokens[-1] if self.tokens else 0, token)
        self.tokens.append(token)
        return self._observe(), reward, len(self.tokens) == self.length, False, {}

    def check_tokens(self, name: str, tokens: ArrayLike, shape: tuple[int, ...] | None = None) -> NDArray[np.int64]:
        """Return tokens as an int64 array.

        Raises:
            ValueError: If they have not this shape, or one of them is no token; the message calls them `name`.
        """
        array = np.asarray(tokens)
        if shape is not None and array.shape != shape:
            raise ValueError(f"{name}: must have shape {shape}, got {array.shape}")
        known = array.dtype.kind in "iu" and (not array.size or 0 <= array.min() <= array.max() < self.vocabulary)
        if not known:
            raise ValueError(f"{name}: must be a token, an integer from 0 to {self.vocabulary - 1}, got {tokens!r}")
        return array.astype(np.int64)

    def step_rewards(self, position: Any, last: Any, new: Any) -> NDArray[np.float32]:
        """Return `rewards` as agents get them: a fresh float32 array (..., K)."""
        return np.array(self.rewards(position, last, new), dtype=np.float32)

    def returns(self, texts: ArrayLike, gamma: float = 1.0) -> NDArray[np.float64]:
        """Return the discounted returns (..., K) of texts (..., T) of T tokens, complete ones if T = L.

        They are computed in double precision, as the fronts are; the float32 rewards of `step` add up to the same
        within their rounding.

        Raises:
            ValueError: If the texts are longer than L, or hold something that is no token.
        """
        tokens = self.check_tokens("texts", texts)
        length = tokens.shape[-1] if tokens.ndim else 0
        if not 1 <= length <= self.length:
            raise ValueError(f"texts: must have from 1 to {self.length} tokens, got {length}")
        lasts = np.concatenate([np.zeros_like(tokens[..., :1]), tokens[..., :-1]], axis=-1)
        rewards = np.asarray(self.rewards(np.arange(length), lasts, tokens), dtype=np.float64)
        return np.einsum("...tk,t->...k", rewards, gamma ** np.arange(length))

    def pareto_front(self, gamma: float = 1.0) -> list[NDArray[np.float64]]:
        """Return the non-dominated returns (K,) of deterministic policies, exactly, in ascending order.

        Args:
            gamma: Discount, in [0, 1].

        Raises:
            ValueError: If `gamma` is out of range, or the front too large to be computed.
        """
        return self._front("pareto", gamma, pareto_set)

    def convex_front(self, gamma: float = 1.0) -> list[NDArray[np.float64]]:
        """Return the convex coverage set (K,): the corners of what stochastic policies reach, exactly.

        Args:
            gamma: Discount, in [0, 1].

        Raises:
            ValueError: If `gamma` is out of range, or the front too large to be computed.
        """
        return self._front("convex", gamma, convex_set)

    def render(self) -> str | None:
        """Return the text so far and its undiscounted returns; None without render mode."""
        return self.picture(self.tokens) if self.render_mode == "ansi" else None

    def picture(self, tokens: Sequence[int]) -> str:
        """Return the beginning of a text, how far it is, and its undiscounted returns, in one line."""
        returns = self.returns(tokens) if tokens else np.zeros(self.reward_dim)
        text = "".join(self.symbols[token] for token in tokens).ljust(self.length, PADDING)
        values = ", ".join(f"{name} {value:.3f}" for name, value in zip(self.objectives, returns, strict=True))
        return f"{text}  {len(tokens)}/{self.length}  {values}"

    def _observe(self) -> NDArray[Any]:
        last = np.array([self.tokens[-1] if self.tokens else 0])
        return observe(np.array([len(self.tokens)]), last, self.vocabulary, self.length, self.observation)[0]

    def _front(self, kind: str, gamma: float, prune: Prune) -> list[NDArray[np.float64]]:
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma: must be from 0 to 1, got {gamma}")
        if (kind, gamma) not in self._fronts:
            tokens = np.arange(self.vocabulary)
            self._fronts[kind, gamma] = best_returns(
                lambda position, last: np.asarray(self.rewards(position, last, tokens), dtype=np.float64),
                self.vocabulary,
                self.length,
                gamma,
                prune,
            )
        return [point.copy() for point in self._fronts[kind, gamma]]


def observation_space(vocabulary: int, length: int, kind: Observation) -> Space[NDArray[Any]]:
    """Return the space of observations of one environment."""
    if kind == "one_hot":
        return Box(0.0, 1.0, (length + 1 + vocabulary,), np.float32)
    return MultiDiscrete([length + 1, vocabulary])


def observe(
    positions: NDArray[np.int64], lasts: NDArray[np.int64], vocabulary: int, length: int, kind: Observation
) -> NDArray[Any]:
    """Return the observations of N environments from their positions (N,) and last tokens (N,)."""
    if kind == "multi_discrete":
        return np.stack([positions, lasts], axis=1)
    rows = np.arange(len(positions))
    one_hot = np.zeros((len(positions), length + 1 + vocabulary), dtype=np.float32)
    one_hot[rows, positions] = 1.0
    one_hot[rows, length + 1 + lasts] = 1.0
    return one_hot
