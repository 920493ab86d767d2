"""Generated arithmetic and short word problems of settable difficulty."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from paretune.envs.objectives.base import Objective
from paretune.envs.objectives.combining import ObjectiveFunction
from paretune.envs.objectives.defaults import DEFAULT_OBJECTIVES, ConcisenessRule, default_objectives
from paretune.envs.prompts import SPLITS, Prompt, Split
from paretune.envs.text.problems import OPERATIONS, Problem
from paretune.envs.text.response import ResponseEnv, check_split
from paretune.envs.text.word_problems import STORIES

DRAWS = 10_000  # attempts at one more problem before a split counts as used up


class ArithmeticEnv(ResponseEnv):
    """Problems such as `12+7-3=?`, some told as short stories, with answers and running totals of 0 and above.

    The splits are disjoint whatever the seed and the wording: a hash of a problem's numbers and operations decides
    which one it belongs to. Training prompts are drawn without end; what `prompts` returns is fixed, without
    duplicates, and the same in all environments with the same options.

    Example:
        >>> env = ArithmeticEnv(terms=2, largest=99, operations="+")
        >>> [prompt.split for prompt in env.sample_prompts(2, np.random.default_rng(0))]
        ['train', 'train']
    """

    default_objectives = DEFAULT_OBJECTIVES

    def __init__(
        self,
        *,
        terms: int = 3,
        largest: int = 20,
        operations: str = "+-",
        word_problems: float = 0.3,
        held_out: int = 256,
        split: Split = "train",
        max_tokens: int = 64,
        conciseness: ConcisenessRule = "absolute",
        silence_is_concise: bool = False,
        fallback: str = "last_number",
        objectives: Sequence[Objective] | None = None,
        evaluation_only: Sequence[Objective | ObjectiveFunction | str] = (),
        system_prompt: str = "",
        instruction: str = "",
        render_mode: str | None = None,
    ) -> None:
        """Make the environment and its held-out prompts.

        Args:
            terms: How many numbers a problem has, 2 to 6.
            largest: The largest number in a problem, 2 to 1000000; factors are at most 9.
            operations: What happens to the numbers: "+", "-", "*" or several of them; a repeated one is likelier.
            word_problems: The share of problems told as a story, 0 to 1.
            held_out: How many prompts `prompts` returns of each split, 1 to 100000.
            split: The split that `reset` and `sample_prompts` draw from.
            max_tokens: The longest response, in tokens, that a policy should write.
            conciseness: "absolute" is 1 - tokens / max_tokens, "relative" is whether a response is shorter than the
                running mean of all training responses.
            silence_is_concise: Whether a response without a final answer may be concise, as in arXiv 2509.11452.
            fallback: What counts as the final answer of a response without a box.
            objectives: Objectives instead of accuracy, conciseness and clarity.
            evaluation_only: Objectives that evaluations report and training never sees: names of objectives above, such
                as "clarity", or further ones.
            system_prompt: A system message before each problem.
            instruction: A line after each problem.
            render_mode: "ansi" if `render` shows the last prompt, response and rewards, else None.

        Raises:
            ValueError: If an option is out of its range, or if a split has fewer than `held_out` problems.
        """
        _check_range("terms", terms, 2, 6)
        _check_range("largest", largest, 2, 1_000_000)
        _check_range("held_out", held_out, 1, 100_000)
        if not operations or not set(operations) <= OPERATIONS.keys():
            raise ValueError(f"operations: must be one or more of {''.join(OPERATIONS)}, got {operations!r}")
        if not 0 <= word_problems <= 1:
            raise ValueError(f"word_problems: must be from 0 to 1, got {word_problems!r}")
        if objectives is None:
            objectives = default_objectives(max_tokens, fallback, conciseness, silence_is_concise)
        super().__init__(
            objectives, max_tokens=max_tokens, evaluation_only=evaluation_only, split=split, render_mode=render_mode
        )
        self.terms, self.largest, self.operations = terms, largest, operations
        self.word_problems = word_problems
        self.system_prompt, self.instruction = system_prompt, instruction
        self._fixed = {split: self._hold_out(split, held_out) for split in SPLITS}

    def prompts(self, split: Split, limit: int | None = None) -> list[Prompt]:
        """Return `held_out` fixed prompts of a split (the first `limit` of them), no problem twice."""
        return self._fixed[check_split(split)][:limit]

    def sample_prompts(self, n: int, rng: np.random.Generator) -> list[Prompt]:
        """Draw `n` prompts: new ones if the environment's split is train, else out of the fixed ones."""
        if self.split != "train":
            return super().sample_prompts(n, rng)
        return [self._prompt(problem, "train", rng) for problem in self.sample_problems(n, rng)]

    def sample_problems(self, n: int, rng: np.random.Generator) -> list[Problem]:
        """Draw `n` training problems with `rng`, for demonstrations."""
        return [self._draw("train", rng) for _ in range(n)]

    def word(self, problem: Problem, rng: np.random.Generator) -> str:
        """Return a problem as a question: a formula or, in the share `word_problems`, a story."""
        if rng.random() < self.word_problems:
            return STORIES[rng.integers(len(STORIES))].tell(problem.numbers, problem.operations)
        return f"{problem.expression}=?"

    def _prompt(self, problem: Problem, split: Split, rng: np.random.Generator) -> Prompt:
        return Prompt.from_question(
            self.word(problem, rng),
            str(problem.answer),
            split=split,
            system_prompt=self.system_prompt,
            instruction=self.instruction,
        )

    def _draw(self, split: Split, rng: np.random.Generator, used: Collection[Problem] = ()) -> Problem:
        for _ in range(DRAWS):
            problem = Problem.draw(rng, self.terms, self.largest, self.operations)
            if problem is not None and problem.split == split and problem not in used:
                return problem
        raise ValueError(
            f"held_out: must be at most the number of problems in each split, got more than the {len(used)} found for "
            f"{split} with terms={self.terms}, largest={self.largest} and operations={self.operations!r}; lower "
            "held_out, or raise terms or largest"
        )

    def _hold_out(self, split: Split, count: int) -> list[Prompt]:
        rng = np.random.default_rng(SPLITS.index(split))
        problems: dict[Problem, None] = {}
        for _ in range(count):
            problems[self._draw(split, rng, problems)] = None
        return [self._prompt(problem, split, rng) for problem in problems]


def _check_range(name: str, value: int, low: int, high: int) -> None:
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name}: must be a whole number from {low} to {high}, got {value!r}")
