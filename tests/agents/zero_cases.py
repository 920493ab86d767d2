"""Updates by two processes with DeepSpeed's ZeRO; tests/agents/processes/test_zero.py launches it.

Usage: zero_cases.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from paretune.agents.processes.distributed import Processes
from tests.agents.shared_run import sum_over_gloo
from tests.agents.updates.test_updater import ADVANTAGES, assert_same_weights, some_tokens, updater, weights_after

SETTINGS = {"tokens_per_batch": 20, "minibatches": 4, "max_grad_norm": 0.01, "weight_decay": 0.1}
"""Processes then make different numbers of passes, which read prompts once for several responses or do not."""


def main(folder: Path) -> None:
    """Make an update whose gradient is not finite, and one whose gradient is; write the weights."""
    processes = Processes.launched()
    sum_over_gloo()
    own = np.arange(len(ADVANTAGES))[processes.share(len(ADVANTAGES))]
    tokens = some_tokens().select(own)
    spoiled = np.full((len(own), 1), np.nan if processes.main else 1.0)
    for stage in (1, 2):
        made = updater(processes=processes, zero_stage=stage, **SETTINGS)
        before = {name: value.clone() for name, value in made.policy.model.state_dict().items()}
        with pytest.raises(RuntimeError, match="not finite"):
            made.update(tokens, spoiled, 1.0, 1e-2, np.random.default_rng(0))
        assert_same_weights(before, made.policy.model.state_dict(), atol=0)
        save_file(weights_after(made, tokens, ADVANTAGES[own]), folder / f"zero{stage}-{processes.rank}.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
