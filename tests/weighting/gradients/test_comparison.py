"""One Gram matrix from several forward passes of a trainer's."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paretune.weighting import GradientAnalyzer
from paretune.weighting.gradients.comparison import Part, gram_of_parts
from paretune.weighting.gradients.shared_rows import SharedRows


def policy() -> nn.Linear:
    return nn.Linear(3, 1, bias=False, dtype=torch.float64)


def scores(model: nn.Linear, inputs: Tensor) -> Tensor:
    return model(inputs)[:, 0]


@pytest.mark.parametrize("mode", ["exact", "backward"])
def test_the_matrix_is_that_of_the_mean_over_the_scores_of_all_parts(mode):
    model, eye = policy(), torch.eye(3, dtype=torch.float64)
    analyzer = GradientAnalyzer(model, mode=mode)
    parts = [
        Part(partial(scores, model, eye[:2]), np.array([[4.0, 0.0], [0.0, 4.0]])),
        Part(partial(scores, model, eye[1:2]), np.array([[8.0, 0.0]])),
        Part(partial(scores, model, 3 * eye[2:]), np.array([[4.0, -4.0]])),
    ]
    for _ in range(2):  # g_1 = (4, 8, 12) / 4 and g_2 = (0, 4, -12) / 4
        np.testing.assert_allclose(gram_of_parts(analyzer, parts), [[14, -7], [-7, 10]])
    np.testing.assert_allclose(gram_of_parts(analyzer, parts[:1]), [[4, 0], [0, 4]])
    assert analyzer.kept is None


def test_kept_passes_are_those_of_all_parts_in_their_order():
    model, eye = policy(), torch.eye(3, dtype=torch.float64)
    analyzer = GradientAnalyzer(model)
    parts = [Part(partial(scores, model, eye[rows]), np.ones((len(rows), 1))) for rows in ([2, 0], [1])]
    gram_of_parts(analyzer, parts, keep=True)
    analyzer.kept.backward(torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64))
    assert model.weight.grad.tolist() == [[6, 7, 5]]


def test_positions_belong_to_the_responses_that_a_part_names():
    model, eye = policy(), torch.eye(3, dtype=torch.float64)
    responses = torch.tensor([0, 1, 1])
    part = Part(
        lambda: torch.zeros(2, dtype=torch.float64).index_add(0, responses, model(eye)[:, 0]),
        np.array([[2.0], [4.0]]),
        responses,
    )
    np.testing.assert_allclose(gram_of_parts(GradientAnalyzer(model), [part]), [[1 + 4 + 4]])


def test_shared_rows_are_told_apart_in_each_part_by_itself():
    model = policy()
    shared_U1C, own_B1C = torch.ones(1, 1, 3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:2, None]

    def part(advantages: Tensor) -> Part:
        shared = SharedRows(torch.tensor([0, 0]), 1, advantages, passes=(torch.arange(2),))

        def score() -> Tensor:
            both = shared.collect(model(shared.spread(shared_U1C)), shared.passes[0])
            return (both + model(own_B1C)).flatten()

        return Part(score, advantages.numpy(), shared=shared)

    first, second = (torch.tensor(rows, dtype=torch.float64) for rows in ([[4, 0], [0, 8]], [[0, 4], [4, 0]]))
    # the scores' gradients are (2, 1, 1) and (1, 2, 1): g_1 = (3, 3, 2) and g_2 = (4, 5, 3)
    gram_KK = gram_of_parts(GradientAnalyzer(model, mode="exact"), [part(first), part(second)])
    np.testing.assert_allclose(gram_KK, [[22, 33], [33, 50]])
