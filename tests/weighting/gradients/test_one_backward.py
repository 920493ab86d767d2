"""Mode "exact" against K separate backward passes, in float64, on real architectures."""

import gc
import weakref
from unittest import mock

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import GemmaConfig, GemmaForCausalLM

from paretune.weighting import GradientAnalyzer
from tests.weighting.language_models import (
    N_OBJECTIVES,
    VOCABULARY,
    assert_equal_up_to_rounding,
    batch,
    language_model,
    separate_backward_passes,
    token_scores,
    with_norms_in_float64,
    without_dropout,
)

pytestmark = pytest.mark.numeric


def advantages(n_responses=4, seed=1):
    return torch.randn(n_responses, N_OBJECTIVES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def n_hooks(model):
    return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in model.modules())


def check(model, choice="all", micro=None, score=token_scores, tolerance=1e-6):
    micro = micro or batch()
    analyzer = GradientAnalyzer(model, choice, "exact")
    trained, hooks = [p for p in model.parameters() if p.requires_grad], n_hooks(model)
    expected = separate_backward_passes(score(model, *micro), advantages(), list(analyzer.parameters.values()))
    for dear in (10**9, -(10**9)):  # products over components, and over positions; the first also checks the rows
        with mock.patch("paretune.weighting.gradients.factor_gram.PAIR_COST", dear):
            with analyzer.watch():
                scores = score(model, *micro)
            gram = analyzer.gram(scores, advantages().numpy())
        assert_equal_up_to_rounding(gram, expected, tolerance)
    assert [id(p) for p in model.parameters() if p.requires_grad] == [id(p) for p in trained]
    assert all(parameter.grad is None for parameter in model.parameters())
    assert n_hooks(model) == hooks


@pytest.mark.parametrize("choice", ["all", "last:2", "name:embed|wte|wpe", "name:norm|ln_", "name:lm_h|bias"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_language_models(family, tied, choice):
    check(language_model(family, tied), choice)


def test_no_rounding_but_that_of_float64():
    check(with_norms_in_float64(language_model("qwen2", tied=True)), tolerance=1e-13)


def test_a_norm_of_another_form():
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = GemmaConfig(vocab_size=VOCABULARY, num_key_value_heads=1, head_dim=16, **sizes)
    torch.manual_seed(0)
    check(GemmaForCausalLM(config).double().eval(), "name:norm|proj")


def test_a_token_that_gets_no_gradient_in_the_embedding():
    model = language_model("llama")
    model.model.embed_tokens.padding_idx = 5
    tokens_BT, *masks = batch()
    tokens_BT[1:3] = 5
    check(model, "name:embed", (tokens_BT, *masks))


@pytest.mark.parametrize("choice", ["lora", "all", "last:2", "name:q_proj.lora_B"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_lora(family, choice):
    targets = {"llama": ["q_proj", "v_proj", "down_proj"], "gpt2": ["c_attn", "c_proj"]}[family]
    config = LoraConfig(r=2, target_modules=targets, init_lora_weights=False, fan_in_fan_out=family == "gpt2")
    model = get_peft_model(language_model(family), config).double()
    if family == "gpt2":
        choice = choice.replace("q_proj", "c_attn")
    check(model, choice)


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_gradient_checkpointing(family, lora):
    model = without_dropout(language_model(family, tied=True))
    model.gradient_checkpointing_enable({"use_reentrant": False})
    if lora:
        config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False, fan_in_fan_out=family == "gpt2")
        model = get_peft_model(model, config).double()
    model.train()
    for choice in ("all", "last:2"):
        check(model, choice)


@pytest.mark.parametrize("recomputed", [False, True])
def test_an_output_head_that_sees_response_tokens_in_pieces(recomputed):
    model = language_model("llama", tied=True)
    tokens_BT, attention_BT, response_BT = batch()
    here_BT = response_BT[:, 1:].bool()

    def scores():
        hidden_BTH = model.model(input_ids=tokens_BT, attention_mask=attention_BT).last_hidden_state
        pieces = hidden_BTH[:, :-1][here_BT].split(4)
        head = (lambda piece: checkpoint(model.lm_head, piece, use_reentrant=False)) if recomputed else model.lm_head
        log_probs_NV = torch.cat([head(piece).log_softmax(-1) for piece in pieces])
        log_probs_N = log_probs_NV.gather(1, tokens_BT[:, 1:][here_BT][:, None]).squeeze(1)
        return torch.zeros(here_BT.shape, dtype=torch.float64).masked_scatter(here_BT, log_probs_N).sum(1)

    analyzer = GradientAnalyzer(model, mode="exact")
    with analyzer.watch(here_BT.nonzero()[:, 0]):
        watched = scores()
    gram = analyzer.gram(watched, advantages())
    assert_equal_up_to_rounding(
        gram, separate_backward_passes(scores(), advantages(), list(analyzer.parameters.values()))
    )
    with analyzer.watch():  # without being told which row is whose
        watched = scores()
    with pytest.raises(ValueError, match=r"one row for each of the 4 scores .* got 2 in Linear"):
        analyzer.gram(watched, advantages())


def test_bfloat16_under_autocast():
    torch.manual_seed(0)
    model = language_model("llama", tied=True).float()
    analyzer = GradientAnalyzer(model, mode="exact")

    def scores():
        with torch.autocast("cpu", torch.bfloat16):
            return token_scores(model, *batch()).float()

    with analyzer.watch():
        watched = scores()
    expected = separate_backward_passes(scores(), advantages().float(), list(model.parameters()))
    # the passes share their way forward; on the way back gradients are rounded by 2**-8, and two of them multiplied
    np.testing.assert_allclose(analyzer.gram(watched, advantages()), expected, rtol=0, atol=0.02 * expected.max())


def test_half_precision_products_are_accumulated_in_double():
    model = nn.Linear(4096, 1, bias=False).bfloat16()
    analyzer = GradientAnalyzer(model, mode="exact")
    with analyzer.watch():
        scores = model(torch.ones(1, 4096, dtype=torch.bfloat16)).squeeze(1)
    # 4096 ones: a sum in bfloat16 would stop at 256.
    np.testing.assert_allclose(analyzer.gram(scores, [[1.0, 2.0]]), [[4096, 8192], [8192, 16384]])


def test_large_matrices_are_multiplied_in_pieces(monkeypatch):
    monkeypatch.setattr("paretune.weighting.gradients.factors.CHUNK", 200)
    check(language_model("gpt2", tied=True))


def test_one_forward_and_one_backward_pass_that_compute_no_gradient_of_a_parameter(monkeypatch):
    model = language_model("llama")
    analyzer = GradientAnalyzer(model, mode="exact")
    analyzer._passes._checked = True
    calls, product = [], torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd,
        "grad",
        lambda outputs, inputs, *rest, **options: calls.append(inputs) or product(outputs, inputs, *rest, **options),
    )
    with analyzer.watch():
        scores = token_scores(model, *batch())
    analyzer.gram(scores, advantages())
    assert [anchor.shape for anchor in calls] == [()]


def test_nothing_is_kept_below_the_lowest_chosen_layer():
    model = language_model("llama")
    analyzer = GradientAnalyzer(model, "last:1", "exact")
    outputs = []
    handle = model.model.layers[0].register_forward_hook(
        lambda layer, args, output: outputs.append(weakref.ref(output))
    )
    with analyzer.watch():
        scores = token_scores(model, *batch())
    handle.remove()
    gc.collect()
    assert [output() for output in outputs] == [None]
    assert analyzer.gram(scores, advantages()).trace() > 0


def test_two_runs_are_bitwise_equal():
    grams = []
    for _ in range(2):
        model = language_model("qwen2", tied=True)
        analyzer = GradientAnalyzer(model, mode="exact")
        with analyzer.watch():
            scores = token_scores(model, *batch())
        grams.append(analyzer.gram(scores, np.linspace(-1, 1, 12).reshape(4, 3)))
    assert (grams[0] == grams[1]).all()


class Unusual(nn.Module):
    """Whatever a parameter can do that the taps do not see; `wiring` says what."""

    def __init__(self, wiring):
        super().__init__()
        self.wiring = wiring
        self.linear = nn.Linear(4, 4)
        if wiring == "own":
            self.scale = nn.Parameter(torch.ones(4))

    def forward(self, inputs):
        hidden = self.linear(inputs)
        match self.wiring:
            case "functional":
                return hidden + nn.functional.linear(hidden, self.linear.weight)
            case "own":
                return hidden * self.scale
            case "penalty":
                return hidden + self.linear.bias.square().sum()
            case "mean":  # of the batch, which every response depends on
                return hidden - self.linear(hidden).mean(0)
            case "turned":
                return self.linear(hidden.T).T
            case "squashed":
                return self.linear(hidden.mean(0, keepdim=True)) + hidden
        return hidden


def gram_of(model, mode="exact", order=None):
    analyzer = GradientAnalyzer(model, mode=mode)
    with analyzer.watch():
        scores = model(torch.randn(4, 4)).tanh().sum(1)
    return analyzer.gram(scores if order is None else scores[order], torch.ones(4, 2))


@pytest.mark.parametrize(
    ("wiring", "message"),
    [
        ("own", "must know the kind of every module with chosen parameters, got Unusual with 'scale'"),
        ("functional", "'linear.weight', which takes part 2 times, of which modules account for 1"),
        ("penalty", "'linear.bias', which takes part 2 times, of which modules account for 1"),
        ("mean", "must see score b depend on row b .* got others in Linear"),
        ("turned", "must see score b depend on row b .* got others in Linear"),
    ],
)
def test_what_cannot_be_seen_is_an_error_that_names_the_mode_which_can(wiring, message):
    with pytest.raises(ValueError, match=message + '.*mode="backward" does without'):
        gram_of(Unusual(wiring))
    assert gram_of(Unusual(wiring), "backward").trace() > 0


def test_scores_in_another_order_than_the_rows_are_an_error():
    with pytest.raises(ValueError, match="must see score b depend on row b"):
        gram_of(Unusual("plain"), order=[1, 0, 2, 3])


def test_a_module_whose_forward_was_replaced_is_not_known():
    model = nn.Linear(3, 1)
    model.forward = lambda x: x @ model.weight.T**2
    with pytest.raises(ValueError, match="got Linear with 'weight'"):
        GradientAnalyzer(model, mode="exact")


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


class MixingRMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x * self.weight * self.weight.sum()


@pytest.mark.parametrize("module", [Doubled(4, 4), MixingRMSNorm()])
def test_modules_that_only_look_like_a_known_kind_are_not_known(module):
    with pytest.raises(ValueError, match=f"got {type(module).__name__} with 'weight'"):
        GradientAnalyzer(module, mode="exact")
