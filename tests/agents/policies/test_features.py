"""From observations to features."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from paretune.agents.policies.features import make_encoder

CASES = [
    (spaces.Discrete(3, start=1), [1, 3], [[1, 0, 0], [0, 0, 1]]),
    (spaces.MultiDiscrete([2, 3]), [np.array([1, 2])], [[0, 1, 0, 0, 1]]),
    (spaces.MultiBinary(3), [np.array([1, 0, 1]), [0, 0, 1]], [[1, 0, 1], [0, 0, 1]]),
    (spaces.Box(-1, 1, (2,), np.int32), [np.array([0, -1])], [[0, 1, 0, 1, 0, 0]]),
    (spaces.Box(0, 255, (1, 2), np.uint8), [np.array([[0, 255]])], [[0, 1]]),
    (spaces.Box(1, 3, (1,), np.uint64), [np.array([2], dtype=np.uint64)], [[0, 1, 0]]),
    (spaces.Box(-(2**63), 2**63 - 1, (1,), np.int64), [np.array([-(2**63)])], [[0]]),
    (spaces.Box(-2.0, 2.0, (2,)), [np.array([-2.0, 1.0])], [[0, 0.75]]),
    (spaces.Box(-np.inf, np.inf, (1,)), [np.array([7.5])], [[7.5]]),
    (spaces.Tuple((spaces.Discrete(2), spaces.Box(0.0, 4.0, (1,)))), [(1, np.array([1.0]))], [[0, 1, 0.25]]),
    (spaces.Dict(b=spaces.Discrete(2), a=spaces.MultiBinary(1)), [{"a": [1], "b": 0}], [[1, 0, 1]]),
]


@pytest.mark.parametrize(("space", "observations", "expected"), CASES, ids=lambda value: type(value).__name__)
def test_every_space_has_its_code(space, observations, expected):
    encode, width = make_encoder(space)
    features = encode(observations)
    assert features.dtype == np.float32 and width == features.shape[1]
    np.testing.assert_allclose(features, expected)


def test_samples_of_every_space_are_coded_finitely():
    for space, _, _ in CASES:
        encode, width = make_encoder(space)
        space.seed(0)
        features = encode([space.sample() for _ in range(20)])
        assert features.shape == (20, width) and np.isfinite(features).all()


def test_a_space_without_a_code_is_named():
    with pytest.raises(ValueError, match=r"env: must have observations of a Discrete, .* got Text"):
        make_encoder(spaces.Text(3))
