"""Forward passes over a step's sequences: how they are split up, and what each decision weighs in the loss.

Updates make them, and so does the comparison of the objectives' gradients, which are those of the same loss.

Shapes: B sequences of decisions (responses or episodes), T decisions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from paretune.agents.policies.base import Policy
from paretune.agents.processes.distributed import Processes
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.settings import AgentSettings, LossMean
from paretune.agents.updates.losses import importance_weights, token_weights
from paretune.weighting.gradients.compared_responses import places

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Passes:
    """What goes through the policy, and what it counts for.

    Attributes:
        policy: The policy that is trained.
        settings: The agent's settings.
        loss_mean: Mean over decisions in effect.
        longest: Most decisions of a sequence.
        processes: Those that train together, each on its share of the sequences.
        zero_stage: DeepSpeed's ZeRO stage that the optimizer is in shards by; 0 is none.
    """

    policy: Policy
    settings: AgentSettings
    loss_mean: LossMean
    longest: int
    processes: Processes = field(default_factory=Processes)
    zero_stage: int = 0

    @property
    def trained(self) -> list[nn.Parameter]:
        """The policy's parameters that are trained."""
        return [parameter for parameter in self.policy.model.parameters() if parameter.requires_grad]

    @property
    def in_step(self) -> bool:
        """Whether all processes must make equal numbers of passes, which sum the gradients."""
        return self.policy.sharded or self.zero_stage > 0

    def micro_batches(
        self,
        decisions: Decisions,
        rows: Rows,
        lengths: NDArray[np.int64],
        of: Rows,
        max_tokens: int | None = None,
    ) -> Iterator[tuple[Rows, Decisions, Tensor]]:
        """Yield this process's share of the sequences `rows` in parts, with what each decision weighs in the loss.

        Args:
            decisions: This process's share of all sequences.
            rows: Numbers of sequences, of all processes.
            lengths: Lengths of the sequences of all processes.
            of: The sequences that the loss is a mean over.
            max_tokens: Most tokens of a part; None is what the settings say.

        Yields:
            Places in `decisions`, the decisions there, and their weights.
        """
        for part_rows, counts in self.batches(decisions, self.places(rows, len(lengths)), max_tokens):
            part = decisions.select(part_rows)
            yield part_rows, part, self.weights(part, of, lengths) * counts

    def batches(self, decisions: Decisions, rows: Rows, max_tokens: int | None = None) -> Iterator[tuple[Rows, bool]]:
        """Yield which of the sequences, at the places `rows` in `decisions`, each pass takes, and whether they count.

        Processes that are `in_step` make as many passes as the one that makes most.
        """
        parts = decisions.micro_batches(rows, max_tokens or self.settings.tokens_per_batch)
        number = max(1, *self.processes.gathered(len(parts))) if self.in_step else len(parts)
        yield from ((part_rows, True) for part_rows in parts)
        shortest = np.array([int(decisions.lengths.argmin())])
        yield from ((shortest, False) for _ in range(number - len(parts)))

    def places(self, rows: Rows, number: int) -> Rows:
        """Return where those of the sequences `rows` that this process has, of `number` in all, are in its share."""
        return places(rows, self.processes.share(number))

    def weights(self, part: Decisions, of: Rows, lengths: NDArray[np.int64]) -> Tensor:
        """Return what each decision (B, T) of a part weighs in the loss over the sequences `of`."""
        return token_weights(part.mask, self.loss_mean, len(of), int(lengths[of].sum()), self.longest)

    def importance(self, log_probs: Tensor, part: Decisions) -> Tensor | float:
        """Return what corrects the loss for the sampler's own probabilities (B, T); 1 without a correction."""
        cap = self.settings.importance_cap
        return 1.0 if cap is None else importance_weights(log_probs, part.log_probs, cap)
