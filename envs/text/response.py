"""Text-generation tasks as one-step MO-Gymnasium environments.

Shapes: B responses, K objectives.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box

from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.objectives.combining import ObjectiveFunction, as_objective, evaluate
from paretune.envs.objectives.conciseness import estimate_tokens
from paretune.envs.prompts import SPLITS, Prompt, Response, Split, as_prompts
from paretune.envs.suggest import unknown_name
from paretune.envs.text.spaces import UnicodeText

MAX_PROMPT_CHARS = 100_000
MAX_RESPONSE_CHARS = 1_000_000


class ResponseEnv(gym.Env[str, str], ABC):
    """One step: the observation is a prompt, the action a response, the reward a vector in [0, 1]^K.

    Agents that work in batches use the doors `sample_prompts` and `score`; `step` goes through `score` as well. A new
    task is a subclass that implements `prompts`, and `sample_prompts` if its training prompts are not a fixed list.

    Attributes:
        default_objectives: Names of the objectives that the task has unless it is given others.
        objectives: The names of the K objectives, in order.
        evaluation_only: The names of the M objectives that evaluations report besides; no reward has them.
        observation_space: The prompts' texts, `UnicodeText`.
        action_space: The responses, `UnicodeText`.
        reward_space: Box(0, 1, (K,), float32).
        reward_dim: K.
        max_tokens: The longest response, in tokens, that a policy should write; conciseness is measured against it.
        split: The split that `reset` and `sample_prompts` draw from.
        render_mode: "ansi" if `render` shows the last prompt, response and rewards, else None.

    Example:
        >>> from paretune.envs.objectives.clarity import Clarity
        >>> class OneQuestion(ResponseEnv):
        ...     def __init__(self, **options):
        ...         super().__init__(objectives=[Clarity()], max_tokens=64, **options)
        ...
        ...     def prompts(self, split, limit=None):
        ...         return [Prompt.from_question("What is 2 + 3?", "5", split=split)][:limit]
        >>> env = OneQuestion()
        >>> env.score(["What is 2 + 3?"], ["5"]).tolist()
        [[0.0]]
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 1}  # noqa: RUF012 (declared so by gymnasium.Env)
    default_objectives: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        objectives: Sequence[Objective | ObjectiveFunction],
        *,
        max_tokens: int,
        evaluation_only: Sequence[Objective | ObjectiveFunction | str] = (),
        split: Split = "train",
        render_mode: str | None = None,
        max_prompt_chars: int = MAX_PROMPT_CHARS,
        max_response_chars: int = MAX_RESPONSE_CHARS,
    ) -> None:
        """Set up spaces and objectives.

        Args:
            objectives: The K objectives or named functions, at least one, with names of their own.
            max_tokens: The longest response, in tokens, that a policy should write, at least 1.
            evaluation_only: M more objectives, which evaluations report and training never sees; the name of one of
                `objectives` takes that one out of them.
            split: The split that `reset` and `sample_prompts` draw from.
            render_mode: "ansi" or None.
            max_prompt_chars: Longest observation in characters.
            max_response_chars: Longest action in characters; `step` refuses longer ones, `score` takes any length.

        Raises:
            ValueError: If an argument breaks its rule.
        """
        self._objectives, self._evaluation_only = _divided(objectives, evaluation_only)
        names, others = (tuple(one.name for one in each) for each in (self._objectives, self._evaluation_only))
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"objectives: must be at least one, each with a name of its own, got the names {list(names)}"
            )
        if len({*names, *others}) < len(names) + len(others):
            raise ValueError(
                f"evaluation_only: must each have a name that no other objective has, got {list(others)} besides the "
                f"objectives {list(names)}"
            )
        if max_tokens < 1:
            raise ValueError(f"max_tokens: must be at least 1, got {max_tokens}")
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode: must be 'ansi' or None, got {render_mode!r}")
        self.objectives = names
        self.evaluation_only = others
        self.reward_dim = len(names)
        self.reward_space = Box(0.0, 1.0, (self.reward_dim,), np.float32)
        self.observation_space = UnicodeText(max_prompt_chars)
        self.action_space = UnicodeText(max_response_chars)
        self.max_tokens = max_tokens
        self.split = check_split(split)
        self.render_mode = render_mode
        self._current: Prompt | None = None
        self._picture = ""
        self._awaits_response = False

    @abstractmethod
    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        """Return the fixed prompts of a split (the first `limit` of them): what policies are evaluated on.

        Raises:
            ValueError: If there is no such split.
        """

    def sample_prompts(self, n: int, rng: np.random.Generator) -> list[Prompt]:
        """Draw `n` prompts of the environment's split with `rng`.

        Prompts are drawn from the fixed list without replacement, which starts over each time the list is used up.
        """
        prompts = self.prompts(self.split)
        passes, rest = divmod(n, len(prompts))
        orders = [rng.permutation(len(prompts)) for _ in range(passes)]
        orders.append(rng.choice(len(prompts), size=rest, replace=False))
        return [prompts[index] for index in np.concatenate(orders)]

    def score(self, prompts: Sequence[Prompt | str], responses: Sequence[str]) -> Scores:
        """Return the rewards of responses.

        Args:
            prompts: B prompts; a plain string is a prompt without a reference answer.
            responses: B responses of any length, one per prompt; plain strings, or `Response` with a token count.

        Returns:
            Rewards in [0, 1], shape (B, K), float32, freshly allocated.

        Raises:
            ValueError: If the lengths differ, or an objective breaks its contract.
        """
        return self._scores(self._objectives, prompts, responses)

    def report(self, prompts: Sequence[Prompt | str], responses: Sequence[str]) -> Scores:
        """Return what responses score in the objectives for evaluation only, shape (B, M); else like `score`."""
        return self._scores(self._evaluation_only, prompts, responses)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Draw a prompt.

        Args:
            seed: Seed of the prompts from here on; None continues.
            options: {"prompt": Prompt or str} sets the prompt.

        Returns:
            The prompt's text, and {"messages": the same as chat messages, "split": the prompt's split}.

        Raises:
            ValueError: If an option is unknown, or the prompt is not in the observation space.
        """
        super().reset(seed=seed)
        options = options or {}
        if unknown := [name for name in options if name != "prompt"]:
            raise ValueError(unknown_name("option of reset", unknown[0], ["prompt"]))
        prompt = options["prompt"] if "prompt" in options else self.sample_prompts(1, self.np_random)[0]
        if not isinstance(prompt, Prompt | str):
            raise ValueError(f"options['prompt']: must be a Prompt or a str, got {type(prompt).__name__}")
        [self._current] = as_prompts([prompt])
        text = self._current.text
        if text not in self.observation_space:
            raise ValueError(f"prompt: must be in {self.observation_space}, got {len(text)} characters")
        self._picture = f"prompt:\n{text}\n"
        self._awaits_response = True
        return text, {"messages": [dict(message) for message in self._current.messages], "split": self._current.split}

    def step(self, action: str) -> tuple[str, Scores, bool, bool, dict[str, Any]]:
        """Score the response to the current prompt; the episode ends.

        Args:
            action: The response, at most `max_response_chars` characters.

        Returns:
            The prompt's text again, the rewards (K,), True, False, and {"answer": the reference answer, "tokens": the
            response's length in tokens (an estimate if it does not know it), "objectives": the rewards by name}.

        Raises:
            ResetNeeded: If there is no prompt to respond to.
            ValueError: If the action is not in the action space.
        """
        if self._current is None or not self._awaits_response:
            raise ResetNeeded("the episode has not begun or is over: call reset() before step()")
        if action not in self.action_space:
            size = f"{len(action)} characters" if isinstance(action, str) else type(action).__name__
            raise ValueError(f"action: must be a str in {self.action_space}, got {size}")
        [rewards] = self.score([self._current], [action])
        self._awaits_response = False
        by_name = dict(zip(self.objectives, rewards.tolist(), strict=True))
        self._picture += f"response:\n{action}\nrewards: " + ", ".join(f"{k} {v:.3f}" for k, v in by_name.items())
        known = action.tokens if isinstance(action, Response) else None
        tokens = estimate_tokens(action) if known is None else known
        info = {"answer": self._current.answer, "tokens": tokens, "objectives": by_name}
        return self._current.text, rewards, True, False, info

    def render(self) -> str | None:
        """Return the current prompt and, once there are any, the response and its rewards; None without render mode."""
        return self._picture if self.render_mode == "ansi" else None

    def counts(self) -> dict[str, int]:
        """Return running counts that objectives keep, such as `accuracy/undecided`, since the environment was made."""
        return {name: count for objective in self._objectives for name, count in objective.counts().items()}

    def state_dict(self) -> dict[str, Any]:
        """Return what the objectives have learned from training responses, JSON-able, by the objectives' names."""
        return {objective.name: objective.state_dict() for objective in self._objectives}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            ValueError: If the state is that of other objectives.
        """
        if set(state) != set(self.objectives):
            raise ValueError(f"state: must be of the objectives {list(self.objectives)}, got that of {list(state)}")
        for objective in self._objectives:
            objective.load_state_dict(state[objective.name])

    def close(self) -> None:
        """End the worker processes of the objectives; they start again when needed."""
        for objective in self._objectives + self._evaluation_only:
            objective.close()

    @staticmethod
    def _scores(objectives: Sequence[Objective], prompts: Sequence[Prompt | str], responses: Sequence[str]) -> Scores:
        if len(prompts) != len(responses):
            raise ValueError(f"responses: must be one for each of {len(prompts)} prompts, got {len(responses)}")
        if len(responses) == 0 or not objectives:
            return np.zeros((len(responses), len(objectives)), dtype=np.float32)
        rewards_BK = evaluate(objectives, as_prompts(prompts), responses)
        outside_BK = ~((rewards_BK >= 0) & (rewards_BK <= 1))  # true for NaN as well
        if outside_BK.any():
            b, k = np.argwhere(outside_BK)[0]
            raise ValueError(f"objective {objectives[k].name!r}: must return numbers in [0, 1], got {rewards_BK[b, k]}")
        return rewards_BK


def _divided(
    objectives: Sequence[Objective | ObjectiveFunction],
    evaluation_only: Sequence[Objective | ObjectiveFunction | str],
) -> tuple[tuple[Objective, ...], tuple[Objective, ...]]:
    """Return the objectives that rewards are made of, and those for evaluation only.

    Raises:
        ValueError: If a name is that of no objective.
    """
    given = {objective.name: objective for objective in map(as_objective, objectives)}
    named = [each for each in evaluation_only if isinstance(each, str)]
    for name in named:
        if name not in given:
            raise ValueError(unknown_name("objective in evaluation_only", name, given))
    others = (given[each] if isinstance(each, str) else as_objective(each) for each in evaluation_only)
    return tuple(one for one in map(as_objective, objectives) if one.name not in named), tuple(others)


def check_split(split: str) -> Split:
    """Return `split` if it is the name of a split.

    Raises:
        ValueError: If it is not; the message holds the nearest name.
    """
    for known in SPLITS:
        if split == known:
            return known
    raise ValueError(unknown_name("split", split, SPLITS))
