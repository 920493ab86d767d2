"""Rules that set the objectives' weights while a policy trains.

Nothing here needs torch before it is used: `GradientAnalyzer`, and the strategies that TorchJD solves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from paretune.weighting.archive import ParetoArchive
from paretune.weighting.base import Weighting, Weights
from paretune.weighting.catalog import WEIGHTINGS, make_weighting
from paretune.weighting.gradients.split import Split
from paretune.weighting.gram_estimate import GramEstimate
from paretune.weighting.inputs import Preference, resolve_preference
from paretune.weighting.modifiers import ModifiedWeighting
from paretune.weighting.strategies.ctwa import CTWAWeighting
from paretune.weighting.strategies.dirichlet import RandomWeighting
from paretune.weighting.strategies.fixed import FixedWeighting
from paretune.weighting.strategies.gradient import GradientWeighting
from paretune.weighting.strategies.gramian import GramianWeighting
from paretune.weighting.strategies.hypervolume import HypervolumeWeighting
from paretune.weighting.strategies.hypervolume_gradient import HypervolumeGradientWeighting
from paretune.weighting.strategies.lagrangian import LagrangianWeighting
from paretune.weighting.strategies.rays import RaySweepWeighting
from paretune.weighting.strategies.rays_hypervolume import RaysHypervolumeWeighting
from paretune.weighting.strategies.sa_mrpo import SAMRPOWeighting
from paretune.weighting.strategies.saw import SAWWeighting
from paretune.weighting.strategies.schedule import ScheduleWeighting
from paretune.weighting.strategies.tchebycheff import TchebycheffWeighting

if TYPE_CHECKING:
    from paretune.weighting.gradients.analyzer import GradientAnalyzer

__all__ = [
    "WEIGHTINGS",
    "CTWAWeighting",
    "FixedWeighting",
    "GradientAnalyzer",
    "GradientWeighting",
    "GramEstimate",
    "GramianWeighting",
    "HypervolumeGradientWeighting",
    "HypervolumeWeighting",
    "LagrangianWeighting",
    "ModifiedWeighting",
    "ParetoArchive",
    "Preference",
    "RandomWeighting",
    "RaySweepWeighting",
    "RaysHypervolumeWeighting",
    "SAMRPOWeighting",
    "SAWWeighting",
    "ScheduleWeighting",
    "Split",
    "TchebycheffWeighting",
    "Weighting",
    "Weights",
    "make_weighting",
    "resolve_preference",
]


def __getattr__(name: str) -> Any:
    """Import the gradient analyzer, and torch with it, on first use."""
    if name == "GradientAnalyzer":
        from paretune.weighting.gradients.analyzer import GradientAnalyzer

        return GradientAnalyzer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
