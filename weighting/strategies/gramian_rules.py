"""The rules of Jacobian descent that need the Gram matrix only, one strategy each; `gramian` says what they share.

Left out of TorchJD's: those that take no Gram matrix (constant and random weights, ConFIG, GradDrop, trimmed mean,
ExcessMTL, MoDo, SDMGrad), Krum (made against hostile gradients, for many of them), and CR-MOGM, a moving average,
which every strategy has as the option `average`. Shapes: K objectives, A of them with a gradient.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from paretune.weighting.base import Weights
from paretune.weighting.inputs import require
from paretune.weighting.strategies.gramian import GramianWeighting, ShuffledGramianWeighting

if TYPE_CHECKING:
    from torchjd.aggregation import Weighting as Rule


@cache
def projector() -> Any:
    """Return TorchJD's projection onto the dual cone, solved without its regularisation and without quadprog.

    It minimises v' G v over v >= u. With G = R' R and v = u + z that is |R z + R u| over z >= 0: non-negative least
    squares.
    """
    import torch
    from scipy.optimize import nnls
    from torchjd.linalg import DualConeProjector

    class NonNegativeLeastSquares(DualConeProjector):
        def __call__(self, U: torch.Tensor, G: Any) -> torch.Tensor:
            values_A, vectors_AA = np.linalg.eigh(G.numpy())
            root_AA = np.sqrt(np.maximum(values_A, 0.0))[:, None] * vectors_AA.T
            rows = [u + nnls(root_AA, -root_AA @ u)[0] for u in np.atleast_2d(U.numpy())]
            return torch.from_numpy(np.stack(rows)).reshape(U.shape)

    return NonNegativeLeastSquares()


def tensor_of(preference: Weights) -> Any:
    """Return preferences (A,) as a tensor."""
    import torch

    return torch.from_numpy(preference.copy())


class UPGradWeighting(GramianWeighting):
    """Each gradient is turned until it hurts no objective, then they are added with the preference as weights.

    The combined step hurts no objective: M w >= 0 (Quinton and Rey 2024).
    """

    name = "upgrad"
    when = "No objective may lose at any step, and the preference should count among the steps that allow that."
    paper = "https://arxiv.org/abs/2406.16232"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's UPGrad with a preference vector."""
        from torchjd.aggregation import UPGradWeighting as UPGrad

        return UPGrad(tensor_of(preference), projector())


class DualProjWeighting(GramianWeighting):
    """The step nearest to that of the preference among those that hurt no objective: M w >= 0.

    It is Equation 11 of Gradient Episodic Memory (Lopez-Paz and Ranzato 2017).
    """

    name = "dualproj"
    when = "You want the preference's own step, changed only as far as is needed for no objective to lose."
    paper = "https://arxiv.org/abs/1706.08840"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's DualProj with a preference vector."""
        from torchjd.aggregation import DualProjWeighting as DualProj

        return DualProj(tensor_of(preference), projector())


@dataclass(eq=False)
class MGDAWeighting(GramianWeighting):
    """The shortest of all weighted means of the gradients, which improves all objectives alike (Désidéri 2012).

    Solved by Frank-Wolfe steps (Sener and Koltun 2018). Objectives with small gradients get the large weights.
    """

    _: KW_ONLY

    epsilon: float = 0.001
    """Length of a Frank-Wolfe step, as a share of the way, below which the search ends; above 0."""

    max_iters: int = 100
    """Most Frank-Wolfe steps that are taken for one matrix; at least 1."""

    name = "mgda"
    when = "All objectives should improve together, even at the pace of the slowest."
    paper = "https://arxiv.org/abs/1810.04650"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's MGDA."""
        from torchjd.aggregation import MGDAWeighting as MGDA

        return MGDA(self.epsilon, self.max_iters)


class PCGradWeighting(ShuffledGramianWeighting):
    """Each gradient loses its part against every other that it conflicts with, then they are added (Yu et al. 2020)."""

    name = "pcgrad"
    when = "You want conflicts between pairs of objectives out of the way, and nothing to set."
    paper = "https://arxiv.org/abs/2001.06782"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's PCGrad."""
        from torchjd.aggregation import PCGradWeighting as PCGrad

        return PCGrad()


@dataclass(eq=False)
class GradVacWeighting(ShuffledGramianWeighting):
    """Like PCGrad, but pairs are turned towards the cosine similarity that they had so far (Wang et al. 2021)."""

    _: KW_ONLY

    beta: float = 0.5
    """Weight of the present similarity in the moving average of each pair of objectives, from 0 to 1."""

    name = "gradvac"
    when = "Pairs of objectives usually agree to some degree, and steps should keep to that."
    paper = "https://arxiv.org/abs/2010.05874"
    stateful = True

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's GradVac."""
        from torchjd.aggregation import GradVacWeighting as GradVac

        return GradVac(self.beta)


@dataclass(eq=False)
class CAGradWeighting(GramianWeighting):
    """The step near the mean gradient on which the objective that gains least gains most (Liu et al. 2021)."""

    _: KW_ONLY

    c: float = 0.5
    """How far the step may be from the mean gradient, as a multiple of that one's length; 0 is the mean itself."""

    name = "cagrad"
    when = "You want the mean of the objectives to improve, with an eye on the one that gains least."
    paper = "https://arxiv.org/abs/2110.14048"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's CAGrad."""
        from torchjd.aggregation import CAGradWeighting as CAGrad

        require("c", self.c, 0 <= self.c < math.inf, "a finite number of at least 0")
        return CAGrad(self.c)


class IMTLGWeighting(GramianWeighting):
    """The step whose projections onto all gradients have the same length (Liu et al. 2021, "Impartial")."""

    name = "imtl-g"
    when = "Every objective should gain the same relative to the length of its gradient."
    paper = "https://discovery.ucl.ac.uk/id/eprint/10120667/"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's IMTL-G."""
        from torchjd.aggregation import IMTLGWeighting as IMTLG

        return IMTLG()


class AlignedMTLWeighting(GramianWeighting):
    """The preference applied to gradients made orthogonal and of one length (Senushkin et al. 2023).

    Which length (TorchJD's `scale_mode`) does not change the direction, which alone counts here.
    """

    name = "aligned-mtl"
    when = "Gradients are nearly dependent or of very different lengths, and you have a preference."
    paper = "https://arxiv.org/abs/2305.19000"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's Aligned-MTL with a preference vector."""
        from torchjd.aggregation import AlignedMTLWeighting as AlignedMTL

        return AlignedMTL(tensor_of(preference))


@dataclass(eq=False)
class FairGradWeighting(GramianWeighting):
    """alpha-fair progress: (M w)_k = w_k^(-1/alpha) for every objective (Ban and Ji 2024)."""

    _: KW_ONLY

    alpha: float = 2.0
    """Fairness, above 0: near 0 the sum of progress counts, 1 is Nash-MTL, large values favour who gains least."""

    max_iters: int | None = None
    """Most evaluations of the least-squares solver for one matrix; None is 100 times the number of objectives."""

    name = "fairgrad"
    when = "You want to set how far equal progress counts more than total progress."
    paper = "https://arxiv.org/abs/2402.15638"

    def __post_init__(self) -> None:
        """Check the options."""
        require("alpha", self.alpha, 0 < self.alpha < math.inf, "a number above 0")
        require("max_iters", self.max_iters, self.max_iters is None or self.max_iters >= 1, "None or at least 1")
        super().__post_init__()

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's FairGrad."""
        from torchjd.aggregation import FairGradWeighting as FairGrad

        return FairGrad(self.alpha, self.max_iters)


class NashMTLWeighting(GramianWeighting):
    """The Nash bargain between the objectives: (M w)_k = 1 / w_k (Navon et al. 2022).

    It is solved as alpha-fairness with alpha = 1, the same equation (Ban and Ji 2024): TorchJD's own
    Nash-MTL, adapted from the authors' code, needs a solver under the GPL and depends on the matrices before.
    """

    name = "nash-mtl"
    when = "Progress should be shared out in proportion, whatever the units of the objectives."
    paper = "https://arxiv.org/abs/2202.01017"

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's FairGrad with alpha = 1."""
        from torchjd.aggregation import FairGradWeighting as FairGrad

        return FairGrad(1.0)


@dataclass(eq=False)
class PCDWeighting(GramianWeighting):
    """The primary objective's gradient, changed as little as lets every other objective gain a share of its own.

    The primary objective is that of the greatest preference, the first among equals.
    """

    _: KW_ONLY

    tau: float = 0.02
    """Least progress of every other objective, as a share of what its own gradient would give, from 0 to 1."""

    beta: float = 0.999
    """Decay of the moving average of the squared gradient norms that progress is measured by, from 0 to below 1."""

    name = "pcd"
    when = "One objective (the preference's greatest) comes first, and the others must not lose."
    paper = "https://arxiv.org/abs/2606.29521"
    stateful = True

    def make_rule(self, preference: Weights) -> Rule:
        """Return TorchJD's PCD."""
        from torchjd.aggregation import PCDWeighting as PCD

        return PCD(self.tau, self.beta)

    def apply(self, rule: Rule, gram: Any) -> Any:
        """Apply the rule with the primary objective in front, where it must be."""
        import torch

        primary = int(self._preference_K.argmax())
        order_K = torch.arange(len(gram))
        order_K[0], order_K[primary] = primary, 0  # its own inverse
        return rule(gram[order_K][:, order_K])[order_K]


AGGREGATORS: tuple[type[GramianWeighting], ...] = (
    UPGradWeighting,
    DualProjWeighting,
    MGDAWeighting,
    PCGradWeighting,
    GradVacWeighting,
    CAGradWeighting,
    IMTLGWeighting,
    AlignedMTLWeighting,
    FairGradWeighting,
    NashMTLWeighting,
    PCDWeighting,
)
"""All of them."""
