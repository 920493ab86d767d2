"""Mode "backward" against K separate backward passes, in float64, on real architectures."""

import gc
import weakref
from collections import Counter

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from paretune.weighting import GradientAnalyzer
from tests.weighting.language_models import (
    N_OBJECTIVES,
    assert_equal_up_to_rounding,
    batch,
    language_model,
    separate_backward_passes,
    token_scores,
    without_dropout,
)

pytestmark = pytest.mark.numeric


def check(model, score, choice, n_responses=4):
    """Compare both ways for one choice of parameters; `score` computes the scores (B,) with the model."""
    analyzer = GradientAnalyzer(model, choice, "backward")
    generator = torch.Generator().manual_seed(1)
    advantages_BK = torch.randn(n_responses, N_OBJECTIVES, generator=generator, dtype=torch.float64)
    with analyzer.watch():
        scores = score()
    gram = analyzer.gram(scores, advantages_BK.numpy())
    expected = separate_backward_passes(score(), advantages_BK, list(analyzer.parameters.values()))
    assert_equal_up_to_rounding(gram, expected)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize(
    "choice", ["all", "last:1", "last:2", "last:3", "name:embed|wte", "name:norm|ln_", "name:lm_h"]
)
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_language_models(family, tied, choice):
    model = language_model(family, tied)
    check(model, lambda: token_scores(model, *batch()), choice)


@pytest.mark.parametrize("choice", ["all", "last:2", "name:lm_h"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_micro_batches_of_different_lengths(family, choice):
    model = language_model(family, tied=True)
    batches = [batch(3, 7, seed=1), batch(2, 5, seed=2), batch(1, 6, seed=3)]
    check(model, lambda: torch.cat([token_scores(model, *micro) for micro in batches]), choice, n_responses=6)


@pytest.mark.parametrize("choice", ["lora", "all", "last:2", "name:q_proj.lora_B"])
def test_lora(choice):
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj", "down_proj"], init_lora_weights=False)
    model = get_peft_model(language_model("llama"), config).double()
    analyzer = GradientAnalyzer(model, choice, "backward")
    assert all("lora_" in name for name in analyzer.parameters)
    assert any(name.startswith("base_model.model.model.layers.1.") for name in analyzer.parameters)
    check(model, lambda: token_scores(model, *batch()), choice)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_non_reentrant_gradient_checkpointing(family):
    model = without_dropout(language_model(family))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.train()
    for choice in ("all", "last:2"):
        check(model, lambda: token_scores(model, *batch()), choice)


def test_a_part_of_the_model_may_be_called_instead_of_the_model():
    model = language_model("llama", tied=True)
    tokens_BT, attention_BT, _ = batch()

    def score():
        hidden_BTH = model.model(input_ids=tokens_BT, attention_mask=attention_BT).last_hidden_state
        halves = [model.lm_head(half).log_softmax(-1)[..., 0].sum(1) for half in hidden_BTH.split(2)]
        return torch.cat(halves)

    check(model, score, "all")


@pytest.mark.parametrize("choice", ["all", "name:0"])
def test_a_module_without_layers_is_one_piece(choice):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    inputs = torch.randn(4, 5, dtype=torch.float64)
    check(model, lambda: model(inputs).squeeze(1), choice)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 5)

    def forward(self, hidden_states, extra=0.0):
        return (hidden_states + torch.tanh(self.linear(hidden_states)) + extra, "a cache")


class Unusual(nn.Module):
    """Layers that are not simply stacked; `wiring` says how."""

    def __init__(self, wiring):
        super().__init__()
        self.wiring = wiring
        self.embed = nn.Linear(5, 5)
        blocks = [Block() for _ in range(4)]
        self.layers = nn.ModuleList([blocks[0]] * 4 if wiring == "shared" else blocks)

    def forward(self, inputs):
        embedded = self.embed(inputs)
        skip = hidden = embedded
        for index, layer in enumerate(self.layers):
            match self.wiring:
                case "keyword":
                    hidden, _ = layer(hidden_states=hidden)
                case "bypass":  # every layer sees the embedding as well
                    hidden, _ = layer(hidden, extra=embedded)
                case "skip":  # the last layer sees what the second one got
                    skip = hidden if index == 1 else skip
                    hidden, _ = layer(hidden, extra=skip if index == 3 else 0.0)
                case "dropped":  # a layer is left out
                    hidden = hidden if index in (1, 3) else layer(hidden)[0]
                case "shared" | "looped":
                    hidden, _ = layer(hidden)
        if self.wiring == "looped":
            for layer in self.layers[:3]:
                hidden, _ = layer(hidden)
        return hidden.sum(1)


@pytest.mark.parametrize("choice", ["all", "last:2", "name:embed", "name:layers.0"])
@pytest.mark.parametrize("wiring", ["keyword", "bypass", "skip", "dropped", "shared", "looped"])
def test_layers_that_are_not_simply_stacked(wiring, choice):
    torch.manual_seed(0)
    model = Unusual(wiring).double()
    inputs = torch.randn(4, 5, dtype=torch.float64)
    check(model, lambda: torch.cat([model(inputs[:1]), model(inputs[1:])]), choice)


def test_k_products_per_layer_and_at_most_one_layers_gradients(monkeypatch):
    n_layers = 5
    model = language_model("llama", n_layers=n_layers)
    analyzer = GradientAnalyzer(model, mode="backward")
    parameters = set(model.parameters())
    calls, gradients, alive, graphs, graphs_alive = [], [], [], [], []
    product = torch.autograd.grad

    def counted(outputs, inputs, **options):
        results = product(outputs, inputs, **options)
        calls.append([leaf for leaf in inputs if leaf in parameters])
        gradients.extend(
            weakref.ref(result) for leaf, result in zip(inputs, results, strict=True) if leaf in parameters
        )
        alive.append(sum(gradient().numel() for gradient in gradients if gradient() is not None))
        graphs.append(weakref.ref(outputs[0]))
        graphs_alive.append(len({id(graph()) for graph in graphs if graph() is not None}))
        return results

    monkeypatch.setattr(torch.autograd, "grad", counted)
    with analyzer.watch():
        scores = token_scores(model, *batch())
    analyzer.gram(scores, torch.randn(4, N_OBJECTIVES, dtype=torch.float64))

    assert len(calls) == (n_layers + 2) * N_OBJECTIVES  # head, layers, embedding
    assert Counter(leaf for call in calls for leaf in call) == dict.fromkeys(parameters, N_OBJECTIVES)
    largest_piece = max(sum(parameter.numel() for parameter in call) for call in calls)
    assert max(alive) <= N_OBJECTIVES * largest_piece
    assert max(alive) < sum(parameter.numel() for parameter in parameters)
    assert not any(gradient() is not None for gradient in gradients)
    assert max(graphs_alive) == 2  # the scores, which the caller holds, and the present layer's output


def test_nothing_is_kept_or_computed_below_the_lowest_chosen_layer(monkeypatch):
    model = language_model("llama")
    analyzer = GradientAnalyzer(model, "last:1", "backward")
    outputs = []
    handle = model.model.layers[0].register_forward_hook(
        lambda layer, args, output: outputs.append(weakref.ref(output))
    )
    with analyzer.watch():
        scores = token_scores(model, *batch())
    handle.remove()
    gc.collect()
    assert [output() for output in outputs] == [None]
    calls, product = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *args, **options: calls.append(1) or product(*args, **options))
    analyzer.gram(scores, torch.randn(4, N_OBJECTIVES))
    assert len(calls) == 2 * N_OBJECTIVES  # head and last layer


def test_the_model_is_left_as_it_was():
    model = language_model("llama")
    tokens_BT, attention_BT, response_BT = batch()
    before = token_scores(model, tokens_BT, attention_BT, response_BT)
    analyzer = GradientAnalyzer(model, mode="backward")
    with pytest.raises(ZeroDivisionError), analyzer.watch():
        raise ZeroDivisionError
    assert not any(module._forward_pre_hooks or module._forward_hooks for module in model.modules())
    with analyzer.watch():
        watched = token_scores(model, tokens_BT, attention_BT, response_BT)
    assert torch.equal(watched, before)
    before.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_two_runs_are_bitwise_equal():
    grams = []
    for _ in range(2):
        model = language_model("qwen2", tied=True)
        analyzer = GradientAnalyzer(model, mode="backward")
        with analyzer.watch():
            scores = token_scores(model, *batch())
        grams.append(analyzer.gram(scores, np.linspace(-1, 1, 12).reshape(4, 3)))
    assert (grams[0] == grams[1]).all()


def test_half_precision_products_are_accumulated_in_double():
    model = nn.Linear(4096, 1, bias=False).bfloat16()
    analyzer = GradientAnalyzer(model, mode="backward")
    with analyzer.watch():
        scores = model(torch.ones(1, 4096, dtype=torch.bfloat16)).squeeze(1)
    # 4096 ones: a sum in bfloat16 would stop at 256.
    np.testing.assert_allclose(analyzer.gram(scores, [[1.0, 2.0]]), [[4096, 8192], [8192, 16384]])
