"""Two ways to the products of gradients: over components and over positions."""

import pytest
import torch
from torch import nn

from paretune.weighting.gradients import factor_gram
from paretune.weighting.gradients.factor_gram import FactorGram, Weighed, positions_are_cheaper
from paretune.weighting.gradients.factors import Factors

pytestmark = pytest.mark.numeric

ROWS, COLUMNS = 7, 5


def uses(*kinds, n=6):
    """Factors of one parameter (ROWS, COLUMNS): from a linear layer ("dense") and from an embedding ("scattered")."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    rows = {"dense": lambda: draw(n, ROWS), "scattered": lambda: torch.randint(ROWS, (n,), generator=generator)}
    return [Weighed(Factors(rows[kind](), draw(n, COLUMNS)), draw(n, 3)) for kind in kinds]


def expected(made):
    gradients_KRC = torch.zeros(3, ROWS, COLUMNS, dtype=torch.float64)
    for factors, a_NK, _ in made:
        rows = nn.functional.one_hot(factors.rows, ROWS).double() if factors.scattered else factors.rows
        gradients_KRC += torch.einsum("nk,nr,nc->krc", a_NK, rows, factors.columns)
    return torch.einsum("jrc,krc->jk", gradients_KRC, gradients_KRC)


@pytest.mark.parametrize("chunk", [1 << 22, 13])
@pytest.mark.parametrize("over_positions", [False, True])
@pytest.mark.parametrize(
    "kinds", [["dense"], ["scattered"], ["dense", "scattered"], ["scattered", "dense", "dense", "scattered"]]
)
def test_both_ways_give_the_products_of_the_gradients(monkeypatch, kinds, over_positions, chunk):
    monkeypatch.setattr(factor_gram, "positions_are_cheaper", lambda uses: over_positions)
    monkeypatch.setattr(factor_gram, "CHUNK", chunk)
    parameter, made = nn.Parameter(torch.zeros(ROWS, COLUMNS)), uses(*kinds)
    total = FactorGram({parameter: 0}, None, None)
    total.add(parameter, made, complete=True)
    torch.testing.assert_close(torch.as_tensor(total.matrix()), expected(made), rtol=1e-12, atol=0)


def test_uses_that_come_one_by_one():
    parameter, made = nn.Parameter(torch.zeros(ROWS, COLUMNS)), uses("dense", "scattered", "dense")
    total = FactorGram({parameter: 0}, None, None)
    for i, use in enumerate(made):
        total.add(parameter, [use], complete=i == 2)
    torch.testing.assert_close(torch.as_tensor(total.matrix()), expected(made), rtol=1e-12, atol=0)


def factors_of(n, rows, columns):
    return [Weighed(Factors(torch.zeros(n, rows) if rows else None, torch.zeros(n, columns)), torch.zeros(n, 3))]


def test_few_positions_of_a_large_matrix_go_over_positions():
    assert positions_are_cheaper(factors_of(200, 1000, 1000))
    assert not positions_are_cheaper(factors_of(2000, 1000, 1000))
    assert not positions_are_cheaper(factors_of(200, 16, 1000))  # LoRA
    assert not positions_are_cheaper(factors_of(2, 0, 1000))  # a bias
