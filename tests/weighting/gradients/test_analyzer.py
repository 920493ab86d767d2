"""What the gradient analyzer refuses, in every mode, and which mode it takes."""

import numpy as np
import pytest
import torch
from torch import nn

from paretune.weighting import GradientAnalyzer
from tests.weighting.language_models import (
    assert_equal_up_to_rounding,
    batch,
    gram_of_two_ranks,
    language_model,
    separate_backward_passes,
    token_scores,
)

pytestmark = pytest.mark.numeric

MODES = ["exact", "sketch", "backward"]


def linear_scores(mode):
    model = nn.Linear(3, 1)
    analyzer = GradientAnalyzer(model, mode=mode)
    with analyzer.watch():
        return analyzer, model(torch.ones(2, 3)).squeeze(1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "fast"}, "unknown mode 'fast'.* Known: 'auto', 'exact', 'sketch', 'backward'"),
        ({"width": 0}, "width: must be a whole number of at least 1, got 0"),
        ({"parameters": "last:4"}, "parameters: must name 1 to 3 layers of .*, got 'last:4'"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        GradientAnalyzer(language_model("llama"), **options)


def test_auto_is_exact_where_all_kinds_of_modules_are_known():
    assert GradientAnalyzer(language_model("qwen2")).mode == "exact"
    recurrent = nn.ModuleDict({"memory": nn.GRU(3, 3), "head": nn.Linear(3, 2)})
    assert GradientAnalyzer(recurrent).mode == "backward"
    assert GradientAnalyzer(recurrent, "name:head").mode == "exact"


@pytest.mark.parametrize(
    ("advantages", "message"),
    [
        (torch.ones(2), r"advantages: must have shape \(2, K\), got \(2,\)"),
        (torch.ones(3, 2), r"advantages: must have shape \(2, K\), got \(3, 2\)"),
        (torch.ones(2, 0), r"advantages: must have shape \(2, K\), got \(2, 0\)"),
        (torch.full((2, 2), torch.nan), "advantages: must be finite"),
    ],
)
@pytest.mark.parametrize("mode", MODES)
def test_bad_advantages_are_named(mode, advantages, message):
    analyzer, scores = linear_scores(mode)
    with pytest.raises(ValueError, match=message):
        analyzer.gram(scores, advantages)


@pytest.mark.parametrize("mode", MODES)
def test_bad_scores_are_named(mode):
    analyzer, scores = linear_scores(mode)
    with pytest.raises(ValueError, match=r"scores: must be differentiable, of shape \(B,\), got \(2, 1\)"):
        analyzer.gram(scores[:, None], torch.ones(2, 2))
    with pytest.raises(ValueError, match="scores: must be differentiable"):
        analyzer.gram(scores.detach(), torch.ones(2, 2))
    with pytest.raises(ValueError, match="scores: must depend on at least one of the chosen parameters"):
        analyzer.gram(torch.ones(2, requires_grad=True), torch.ones(2, 2))


@pytest.mark.parametrize("mode", MODES)
def test_each_gram_needs_its_own_watch(mode):
    analyzer, scores = linear_scores(mode)
    analyzer.gram(scores, torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"scores: must be computed under watch\(\)"):
        analyzer.gram(scores, torch.ones(2, 2))


@pytest.mark.parametrize("mode", ["exact", "backward"])
def test_micro_batches(mode):
    model = language_model("gpt2", tied=True)
    analyzer = GradientAnalyzer(model, mode=mode)
    batches = [batch(3, 7, seed=1), batch(2, 5, seed=2), batch(1, 6, seed=3)]
    advantages_BK = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(2):  # nothing is left over from one matrix to the next
        for micro, part in zip(batches, advantages_BK.split([3, 2, 1]), strict=True):
            with analyzer.watch():
                scores = token_scores(model, *micro)
            if len(part) > 1:
                analyzer.add(scores, part)
        gram = analyzer.gram(scores, part)
        scores = torch.cat([token_scores(model, *micro) for micro in batches])
        expected = separate_backward_passes(scores, advantages_BK, list(model.parameters()))
        assert_equal_up_to_rounding(gram, expected)


@pytest.mark.parametrize("mode", MODES)
def test_after_an_error_the_next_matrix_starts_from_nothing(mode):
    model = nn.Linear(3, 1, bias=False)
    analyzer = GradientAnalyzer(model, mode=mode)

    def scores():
        with analyzer.watch():
            return model(torch.eye(3)).squeeze(1)

    analyzer.add(scores(), torch.ones(3, 1))
    with analyzer.watch():
        wrong = torch.ones(3, requires_grad=True) * 1
    with pytest.raises(ValueError, match="must depend on at least one of the chosen parameters"):
        analyzer.gram(wrong, torch.ones(3, 1))
    assert analyzer.gram(scores(), [[3.0], [0.0], [0.0]]).tolist() == [[1.0]]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("mode", ["exact", "backward"])
def test_two_ranks_get_the_matrix_of_one(mode, family):
    """Two ranks in one process: the first notes what it would send, the second adds it to its own."""
    model = language_model(family, tied=True)
    batches = [batch(3, 7, seed=1), batch(2, 5, seed=2), batch(2, 6, seed=3)]
    parts = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).split([3, 2, 2])

    def gram(numbers, reduce):
        analyzer = GradientAnalyzer(model, mode=mode, reduce=reduce)
        for i in numbers:
            with analyzer.watch():
                scores = token_scores(model, *batches[i])
            if i != numbers[-1]:
                analyzer.add(scores, parts[i])
        return analyzer.gram(scores, parts[numbers[-1]])

    both = gram_of_two_ranks(gram)
    np.testing.assert_allclose(both, gram([0, 1, 2], None), rtol=0, atol=1e-6 * both.max())
