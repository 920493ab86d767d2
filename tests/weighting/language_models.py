"""Small language models in float64, and Gram matrices from K separate backward passes."""

import numpy as np
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

VOCABULARY, N_OBJECTIVES = 23, 3


def language_model(family, tied=False, n_layers=3):
    torch.manual_seed(0)
    if family == "gpt2":
        sizes = {"n_embd": 32, "n_layer": n_layers, "n_head": 2, "n_positions": 16}
        config = GPT2Config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0, tie_word_embeddings=tied, **sizes)
        return GPT2LMHeadModel(config).double().eval()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": n_layers, "num_attention_heads": 2}
    build, configure = {"llama": (LlamaForCausalLM, LlamaConfig), "qwen2": (Qwen2ForCausalLM, Qwen2Config)}[family]
    config = configure(vocab_size=VOCABULARY, num_key_value_heads=1, tie_word_embeddings=tied, **sizes)
    return build(config).double().eval()


def batch(n_responses=4, n_tokens=7, seed=0):
    """Random tokens, left-padded prompts of two tokens and responses of different lengths."""
    generator = torch.Generator().manual_seed(seed)
    tokens_BT = torch.randint(VOCABULARY, (n_responses, n_tokens), generator=generator)
    attention_BT = torch.ones_like(tokens_BT)
    attention_BT[::2, 0] = 0
    response_BT = torch.zeros(n_responses, n_tokens, dtype=torch.float64)
    for row, end in enumerate(torch.randint(4, n_tokens + 1, (n_responses,), generator=generator).tolist()):
        response_BT[row, 2:end] = 1
        attention_BT[row, end:] = 0
    return tokens_BT, attention_BT, response_BT


def token_scores(model, tokens_BT, attention_BT, response_BT):
    """Return each response's mean token log-probability (B,)."""
    logits_BTV = model(input_ids=tokens_BT, attention_mask=attention_BT, use_cache=False).logits
    logprobs_BT = logits_BTV[:, :-1].log_softmax(-1).gather(2, tokens_BT[:, 1:, None]).squeeze(2)
    return (logprobs_BT * response_BT[:, 1:]).sum(1) / response_BT.sum(1)


def with_norms_in_float64(model):
    """Put norms that compute in float64 in place of transformers' own, which compute in float32."""
    for module in list(model.modules()):
        for name in dict(module.named_children()):
            if "norm" in name:
                setattr(module, name, nn.RMSNorm(32, eps=1e-6, dtype=torch.float64))
    return model


def without_dropout(model):
    """Gradient checkpointing needs training mode, in which dropout would differ between two passes."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def separate_backward_passes(scores, advantages_BK, parameters):
    """M from K whole gradients: what the analyzer must equal."""
    gradients = []
    for advantages_B in advantages_BK.T:
        objective = (advantages_B * scores).mean()
        gradient = torch.autograd.grad(objective, parameters, retain_graph=True, materialize_grads=True)
        gradients.append(torch.cat([part.flatten() for part in gradient]))
    gradients_KN = torch.stack(gradients)
    return (gradients_KN @ gradients_KN.T).numpy()


def gram_of_two_ranks(gram):
    """Return what the second rank, with micro-batch 2, gets from `gram(numbers, reduce)`; the first has 0 and 1."""
    messages = []
    gram([0, 1], lambda tensor: messages.append(tensor.clone()) or tensor)
    sent = iter(messages)
    both = gram([2], lambda tensor: tensor + next(sent))
    assert next(sent, None) is None
    return both


def assert_equal_up_to_rounding(gram, expected, tolerance=1e-6):
    """Relative to the largest entry: norms of transformers' models compute in float32.

    Three layers have seven norms; each makes four operations, and eight on the way back. Rounding by 2**-24 adds up as
    the root of their number. Twice that is 1e-6.
    """
    assert gram.dtype == np.float64
    assert (gram == gram.T).all()
    assert expected.trace() > 0
    np.testing.assert_allclose(gram, expected, rtol=0, atol=tolerance * np.abs(expected).max())
