"""Gradients of any combination of the scores, from the passes that the Gram matrix came from."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from paretune.weighting import GradientAnalyzer
from tests.weighting.language_models import (
    assert_equal_up_to_rounding,
    batch,
    gram_of_two_ranks,
    language_model,
    separate_backward_passes,
    token_scores,
    with_norms_in_float64,
    without_dropout,
)

pytestmark = pytest.mark.numeric

BATCHES = [batch(3, 7, seed=1), batch(2, 5, seed=2), batch(1, 6, seed=3)]


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def kept_pass(model, batches=BATCHES, mode="exact", choice="all"):
    """Return the Gram matrix and the kept passes of some micro-batches."""
    analyzer, parts = GradientAnalyzer(model, choice, mode), draw(6, 3).split([len(b[0]) for b in batches])
    for micro, part in zip(batches, parts, strict=True):
        with analyzer.watch(keep=True):
            scores = token_scores(model, *micro)
        if micro is not batches[-1]:
            analyzer.add(scores, part)
    return analyzer.gram(scores, part), analyzer.kept


def assert_same_gradients(model, kept, batches=BATCHES):
    """Compare with a backward pass of another combination than those that the Gram matrix is about."""
    coefficients = draw(7)[1:]
    model.zero_grad()
    kept.backward(coefficients)
    found = {name: parameter.grad for name, parameter in model.named_parameters()}
    model.zero_grad()
    (torch.cat([token_scores(model, *micro) for micro in batches]) * coefficients).sum().backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            assert found[name] is None
        else:
            torch.testing.assert_close(found[name], parameter.grad, atol=1e-10 * float(parameter.grad.norm()), rtol=0)


@pytest.mark.parametrize("mode", ["exact", "sketch"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_it_is_the_gradient_of_a_backward_pass(family, tied, mode):
    model = with_norms_in_float64(language_model(family, tied))
    _, kept = kept_pass(model, mode=mode)
    assert_same_gradients(model, kept)


def test_lora():
    config = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(with_norms_in_float64(language_model("llama")), config).double()
    assert_same_gradients(model, kept_pass(model, choice="lora")[1])


def test_layers_that_compute_their_activations_again():
    model = without_dropout(language_model("gpt2"))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    assert_same_gradients(model.train(), kept_pass(model)[1])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_keeping_changes_nothing_in_the_gram_matrix(family, tied):
    model = language_model(family, tied)
    scores = torch.cat([token_scores(model, *micro) for micro in BATCHES])
    expected = separate_backward_passes(scores, draw(6, 3), list(model.parameters()))
    assert_equal_up_to_rounding(kept_pass(model)[0], expected)


def test_it_adds_to_gradients_that_are_there_and_only_once():
    model = nn.Linear(2, 1)
    analyzer = GradientAnalyzer(model)
    with analyzer.watch(keep=True):
        scores = model(torch.eye(2)).squeeze(1)
    analyzer.gram(scores, torch.eye(2))
    model.bias.grad = torch.tensor([100.0])
    for _ in range(2):  # the factors are gone after the first time
        analyzer.kept.backward(torch.tensor([2.0, 3.0]))
    assert model.weight.grad.tolist() == [[2.0, 3.0]] and model.bias.grad.tolist() == [105.0]


def test_only_what_is_asked_for_is_kept():
    model = nn.Linear(2, 1)
    analyzer = GradientAnalyzer(model)
    for keep in (True, False):
        with analyzer.watch(keep=keep):
            scores = model(torch.eye(2)).squeeze(1)
        analyzer.gram(scores, torch.eye(2))
        assert (analyzer.kept is not None) == keep
    with pytest.raises(ValueError, match=r'keep: must be False in mode="backward", got True'):
        GradientAnalyzer(model, mode="backward").watch(keep=True)


def test_two_ranks_get_the_matrix_of_one():
    model = language_model("llama", tied=True)
    parts = draw(6, 3).split([3, 2, 1])

    def gram(numbers, reduce):
        analyzer = GradientAnalyzer(model, reduce=reduce)
        for i in numbers:
            with analyzer.watch(keep=True):
                scores = token_scores(model, *BATCHES[i])
            if i != numbers[-1]:
                analyzer.add(scores, parts[i])
        return analyzer.gram(scores, parts[numbers[-1]])

    both = gram_of_two_ranks(gram)
    assert_equal_up_to_rounding(both, gram([0, 1, 2], None))


def test_its_size_counts_every_factor_once():
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 1, bias=False)).double()
    analyzer = GradientAnalyzer(model)
    with analyzer.watch(keep=True):
        scores = model(draw(7, 3)).squeeze(1)
    analyzer.gram(scores, draw(7, 2))
    assert analyzer.kept.size == 7 * (3 + 5 + 5 + 1) * 8  # inputs and output gradients; one serves weight and bias
    analyzer.kept.forget()
    assert analyzer.kept.size == 0
