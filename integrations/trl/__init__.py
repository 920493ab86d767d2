"""Every weighting inside TRL's GRPOTrainer and RLOOTrainer: a callback, trainers, and our tasks in TRL's form.

Tested with TRL 1.14 to 1.16. `docs/from_trl.md` shows the change to a script of yours.
"""

try:
    import trl  # noqa: F401
except ImportError as error:
    raise ImportError('paretune.integrations.trl needs the extra "trl": pip install "paretune[trl]"') from error

from paretune.integrations.trl.callback import DynamicWeightingCallback
from paretune.integrations.trl.tasks import prompt_dataset, reward_functions
from paretune.integrations.trl.trainers import MultiObjectiveGRPOTrainer, MultiObjectiveRLOOTrainer

__all__ = [
    "DynamicWeightingCallback",
    "MultiObjectiveGRPOTrainer",
    "MultiObjectiveRLOOTrainer",
    "prompt_dataset",
    "reward_functions",
]
