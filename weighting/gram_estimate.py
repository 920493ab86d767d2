"""A Gram matrix of gradients that were measured with noise: an estimate without bias, and how far it may be off.

A batch's gradient g is the truth plus noise, so E <g_j, g_k> = truth + the noise's covariance. Products of gradients
from different responses have no such term. With the batch in S parts of whole groups, and H_ab the products (K, K) of
the gradients of parts a and b, symmetric in the objectives,

    M = sum_{a != b} H_ab / (S (S - 1))                                    S = 2: of one half with the other

is a U-statistic. Its covariance follows from the products as well (Hoeffding, "A Class of Statistics with
Asymptotically Normal Distribution", Ann. Math. Statist. 19, 1948, eq. 5.13): with z1 the covariance of two products
that have one part in common, and z2 that of a product with itself,

    cov M = 4 (S - 2) / (S (S - 1)) * z1  +  2 / (S (S - 1)) * z2

Both are estimated without bias, E H_ab H_cd for four different parts standing for the product of the truths: S >= 4.

Shapes: S parts, K objectives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

FEWEST_WITH_ERRORS = 4
"""Parts that an estimate of the errors takes at least."""


@dataclass(frozen=True)
class Influences:
    """How far a step along all gradients raises each objective, as it was measured.

    Attributes:
        values: I_k = sum_j h_j M_jk (K,).
        errors: Their standard errors (K,), where they are known.
        signal: Which share of what distinguishes the influences is not noise, see `GramEstimate.influences`.
    """

    values: Array
    errors: Array | None
    signal: float


@dataclass(frozen=True, eq=False)
class GramEstimate:
    """An estimate of the Gram matrix M of the objectives' true gradients.

    Attributes:
        matrix: M (K, K), without bias; by chance its eigenvalues, and its diagonal, may be negative.
        squares: Squared norms (K,) of the whole batch's gradients, noise included: what a step is really made of.
        noise: The covariance of the entries of M (2, K, K, K, K): all of it, and the term with z2 alone, which it
            cannot fall below; each without bias. None where there are fewer than four parts.
    """

    matrix: Array
    squares: Array
    noise: Array | None

    def influences(self, direction: ArrayLike | None = None) -> Influences:
        """Return the influences I_k = sum_j h_j M_jk, with errors.

        Only what distinguishes them, d = I - mean I, moves weights on a simplex. `signal` is the positive-part factor
        of James and Stein ("Estimation with Quadratic Loss", Proc. 4th Berkeley Symp. 1, 1961; Efron and Morris, JASA
        68, 1973) with the measured noise in the place of its dimension:

            signal = max(0, 1 - trace cov d / |d|^2)       E |d|^2 = |true d|^2 + trace cov d

        Where the errors are not known it is 1.

        Args:
            direction: h (K,); None is ones.
        """
        k = len(self.matrix)
        h_K = np.ones(k) if direction is None else np.asarray(direction, dtype=np.float64)
        values_K = self.matrix @ h_K
        if self.noise is None:
            return Influences(values_K, None, 1.0)
        both_2KK = np.einsum("njkml,k,l->njm", self.noise, h_K, h_K)
        variances_K = np.diagonal(both_2KK, axis1=1, axis2=2).max(axis=0).clip(0)
        centring_KK = np.eye(k) - 1 / k
        variance = max(float(np.trace(centring_KK @ one_KK @ centring_KK)) for one_KK in both_2KK)
        square = float(np.square(values_K - values_K.mean()).sum())
        signal = max(0.0, 1 - max(variance, 0.0) / square) if square > 0 else 0.0
        return Influences(values_K, np.sqrt(variances_K), signal)

    def towards(self, direction: Array) -> GramEstimate:
        """Return the estimate of M_jk h_k, whose row sums are the influences for a direction h (K,)."""
        noise = None if self.noise is None else self.noise * direction[:, None, None] * direction
        return GramEstimate(self.matrix * direction, self.squares * direction, noise)


def estimate_of_parts(products: ArrayLike, shares: ArrayLike) -> GramEstimate:
    """Return the estimate that the products of the gradients of S parts of a batch lead to.

    Args:
        products: (S * K, S * K), row s * K + k: of the part of the batch's gradient k that comes from part s.
        shares: Which share of the batch's responses each part is (S,): divided by it, that is the gradient of a mean
            over the part's own responses.

    Example:
        >>> halves = np.array([[0.5], [1.5]])  # of K = 1 objective with one parameter: means 1 and 3 of halves
        >>> estimate = estimate_of_parts(halves @ halves.T, [0.5, 0.5])
        >>> estimate.matrix, estimate.squares
        (array([[3.]]), array([4.]))
    """
    shares_S = np.asarray(shares, dtype=np.float64)
    s = len(shares_S)
    assert s >= 2, s
    products_SKSK = np.asarray(products, dtype=np.float64).reshape(s, -1, s, len(np.asarray(products)) // s)
    k = products_SKSK.shape[1]
    squares_K = products_SKSK.sum(axis=(0, 2)).diagonal().clip(0)
    of_means = products_SKSK / (shares_S[:, None, None, None] * shares_S[:, None])
    pairs_SSKK = of_means.transpose(0, 2, 1, 3)
    pairs_SSKK = (pairs_SSKK + pairs_SSKK.transpose(0, 1, 3, 2)) / 2
    pairs_SSKK[np.arange(s), np.arange(s)] = 0
    matrix_KK = pairs_SSKK.sum(axis=(0, 1)) / (s * (s - 1))
    noise = None if s < FEWEST_WITH_ERRORS else _noise(pairs_SSKK.reshape(s, s, -1)).reshape(2, k, k, k, k)
    return GramEstimate(matrix_KK, squares_K, noise)


def _noise(pairs_SSN: Array) -> Array:
    """Return the covariance of the mean over different pairs, and its term with z2 (2, N, N); the diagonal is 0."""
    s = len(pairs_SSN)
    two, three = s * (s - 1), s * (s - 1) * (s - 2)
    rows_SN = pairs_SSN.sum(axis=1)
    same_NN = np.einsum("abm,abn->mn", pairs_SSN, pairs_SSN)
    one_common_NN = rows_SN.T @ rows_SN  # the same ones included
    total_N = rows_SN.sum(axis=0)
    truth_NN = (np.outer(total_N, total_N) - 4 * one_common_NN + 2 * same_NN) / (three * (s - 3))
    z1_NN, z2_NN = (one_common_NN - same_NN) / three - truth_NN, same_NN / two - truth_NN
    return np.stack([4 * (s - 2) / two * z1_NN + 2 / two * z2_NN, 2 / two * z2_NN])


class GramAverage:
    """The moving average of estimates from independent batches, with the errors of an average.

        mean_t = sum_i w_i x_i,  w_i ~ decay^(t - i),  sum w = 1          (Adam's correction for the start)
        noise of mean_t = (mean noise) * sum_i w_i^2

    An estimate that is shown again (as trainers do that compare gradients at some steps only) counts once.
    """

    def __init__(self, decay: float) -> None:
        """Start without an estimate; `decay` is in [0, 1), and 0.9 averages over about 19 batches."""
        self._decay = decay
        self._mean: GramEstimate | None = None
        self._last: GramEstimate | None = None
        self._weight, self._squares = 0.0, 0.0  # sums of the weights and of their squares, before the correction

    def add(self, estimate: GramEstimate) -> GramEstimate:
        """Take an estimate, and return the average."""
        if self._mean is None:
            self._mean, fresh = estimate, True
        else:
            assert self._last is not None
            fresh = not np.array_equal(estimate.matrix, self._last.matrix)
        if fresh:
            self._last, rest = estimate, 1 - self._decay
            self._weight = self._decay * self._weight + rest
            self._squares = self._decay**2 * self._squares + rest**2
            self._mean = _between(self._mean, estimate, rest / self._weight)
        noise = self._mean.noise
        factor = self._squares / self._weight**2
        return GramEstimate(self._mean.matrix, self._mean.squares, None if noise is None else factor * noise)

    def state(self) -> dict[str, Any] | None:
        """What has been seen so far, JSON-able."""
        if self._mean is None or self._last is None:
            return None
        weights = [self._weight, self._squares]
        return {"mean": to_lists(self._mean), "last": to_lists(self._last), "weights": weights}

    def load_state(self, state: dict[str, Any] | None) -> None:
        """Restore what `state` returned."""
        self._mean = None if state is None else from_lists(state["mean"])
        self._last = None if state is None else from_lists(state["last"])
        self._weight, self._squares = (0.0, 0.0) if state is None else state["weights"]


def _between(one: GramEstimate, other: GramEstimate, share: float) -> GramEstimate:
    """Return the estimate that has a `share` of the other one in it."""

    def mixed(x: Array, y: Array) -> Array:
        return x + share * (y - x)

    noise = one.noise if other.noise is None else other.noise
    if one.noise is not None and other.noise is not None:
        noise = mixed(one.noise, other.noise)
    return GramEstimate(mixed(one.matrix, other.matrix), mixed(one.squares, other.squares), noise)


def to_lists(estimate: GramEstimate) -> dict[str, Any]:
    """Return an estimate as what JSON can hold."""
    noise = None if estimate.noise is None else estimate.noise.tolist()
    return {"matrix": estimate.matrix.tolist(), "squares": estimate.squares.tolist(), "noise": noise}


def from_lists(lists: dict[str, Any]) -> GramEstimate:
    """Return what `to_lists` was given."""
    noise = None if lists["noise"] is None else np.array(lists["noise"], dtype=np.float64)
    return GramEstimate(np.array(lists["matrix"]), np.array(lists["squares"]), noise)


def nearest_semidefinite(matrix: Array) -> Array:
    """Return the positive semi-definite matrix nearest to a symmetric one, in the Frobenius norm.

    Its eigenvalues below zero become zero (Higham, "Computing a Nearest Symmetric Positive Semidefinite Matrix", Linear
    Algebra and its Applications 103, 1988, theorem 2.1). A matrix without such is returned as it is.

    Example:
        >>> nearest_semidefinite(np.array([[0.0, 1.0], [1.0, 0.0]]))
        array([[0.5, 0.5],
               [0.5, 0.5]])
    """
    values_K, vectors_KK = np.linalg.eigh(matrix)
    if values_K[0] >= 0:
        return matrix
    nearest_KK: Array = (vectors_KK * values_K.clip(0)) @ vectors_KK.T
    return (nearest_KK + nearest_KK.T) / 2
