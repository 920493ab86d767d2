"""Every weighting that needs no gradients inside verl's PPO trainer, by the extension points of verl 0.9.1.

Importing this module registers with verl: trainers (`paretune_sync`, `paretune_colocate_async`,
`paretune_separate_async`), advantage estimators (`paretune_grpo`, `paretune_rloo`) and a reward manager (`paretune`).
`VERL_USE_EXTERNAL_MODULES=paretune.integrations.verl` has verl import it in each of its processes.
`docs/from_verl.md` shows the change to a launch command of yours.
"""

try:
    import verl
except ImportError as error:
    raise ImportError('paretune.integrations.verl needs the extra "verl": pip install "paretune[verl]"') from error

if verl.__version__ != "0.9.1":
    raise ImportError(f"paretune.integrations.verl extends the trainers of verl 0.9.1, got verl {verl.__version__}")

from paretune.integrations.verl.estimators import paretune_grpo, paretune_rloo
from paretune.integrations.verl.prompts import prompt_table
from paretune.integrations.verl.rewards import EnvRewardManager
from paretune.integrations.verl.trainers import (
    MultiObjectivePPOTrainerColocateAsync,
    MultiObjectivePPOTrainerSeparateAsync,
    MultiObjectivePPOTrainerSync,
)

__all__ = [
    "EnvRewardManager",
    "MultiObjectivePPOTrainerColocateAsync",
    "MultiObjectivePPOTrainerSeparateAsync",
    "MultiObjectivePPOTrainerSync",
    "paretune_grpo",
    "paretune_rloo",
    "prompt_table",
]
