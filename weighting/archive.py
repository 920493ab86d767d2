"""The Pareto archive: non-dominated performance vectors and the hypervolume below them.

Shapes: N members, K objectives. Every objective is maximised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.indicators.hv import HV

from paretune.weighting.inputs import finite_array, require

TOLERANCE = 1e-9
"""Two numbers a (of a member) and b are equal up to rounding if |a - b| <= TOLERANCE * (1 + |a|)."""


def hypervolume(points: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Return the volume of the union of the boxes between `reference` and each point.

    Args:
        points: (N, K), larger is better; what is below the reference is moved up to it, which makes its box empty.
        reference: (K,).

    Returns:
        The volume, non-negative; 0.0 without points.

    Raises:
        ValueError: If the volume is too large for float64.

    Example:
        >>> hypervolume(np.array([[0.5, 0.25], [0.25, 0.5]]), np.zeros(2))
        0.1875
    """
    with np.errstate(over="ignore"):
        sides_NK = np.maximum(points - reference, 0.0)
        volume = float(HV(ref_point=np.zeros_like(reference))(-sides_NK))  # pymoo minimises
    require("performance", points.tolist(), np.isfinite(volume), "small enough for a finite hypervolume")
    return volume


class ParetoArchive:
    """Performance vectors of which none dominates or equals another.

    A vector dominates another if it is nowhere smaller and somewhere larger, compared exactly; it equals another if
    all components are equal up to rounding (`TOLERANCE`). Members only leave for one that dominates them, so the
    hypervolume never falls, whatever the rounding.

    Performances are estimates. One that was lucky stays until a better one comes, so the best of many is above the
    truth: a hypervolume of measured performances is biased upward, the more so the more were seen. A `margin` keeps
    out what may be luck alone.

    Attributes:
        reference: The reference point (K,) of the hypervolume.

    Example:
        >>> archive = ParetoArchive(2)
        >>> archive.add([0.5, 0.25], tag="step 5"), archive.add([0.5, 0.125]), archive.add([0.25, 0.5])
        (True, False, True)
        >>> archive.hypervolume()
        0.1875
    """

    def __init__(self, reference: ArrayLike | int) -> None:
        """Make an empty archive.

        Args:
            reference: The reference point (K,), or K for a reference point of zeros.

        Raises:
            ValueError: If `reference` is not a vector of finite numbers, or K < 1.
        """
        if isinstance(reference, (int, np.integer)):
            require("reference", reference, bool(reference >= 1), "a number of objectives K >= 1, or a vector")
            reference = np.zeros(int(reference))
        self.reference = finite_array("reference", reference, (None,))
        require("reference", reference, len(self.reference) >= 1, "a vector of at least one number")
        self._points_NK = np.empty((0, len(self.reference)))
        self._tags: list[Any] = []
        self._hypervolume = 0.0

    def add(self, performance: ArrayLike, tag: Any = None, margin: ArrayLike | None = None) -> bool:
        """Let a performance vector enter if it is new and not dominated; members that it dominates leave.

        Args:
            performance: (K,), finite; components below the reference are allowed and add no hypervolume.
            tag: Anything JSON-able to find it by, such as the training step.
            margin: (K,), non-negative: of a performance that would have no `gain` with that much less, only an archive
                without members takes notice. None is no margin.

        Returns:
            Whether it entered.
        """
        point_K = self._check(performance)
        if margin is not None and len(self) > 0 and self.gain(point_K, margin) == 0:
            return False
        if not self._is_new(point_K):
            return False
        stays_N = np.any(self._points_NK > point_K, axis=1)
        points_NK = np.vstack([self._points_NK[stays_N], point_K])
        tags = [tag for tag, stays in zip(self._tags, stays_N, strict=True) if stays] + [tag]
        # Rounding inside the computation must not let the hypervolume fall.
        self._hypervolume = max(self._hypervolume, hypervolume(points_NK, self.reference))
        order_N = np.lexsort(points_NK.T[::-1])
        self._points_NK, self._tags = points_NK[order_N], [tags[n] for n in order_N]
        return True

    def gain(self, performance: ArrayLike, margin: ArrayLike | None = None) -> float:
        """Return by how much the hypervolume would grow if `performance` (K,) were added; at least 0.

        Args:
            performance: (K,), finite.
            margin: (K,), non-negative: taken off the performance first, such as a multiple of its standard error. None
                is no margin.

        Example:
            >>> archive = ParetoArchive(2)
            >>> archive.add([0.5, 0.5])
            True
            >>> archive.gain([1.0, 0.5]), archive.gain([1.0, 0.5], margin=[0.25, 0.25])
            (0.25, 0.0625)
        """
        point_K = self._check(performance)
        if margin is not None:
            margin_K = finite_array("margin", margin, self.reference.shape)
            require("margin", margin_K.tolist(), bool((margin_K >= 0).all()), "non-negative")
            point_K = point_K - margin_K
        if not self._is_new(point_K):
            return 0.0
        return max(0.0, hypervolume(np.vstack([self._points_NK, point_K]), self.reference) - self._hypervolume)

    def hypervolume(self) -> float:
        """Return the volume between the reference point and the front."""
        return self._hypervolume

    @property
    def front(self) -> NDArray[np.float64]:
        """The members (N, K), in ascending order of their first, then second, ... component."""
        return self._points_NK.copy()

    @property
    def tags(self) -> list[Any]:
        """The members' tags, in the order of `front`."""
        return list(self._tags)

    def __len__(self) -> int:
        """Return N."""
        return len(self._tags)

    def state_dict(self) -> dict[str, Any]:
        """Return everything the archive holds, JSON-able."""
        return {
            "reference": self.reference.tolist(),
            "front": self._points_NK.tolist(),
            "tags": self.tags,
            "hypervolume": self._hypervolume,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the archive whose `state_dict` is given."""
        self.reference = np.array(state["reference"], dtype=np.float64)
        self._points_NK = np.array(state["front"], dtype=np.float64).reshape(-1, len(self.reference))
        self._tags = list(state["tags"])
        self._hypervolume = float(state["hypervolume"])

    def _check(self, performance: ArrayLike) -> NDArray[np.float64]:
        return finite_array("performance", performance, self.reference.shape)

    def _is_new(self, point_K: NDArray[np.float64]) -> bool:
        """Whether no member dominates the point or equals it up to rounding."""
        members_NK = self._points_NK
        dominated = (members_NK >= point_K).all(axis=1).any()
        with np.errstate(over="ignore"):
            equal_NK = np.abs(members_NK - point_K) <= TOLERANCE * (1 + np.abs(members_NK))
        return not (dominated or equal_NK.all(axis=1).any())
