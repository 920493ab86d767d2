"""A small reward model, made here: it likes one letter."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from paretune.envs import ArithmeticEnv, Conciseness, Prompt, RewardModel, check_env

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 ?+.\n"


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    vocabulary = {token: index for index, token in enumerate(["<unk>", "<end>", *LETTERS])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", **{"eos_token": "<end>", **special})


def model(labels: int = 1) -> LlamaForSequenceClassification:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=2 + len(LETTERS),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_labels=labels,
        pad_token_id=None,
        attention_dropout=0.5,
    )
    return LlamaForSequenceClassification(config)


def make(**options: Any) -> RewardModel:
    return RewardModel(model(options.pop("labels", 1)), tokenizer(), **options)


PROMPTS = [Prompt.from_question(f"{n} + {n}?") for n in range(8)]
RESPONSES = ["a", "bb", "two words", "x" * 40, "", "0 1 2", "zz top.", "a longer answer than all others"]


@pytest.mark.numeric
def test_the_score_is_the_sigmoid_of_the_models_output() -> None:
    reward = make(midpoint=0.25, spread=0.5)
    ids = tokenizer()([f"{prompt.text}\n\n{text}" for prompt, text in zip(PROMPTS, RESPONSES, strict=True)])[
        "input_ids"
    ]
    net = model().eval()
    with torch.no_grad():
        outputs = [net(torch.tensor([row])).logits.item() for row in ids]
    np.testing.assert_allclose(reward.outputs(PROMPTS, RESPONSES), outputs, atol=1e-6)
    expected = [1 / (1 + math.exp(-(z - 0.25) / 0.5)) for z in outputs]
    scores = reward(PROMPTS, RESPONSES)
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert scores.dtype == np.float32 and scores.shape == (8,)


@pytest.mark.numeric
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_scores_do_not_depend_on_the_batch_and_are_the_same_again(batch: int) -> None:
    reward = make(batch=batch)
    first = reward(PROMPTS, RESPONSES)
    assert np.array_equal(first, reward(PROMPTS, RESPONSES))  # no dropout
    np.testing.assert_allclose(first, make()(PROMPTS, RESPONSES), atol=1e-6)
    assert not any(parameter.grad is not None for parameter in reward._model.parameters())
    assert reward([], []).shape == (0,)


def test_calibration_puts_the_reference_texts_around_one_half() -> None:
    reward = make()
    calibrated = reward.calibrated(PROMPTS, RESPONSES)
    outputs = reward.outputs(PROMPTS, RESPONSES)
    lower, middle, upper = np.quantile(outputs, [0.25, 0.5, 0.75])
    assert calibrated.midpoint == pytest.approx(middle)
    assert calibrated.spread == pytest.approx((upper - lower) / (2 * math.log(3)))
    assert (reward.midpoint, reward.spread) == (0.0, 1.0) and calibrated.name == reward.name
    assert np.median(calibrated(PROMPTS, RESPONSES)) == pytest.approx(0.5, abs=0.05)
    even = RewardModel(model(), tokenizer(), midpoint=0.0, spread=1 / math.log(3))
    even.outputs = lambda prompts, responses: np.array([-1.0, 1.0])  # type: ignore[method-assign]
    np.testing.assert_allclose(even(PROMPTS[:2], RESPONSES[:2]), [0.25, 0.75], atol=1e-6)


def test_the_last_tokens_are_read_and_hostile_texts_cost_little() -> None:
    reward = make(max_tokens=8)
    long = "b" * 50 + "the end"
    assert reward.outputs(PROMPTS[:1], [long]) == pytest.approx(
        reward.outputs(["other prompt"], ["c" * 9 + "b" + "the end"])
    )
    scores = reward(PROMPTS, ["\ud800", "\x00", "9" * 1_000_000, "<end>" * 1000, "", " \n", "\U0001f642", "مرحبا"])
    assert reward(PROMPTS[:1], ["a<end>b"]) == reward(PROMPTS[:1], ["a b"])
    assert np.isfinite(scores).all() and ((scores >= 0) & (scores <= 1)).all()


def test_a_chat_template_is_used_where_there_is_one() -> None:
    chat = tokenizer()
    chat.chat_template = "{% for m in messages %}{{ m['role'][0] }}{{ m['content'] }}.{% endfor %}"
    reward = RewardModel(model(), chat)
    assert reward._text(PROMPTS[1], "two") == "u1 + 1?.atwo."
    assert make()._text(PROMPTS[1], "two") == "1 + 1?\n\ntwo"


def test_one_of_several_outputs_is_chosen_by_its_label() -> None:
    both = [make(labels=2, label=label).outputs(PROMPTS, RESPONSES) for label in (0, 1)]
    assert np.abs(both[0] - both[1]).min() > 0
    with pytest.raises(ValueError, match=r"label: must say which of the model's 2 outputs .* got None"):
        make(labels=2)
    with pytest.raises(ValueError, match=r"label: must be from 0 to 1.*got 2"):
        make(labels=2, label=2)


def test_bad_arguments_are_told(tmp_path: Path) -> None:
    for options, message in (
        ({"batch": 0}, "batch: must be at least 1, got 0"),
        ({"max_tokens": 0}, "max_tokens: must be at least 1, got 0"),
        ({"spread": 0.0}, "spread: must be a number above 0, got 0.0"),
        ({"midpoint": math.inf}, "midpoint: must be a finite number, got inf"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**options)
    with pytest.raises(ValueError, match="tokenizer: must be given"):
        RewardModel(model())
    with pytest.raises(ValueError, match="model: must be a sequence-classification model"):
        RewardModel(tmp_path / "nothing")
    with pytest.raises(ValueError, match="must have a padding or an end token"):
        bare = tokenizer()
        bare.eos_token = None
        RewardModel(model(), bare)
    with pytest.raises(ValueError, match="at least 4 reference texts, got 1"):
        make().calibrated(PROMPTS[:1], ["a"])
    with pytest.raises(ValueError, match="must differ in the model's output"):
        make().calibrated(PROMPTS[:1] * 4, ["a"] * 4)


def test_a_folder_is_loaded_and_an_environment_takes_it_as_an_objective(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    loaded = RewardModel(tmp_path, name="helpfulness", device="cpu")
    np.testing.assert_allclose(loaded(PROMPTS, RESPONSES), make()(PROMPTS, RESPONSES), atol=1e-6)
    env = ArithmeticEnv(held_out=4, objectives=[loaded, Conciseness(96)])
    assert env.objectives == ("helpfulness", "conciseness")
    check_env(env)


def test_importing_the_environments_needs_no_torch() -> None:
    code = "import sys, paretune.envs; sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
