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
from paretune.agents.updates.analysed import Analysed, may_keep, share_to_keep
from paretune.agents.updates.passes import Passes, Rows
from paretune.weighting import GradientAnalyzer
from paretune.weighting.gradients.compared_responses import default_number, drawn, traits
from paretune.weighting.gradients.comparison import Part, gram_of_parts
from paretune.weighting.gradients.gram_sum import widest
from paretune.weighting.gradients.shared_rows import SharedRows
from paretune.weighting.gradients.split import PARTS, Split
from paretune.weighting.gram_estimate import GramEstimate, estimate_of_parts

Array = NDArray[np.float64]
Found = Array | GramEstimate

MARGIN = 0.9
"""How many of the sequences that would fill the passes on average are drawn: long ones are drawn more often."""


class GradientComparison:
    """Compares the gradients of a step's loss, one for each objective, and leaves over what the update can use.

    Where all trained parameters are analysed, the loss is linear in the advantages, and the sequences that are analysed
    fill no more than half a forward pass (tokens_per_batch), the passes' factors are kept until the update. The update
    then costs a third of its usual time for these sequences.

    Attributes:
        analyzer: Of the policy's model.
        last: When gradients were compared last: before how many steps, and what was found.
    """

    def __init__(self, passes: Passes, analyzer: GradientAnalyzer) -> None:
        """Compare the gradients of the loss that these passes have."""
        self._passes, self.analyzer = passes, analyzer
        self.last: tuple[int, Found] | None = None

    def at(self, step: int, decisions: Decisions, advantages: Array, reuse: bool) -> tuple[Found, Analysed | None]:
        """Return the Gram matrix for a step, or the last one that `gradient_every` holds.

        Args:
            step: Number of steps done.
            decisions: B sequences of decisions, this process's share.
            advantages: The objectives' advantages, (B, 1, K) or (B, T, K), of all processes.
            reuse: Whether the update may use what is left over.

        Returns:
            An estimate of the matrix or, with gradient_estimate="batch", the batch's own (K, K); and what is left over
            for the update, if anything.
        """
        passes = self._passes
        if self.last is not None and step - self.last[0] < passes.settings.gradient_every:
            return self.last[1], None
        self.analyzer.redraw(step)
        own = passes.processes.share(len(advantages))
        with passes.policy.gathered():
            rows, weighed, split = self.drawn(step, decisions, advantages)
            products, analysed = self.compare(decisions, weighed[own], rows, reuse, split)
        found = products if split is None else estimate_of_parts(products, split.shares)
        self.last = step, found
        return found, analysed

    def drawn(self, step: int, decisions: Decisions, advantages: Array) -> tuple[Rows, Array, Split | None]:
        """Draw the sequences that are analysed, see `paretune.weighting.gradients.compared_responses`.

        Args:
            step: Number of the step, which the draw depends on.
            decisions: B sequences of decisions, this process's share.
            advantages: The objectives' advantages, (B, 1, K) or (B, T, K), of all processes.

        Returns:
            The sequences' numbers among those of all processes, advantages with which they stand for all, and the parts
            that all sequences are in.
        """
        settings, processes = self._passes.settings, self._passes.processes
        own_BTK = advantages[processes.share(len(advantages)), : decisions.mask.shape[1]]
        number = settings.gradient_responses or self._default_number(decisions, own_BTK)
        split = self._split(step, len(advantages), number)
        own_B4 = traits(own_BTK, decisions.log_probs.cpu().numpy(), decisions.mask.cpu().numpy())
        rng = generator(settings.seed, step, "gradient responses")
        rows, factors_B = drawn(processes.concatenated(own_B4), number, rng, split)
        return rows, advantages * factors_B[:, None, None], split

    def _split(self, step: int, sequences: int, number: int) -> Split | None:
        settings = self._passes.settings
        if settings.gradient_estimate == "batch":
            return None
        parts = settings.gradient_parts or (2 if self.analyzer.mode == "backward" else PARTS)
        rng = generator(settings.seed, step, "gradient parts")
        return Split.of_groups(sequences // settings.group_size, settings.group_size, min(parts, number), rng)

    def _default_number(self, decisions: Decisions, advantages: Array) -> int:
        """Return as many as the update can use the passes of; advantages are this process's share."""
        processes = self._passes.processes
        number = sum(processes.gathered(len(advantages)))
        parts, _ = self._parts(decisions, advantages, np.arange(number))
        share = min(processes.gathered(share_to_keep(self._passes, self.analyzer, [part for _, part, _ in parts])))
        return number if share == 1 else max(default_number(number), int(MARGIN * share * number))

    def compare(
        self,
        decisions: Decisions,
        advantages: Array,
        rows: Rows,
        reuse: bool = False,
        split: Split | None = None,
    ) -> tuple[Array, Analysed | None]:
        """Return the Gram matrix of what the sequences `rows` add to the objectives' policy gradients.

        Args:
            decisions: B sequences of decisions, this process's share.
            advantages: The objectives' advantages of the same sequences, (B, 1, K) or (B, T, K).
            rows: The sequences that are analysed, by their numbers among those of all processes.
            reuse: Whether the update may use what is left over.
            split: The parts that the sequences of all processes are in.

        Returns:
            The matrix, (K, K) or with a split (S * K, S * K), and what is left over for the update, if anything.
        """
        passes, single = self._passes, advantages.shape[1] == 1
        parts, counting = self._parts(decisions, advantages, rows)
        own = sum(len(part_rows) if single else int(part.mask.sum()) for part_rows, part, _ in parts)
        number = sum(passes.processes.gathered(own))
        keep = reuse and not passes.processes.any(not may_keep(passes, self.analyzer, [part for _, part, _ in parts]))
        own_split = None if split is None else split.select(passes.processes.share(len(split.of)))
        scored: list[tuple[Rows, Decisions, Tensor]] = []

        def scored_part(part_rows: Rows, part: Decisions, weights_BT: Tensor) -> Part:
            mask = part.mask.cpu().numpy()
            judged_BTK = advantages[part_rows, : mask.shape[1]]
            coefficients = judged_BTK[:, 0] if single else judged_BTK[mask]  # a score for each sequence, or decision
            part_split = None if own_split is None else own_split.select(part_rows)
            told, shared = _told_apart(part, coefficients, part_split)
            if part_split is not None and not single:
                part_split = part_split.select(mask.nonzero()[0])

            def score() -> Tensor:
                log_probs_BT = passes.policy.log_probs(told, passes.settings.temperature)
                scored.append((part_rows, told, log_probs_BT.detach()))
                weighed_BT = log_probs_BT * weights_BT * passes.importance(log_probs_BT, part)
                scores = weighed_BT.sum(1) if single else weighed_BT[part.mask]
                return scores * number  # the analyzer takes the mean of the scores, the loss their sum

            return Part(score, coefficients, part.mask.nonzero()[:, 0] if single else None, shared, part_split)

        gram = gram_of_parts(self.analyzer, [scored_part(*each) for each in parts], keep=keep)
        kept = self.analyzer.kept
        return gram, None if kept is None else Analysed(rows, scored[:counting], kept, number)

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


def _told_apart(part: Decisions, advantages: Array, split: Split | None) -> tuple[Decisions, SharedRows | None]:
    """Return what the policy is to score so that objectives with advantages (B, K) are told apart in shared prompts."""
    if not isinstance(part, GroupedTokens):
        return part, None
    told = part.told_apart(torch.as_tensor(advantages, dtype=widest(part.mask.device), device=part.mask.device), split)
    return told, told.shared


def _weightless(decisions: Decisions) -> tuple[Rows, Decisions, Tensor]:
    """Return one sequence that counts for nothing: what a process analyses whose share holds none that counts."""
    rows = np.zeros(1, dtype=np.int64)
    part = decisions.select(rows)
    return rows, part, torch.zeros(part.mask.shape, device=part.mask.device)
