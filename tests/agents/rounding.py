"""How far apart rounding takes gradients: what the bounds of tests follow from.

A result is rounded by at most the unit round-off of its format, relative to itself. Errors of either sign add up as the
root of their number. Twice that is allowed, as terms cancel in part; an entry of a Gram matrix is a product of two
gradients. So all bounds are relative to the gradient's size or the largest number, not to each number.
"""

from __future__ import annotations

import numpy as np

BFLOAT16 = 2**-8
"""Unit round-off of bfloat16, which has 8 significant bits."""
FLOAT32 = 2**-24


def of_products(layers: int, round_off: float = BFLOAT16) -> float:
    """Return the bound where all matrix products of a decoder are rounded.

    A layer makes nine (seven with weights, two of attention), the head one more. Each rounds two operands and its
    result, and leads to two products on the way back.
    """
    return float(2 * round_off * np.sqrt(3 * 3 * (9 * layers + 1)))


def of_norms(layers: int) -> float:
    """Return the bound of a decoder in float64, whose norms compute in float32.

    A layer has two norms, and one stands before the head. Each makes four operations, and eight on the way back.
    """
    return float(2 * FLOAT32 * np.sqrt(12 * (2 * layers + 1)))


def assert_near(found, expected, bound: float) -> None:
    """Compare numbers, with a bound that is relative to the largest of them."""
    found, expected = np.asarray(found), np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * np.abs(expected).max())
