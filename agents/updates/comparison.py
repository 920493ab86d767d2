"""The comparison of the objectives' gradients at training steps.

Shapes: B sequences of decisions (responses or episodes), T decisions, K objectives.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paretune.agents.seeds import generator
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.sequences.shared_prompts import GroupedTokens
from paretune.agents.updates.analysed import Analysed, may_keep
from paretune.agents.updates.passes import Passes, Rows
from paretune.weighting import GradientAnalyzer
from paretune.weighting.gradients.compared_responses import drawn, traits
from paretune.weighting.gradients.comparison import Part, gram_of_parts
from paretune.weighting.gradients.gram_sum import widest
from paretune.weighting.gradients.shared_rows import SharedRows

Array = NDArray[np.float64]


class GradientComparison:
    """Compares the gradients of a step's loss, one for each objective, and leaves over what the update can use.

    Where all trained parameters are analysed, the loss is linear in the advantages, and the sequences that are analysed
    fill no more than half a forward pass (tokens_per_batch), the passes' factors are kept until the update. The update
    then costs a third of its usual time for these sequences.

    Attributes:
        analyzer: Of the policy's model.
        last: When gradients were compared last: before how many steps, and their Gram matrix (K, K).
    """

    def __init__(self, passes: Passes, analyzer: GradientAnalyzer) -> None:
        """Compare the gradients of the loss that these passes have."""
        self._passes, self.analyzer = passes, analyzer
        self.last: tuple[int, Array] | None = None

    def at(self, step: int, decisions: Decisions, advantages: Array, reuse: bool) -> tuple[Array, Analysed | None]:
        """Return the Gram matrix (K, K) for a step, or the last one that `gradient_every` holds.

        Args:
            step: Number of steps done.
            decisions: B sequences of decisions, this process's share.
            advantages: The objectives' advantages, (B, 1, K) or (B, T, K), of all processes.
            reuse: Whether the update may use what is left over.

        Returns:
            The matrix, and what is left over for the update, if anything.
        """
        passes = self._passes
        if self.last is not None and step - self.last[0] < passes.settings.gradient_every:
            return self.last[1], None
        rows, weighed = self.drawn(step, decisions, advantages)
        self.analyzer.redraw(step)
        with passes.policy.gathered():
            own = passes.processes.share(len(advantages))
            gram_KK, analysed = self.compare(decisions, weighed[own], rows, reuse)
        self.last = step, gram_KK
        return gram_KK, analysed

    def drawn(self, step: int, decisions: Decisions, advantages: Array) -> tuple[Rows, Array]:
        """Draw the sequences that are analysed, see `paretune.weighting.gradients.compared_responses`.

        Args:
            step: Number of the step, which the draw depends on.
            decisions: B sequences of decisions, this process's share.
            advantages: The objectives' advantages, (B, 1, K) or (B, T, K), of all processes.

        Returns:
            The sequences' numbers among those of all processes, and advantages with which they stand for all.
        """
        settings, processes = self._passes.settings, self._passes.processes
        own_BTK = advantages[processes.share(len(advantages)), : decisions.mask.shape[1]]
        own_B4 = traits(own_BTK, decisions.log_probs.cpu().numpy(), decisions.mask.cpu().numpy())
        rng = generator(settings.seed, step, "gradient responses")
        rows, factors_B = drawn(processes.concatenated(own_B4), settings.gradient_responses, rng)
        return rows, advantages * factors_B[:, None, None]

    def compare(
        self, decisions: Decisions, advantages: Array, rows: Rows, reuse: bool = False
    ) -> tuple[Array, Analysed | None]:
        """Return the Gram matrix (K, K) of what the sequences `rows` add to the objectives' policy gradients.

        Args:
            decisions: B sequences of decisions, this process's share.
            advantages: The objectives' advantages of the same sequences, (B, 1, K) or (B, T, K).
            rows: The sequences that are analysed, by their numbers among those of all processes.
            reuse: Whether the update may use what is left over.

        Returns:
            The matrix, and what is left over for the update, if anything.
        """
        passes, single = self._passes, advantages.shape[1] == 1
        parts, counting = self._parts(decisions, advantages, rows)
        own = sum(len(part_rows) if single else int(part.mask.sum()) for part_rows, part, _ in parts)
        number = sum(passes.processes.gathered(own))
        keep = reuse and not passes.processes.any(not may_keep(passes, self.analyzer, [part for _, part, _ in parts]))
        scored: list[tuple[Rows, Decisions, Tensor]] = []

        def scored_part(part_rows: Rows, part: Decisions, weights_BT: Tensor) -> Part:
            mask = part.mask.cpu().numpy()
            judged_BTK = advantages[part_rows, : mask.shape[1]]
            coefficients = judged_BTK[:, 0] if single else judged_BTK[mask]  # a score for each sequence, or decision
            told, shared = _told_apart(part, coefficients)

            def score() -> Tensor:
                log_probs_BT = passes.policy.log_probs(told, passes.settings.temperature)
                scored.append((part_rows, told, log_probs_BT.detach()))
                weighed_BT = log_probs_BT * weights_BT * passes.importance(log_probs_BT, part)
                scores = weighed_BT.sum(1) if single else weighed_BT[part.mask]
                return scores * number  # the analyzer takes the mean of the scores, the loss their sum

            return Part(score, coefficients, part.mask.nonzero()[:, 0] if single else None, shared)

        gram_KK = gram_of_parts(self.analyzer, [scored_part(*each) for each in parts], keep=keep)
        kept = self.analyzer.kept
        return gram_KK, None if kept is None else Analysed(rows, scored[:counting], kept, number)

    def _parts(
        self, decisions: Decisions, advantages: Array, rows: Rows
    ) -> tuple[list[tuple[Rows, Decisions, Tensor]], int]:
        """Return what goes into each forward pass, as `Passes.micro_batches` has it, and how many passes count."""
        passes, (_, depth, objectives) = self._passes, advantages.shape
        lengths = passes.processes.concatenated(decisions.lengths)
        everything = np.arange(len(lengths))
        places = passes.places(rows, len(lengths))
        if depth == 1 and len(places) and self.analyzer.mode != "backward":
            decisions = passes.policy.arranged(decisions, passes.settings.tokens_per_batch, places, objectives)
        parts = list(passes.micro_batches(decisions, rows, lengths, of=everything))
        return parts or [_weightless(decisions)], len(parts)


def _told_apart(part: Decisions, advantages: Array) -> tuple[Decisions, SharedRows | None]:
    """Return what the policy is to score so that objectives with advantages (B, K) are told apart in shared prompts."""
    if not isinstance(part, GroupedTokens):
        return part, None
    told = part.told_apart(torch.as_tensor(advantages, dtype=widest(part.mask.device), device=part.mask.device))
    return told, told.shared


def _weightless(decisions: Decisions) -> tuple[Rows, Decisions, Tensor]:
    """Return one sequence that counts for nothing: what a process analyses whose share holds none that counts."""
    rows = np.zeros(1, dtype=np.int64)
    part = decisions.select(rows)
    return rows, part, torch.zeros(part.mask.shape, device=part.mask.device)
