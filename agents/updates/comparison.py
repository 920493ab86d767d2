"""The comparison of the objectives' gradients at training steps.

Shapes: B sequences of decisions (responses or episodes), T decisions, K objectives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paretune.agents.seeds import generator
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.sequences.shared_prompts import GroupedTokens
from paretune.agents.updates.analysed import Analysed, Rows
from paretune.agents.updates.updater import Updater
from paretune.weighting import GradientAnalyzer
from paretune.weighting.gradients.compared_responses import drawn, traits
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

    def __init__(self, updater: Updater, analyzer: GradientAnalyzer | None = None) -> None:
        """Compare the gradients of an updater's losses; without an analyzer, with that of its settings."""
        settings, processes = updater.settings, updater.processes
        self._updater = updater
        with updater.policy.gathered():
            self.analyzer = analyzer or GradientAnalyzer(
                updater.policy.model,
                settings.gradient_parameters,
                settings.gradient_mode,
                width=settings.gradient_width,
                seed=settings.seed,
                reduce=None if processes.size == 1 else processes.sum_tensor,
            )
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
        settings = self._updater.settings
        if self.last is not None and step - self.last[0] < settings.gradient_every:
            return self.last[1], None
        rows, weighed = self.drawn(step, decisions, advantages)
        if self.analyzer.sketch is not None:
            self.analyzer.sketch.draw = step
        own = self._updater.processes.share(len(advantages))
        with self._updater.policy.gathered():
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
        settings, processes = self._updater.settings, self._updater.processes
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
        updater, analyzer, single = self._updater, self.analyzer, advantages.shape[1] == 1
        parts, counting = self._parts(decisions, advantages, rows)
        own = sum(len(part_rows) if single else int(part.mask.sum()) for part_rows, part, _ in parts)
        number = sum(updater.processes.gathered(own))
        keep = reuse and not updater.processes.any(not self._may_keep([part for _, part, _ in parts]))
        passes: list[tuple[Rows, Decisions, Tensor]] = []
        for i, (part_rows, part, weights_BT) in enumerate(parts):
            mask = part.mask.cpu().numpy()
            judged_BTK = advantages[part_rows, : mask.shape[1]]
            coefficients = judged_BTK[:, 0] if single else judged_BTK[mask]
            told, shared = _told_apart(part, coefficients)
            with analyzer.watch(part.mask.nonzero()[:, 0] if single else None, keep=keep, shared=shared):
                log_probs_BT = updater.policy.log_probs(told, updater.settings.temperature)
                weighed_BT = log_probs_BT * weights_BT * updater.importance(log_probs_BT, part)
                scores = weighed_BT.sum(1) if single else weighed_BT[part.mask]  # one for each decision
            scores = scores * number  # the analyzer takes the mean of the scores, the loss their sum
            passes.append((part_rows, told, log_probs_BT.detach()))
            if i < len(parts) - 1:
                analyzer.add(scores, coefficients)
        gram_KK = analyzer.gram(scores, coefficients)
        kept = analyzer.kept
        return gram_KK, None if kept is None else Analysed(rows, passes[:counting], kept, number)

    def _parts(
        self, decisions: Decisions, advantages: Array, rows: Rows
    ) -> tuple[list[tuple[Rows, Decisions, Tensor]], int]:
        """Return what goes into each forward pass, as `Updater.micro_batches` has it, and how many passes count."""
        updater, (_, depth, objectives) = self._updater, advantages.shape
        lengths = updater.processes.concatenated(decisions.lengths)
        everything = np.arange(len(lengths))
        places = updater.places(rows, len(lengths))
        if depth == 1 and len(places) and self.analyzer.mode != "backward":
            decisions = updater.policy.arranged(decisions, updater.settings.tokens_per_batch, places, objectives)
        parts = list(updater.micro_batches(decisions, rows, lengths, of=everything))
        return parts or [_weightless(decisions)], len(parts)

    def _may_keep(self, parts: Sequence[Decisions]) -> bool:
        """Whether factors of these passes suffice for the update, and are wanted.

        They take about twice the memory of their passes' activations: the passes may fill half of one batch.
        """
        updater = self._updater
        chosen, trained = set(self.analyzer.parameters.values()), set(updater.trained)
        return (
            updater.settings.gradient_reuse
            and updater.linear
            and not updater.in_step
            and self.analyzer.mode != "backward"
            and chosen == trained
            and 2 * sum(part.padding[1] for part in parts) <= updater.settings.tokens_per_batch
            and not any(updater.policy.recomputes(part) for part in parts)
        )


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
