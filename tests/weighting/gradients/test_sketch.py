"""Mode "sketch": estimates of the exact Gram matrix."""

import numpy as np
import pytest
import torch

from paretune.weighting import GradientAnalyzer
from tests.weighting.language_models import assert_equal_up_to_rounding, batch, language_model, token_scores

pytestmark = pytest.mark.numeric


def grams(family, draws=1, micro=None, **options):
    """The matrices (draws, K, K) of one batch."""
    model = language_model(family, tied=True, n_layers=1)
    analyzer = GradientAnalyzer(model, **options)
    batches = [batch()] if micro is None else micro
    results = []
    for draw in range(draws):
        analyzer.redraw(draw)
        for number, tensors in enumerate(batches):
            with analyzer.watch():
                scores = token_scores(model, *tensors)
            generator = torch.Generator().manual_seed(number)
            advantages_BK = torch.randn(len(scores), 3, generator=generator, dtype=torch.float64)
            if number < len(batches) - 1:
                analyzer.add(scores, advantages_BK)
        results.append(analyzer.gram(scores, advantages_BK))
    return np.array(results)


def errors(estimates, exact):
    return np.abs(estimates - exact).mean() / np.abs(exact).max()


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_mean_over_draws_is_the_exact_matrix(family):
    (exact_KK,) = grams(family, mode="exact")
    estimates = grams(family, 64, mode="sketch", width=4)
    standard_error_KK = estimates.std(axis=0) / np.sqrt(len(estimates))
    assert (standard_error_KK > 0).all()
    assert (np.abs(estimates.mean(axis=0) - exact_KK) < 4 * standard_error_KK).all()


def test_the_error_falls_with_the_width():
    (exact_KK,) = grams("gpt2", mode="exact")
    narrow, middle, wide = (errors(grams("gpt2", 25, mode="sketch", width=width), exact_KK) for width in (2, 8, 24))
    assert wide < 0.7 * middle < 0.5 * narrow
    assert wide < 0.1


def test_a_width_that_no_side_exceeds_is_exact():
    (exact_KK,) = grams("qwen2", mode="exact")
    (sketched_KK,) = grams("qwen2", mode="sketch", width=64)
    assert_equal_up_to_rounding(sketched_KK, exact_KK)


def test_micro_batches_share_their_projections():
    micro = [batch(3, 7, seed=1), batch(2, 5, seed=2)]
    (exact_KK,) = grams("gpt2", micro=micro, mode="exact")
    estimates = grams("gpt2", 49, micro, mode="sketch", width=8)
    standard_error_KK = estimates.std(axis=0) / 7
    assert (np.abs(estimates.mean(axis=0) - exact_KK) < 4 * standard_error_KK).all()


def test_seeds_and_draws():
    first, second = grams("llama", 2, mode="sketch", width=4)
    assert (grams("llama", mode="sketch", width=4) == first).all()
    assert (second != first).any()
    assert (grams("llama", mode="sketch", width=4, seed=1) != first).any()


def test_what_ranks_exchange_does_not_grow_with_the_model():
    width, sizes = 4, []
    model = language_model("llama")
    analyzer = GradientAnalyzer(
        model, "name:proj", "sketch", width=width, reduce=lambda tensor: sizes.append(tensor.numel()) or tensor
    )
    with analyzer.watch():
        scores = token_scores(model, *batch())
    analyzer.gram(scores, torch.ones(4, 3))
    assert sizes == [3 * width**2] * len(analyzer.parameters) + [1]


def test_two_ranks_get_the_estimate_of_one():
    model = language_model("gpt2", tied=True)
    batches, advantages_BK = [batch(3, 7, seed=1), batch(2, 5, seed=2)], torch.randn(5, 3, dtype=torch.float64)
    parts, messages = advantages_BK.split([3, 2]), []

    def analyzer(reduce=None):
        return GradientAnalyzer(model, mode="sketch", width=4, reduce=reduce)

    def gram(made, number):
        with made.watch():
            scores = token_scores(model, *batches[number])
        return made.gram(scores, parts[number])

    gram(analyzer(lambda tensor: messages.append(tensor.clone()) or tensor), 0)
    sent = iter(messages)
    both = gram(analyzer(lambda tensor: tensor + next(sent)), 1)
    one = analyzer()
    with one.watch():
        one.add(token_scores(model, *batches[0]), parts[0])
    np.testing.assert_allclose(both, gram(one, 1), rtol=0, atol=1e-6 * both.max())
