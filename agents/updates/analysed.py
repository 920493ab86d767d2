"""Sequences whose gradients were compared, and what their part of an update's gradient can be made from.

Shapes: B sequences of decisions (responses or episodes), T decisions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from paretune.agents.sequences.decisions import Decisions
from paretune.agents.sequences.shared_prompts import GroupedTokens
from paretune.agents.settings import AgentSettings
from paretune.agents.updates.passes import Passes, Rows
from paretune.weighting import GradientAnalyzer
from paretune.weighting.gradients.kept_pass import KeptPass

MOST_PASSES = 4
"""Into how many passes a single one may be split to save memory."""


@dataclass(frozen=True, slots=True)
class Analysed:
    """Sequences whose gradients were compared, with the factors of their gradients.

    Attributes:
        rows: Their numbers, among those of all processes.
        passes: This process's forward passes: places in its decisions, the decisions there, log-probabilities (B, T).
        kept: The passes' factors. Score b is `factor` times sequence b's log-probabilities, weighed as in a loss over
            all sequences; or there is a score for each decision.
        factor: What the scores were multiplied by.
    """

    rows: Rows
    passes: list[tuple[Rows, Decisions, Tensor]]
    kept: KeptPass
    factor: float

    def coefficients(self, advantages: Tensor) -> Tensor | None:
        """Return the scores' coefficients in an update, of all passes, or None if the factors do not suffice for it.

        In shared prompts, only combinations of the objectives' advantages are known.

        Args:
            advantages: Of this process's share of the sequences, (B, 1) or (B, T).
        """
        found = [_coefficients(part, advantages[part_rows]) for part_rows, part, _ in self.passes]
        known = [each for each in found if each is not None]
        if len(known) < len(found):
            return None
        return torch.cat(known) if known else advantages.new_zeros(0)

    def budget_for(self, rest: Decisions, trained: Iterable[Tensor], max_tokens: int) -> int:
        """Return the most tokens of a pass over this process's other sequences, once these ones' gradient is made.

        One pass over all sequences would meet no gradients. What goes through the model after these ones' gradient is
        made does: its passes are so small that the activations which are not there make up for the gradients.

        Args:
            rest: The other sequences.
            trained: The parameters that get gradients.
            max_tokens: Most tokens of a pass anyhow; if all sequences need several passes, some meet gradients anyhow.
        """
        read = sum(part.padding[1] for _, part, _ in self.passes)
        if rest.batch_tokens > max_tokens or read == 0:
            return max_tokens
        gradients = sum(parameter.numel() * parameter.element_size() for parameter in trained)
        saved = sum(int(part.lengths.sum()) for _, part, _ in self.passes)  # shared prompts are read for the rest, too
        excess = gradients * read / self.kept.size - saved  # the kept factors tell what a token takes
        share = max(1 - max(excess, 0) / rest.padding[1], 1 / MOST_PASSES)
        return max_tokens if share == 1 else math.ceil(share * rest.batch_tokens)


def linear(settings: AgentSettings) -> bool:
    """Whether the gradient of an update's loss is linear in the advantages, whatever the policy is.

    One update of the policy that sampled has probability ratios of 1, where a clip range makes no difference.
    """
    return settings.epochs * settings.minibatches == 1 and settings.kl == 0 and settings.entropy == 0


def share_to_keep(passes: Passes, analyzer: GradientAnalyzer, parts: Sequence[Decisions]) -> float:
    """Return about which share of these parts the analyzer can keep factors of that suffice for the update; at most 1.

    They take about twice the memory of their passes' activations: the passes may fill half of one batch. 0: factors
    would not suffice, or are not wanted.
    """
    settings = passes.settings
    useful = (
        settings.gradient_reuse
        and linear(settings)
        and not passes.in_step
        and analyzer.mode != "backward"
        and set(analyzer.parameters.values()) == set(passes.trained)
        and not any(passes.policy.recomputes(part) for part in parts)
    )
    size = 2 * sum(part.padding[1] for part in parts)
    return min(1.0, settings.tokens_per_batch / max(size, 1)) if useful else 0.0


def may_keep(passes: Passes, analyzer: GradientAnalyzer, parts: Sequence[Decisions]) -> bool:
    """Whether factors that an analyzer keeps of these parts suffice for the update, and are wanted."""
    return share_to_keep(passes, analyzer, parts) == 1


def _coefficients(part: Decisions, advantages: Tensor) -> Tensor | None:
    of_scores = advantages[:, 0] if advantages.shape[1] == 1 else advantages[:, : part.mask.shape[1]][part.mask]
    shared = part.shared if isinstance(part, GroupedTokens) else None
    return of_scores if shared is None else shared.coefficients(of_scores)
