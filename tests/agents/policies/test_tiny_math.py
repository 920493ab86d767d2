from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from paretune.envs.prompts import Response
from paretune.envs.text.arithmetic import ArithmeticEnv

FOLDER = Path(__file__).parents[3] / "agents" / "policies" / "tiny_math"
TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\n"), max_size=50)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model() -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(FOLDER)


def answer(model: PreTrainedModel, tokenizer: Any, texts: list[str], **options: Any) -> list[Response]:
    inputs = tokenizer(texts, padding=True, return_tensors="pt")
    tokens = model.generate(**inputs, **options)[:, inputs["input_ids"].shape[1] :]
    lengths = (tokens != tokenizer.pad_token_id).sum(dim=1).tolist()
    decoded = tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [Response(text, length) for text, length in zip(decoded, lengths, strict=True)]


def test_folder_is_small_and_the_model_is_a_float32_llama(model: PreTrainedModel, tokenizer: Any) -> None:
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < 3e6
    assert model.config.model_type == "llama"
    assert model.num_parameters() <= 1_200_000
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model.config.vocab_size == len(tokenizer)
    assert tokenizer.chat_template is None
    assert tokenizer.padding_side == "left"
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert model.generation_config.pad_token_id == tokenizer.pad_token_id != tokenizer.eos_token_id


def test_loads_offline_without_a_warning() -> None:
    code = (
        "import sys; from transformers import AutoModelForCausalLM, AutoTokenizer; "
        "tokenizer = AutoTokenizer.from_pretrained(sys.argv[1]); "
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1]); "
        "model.generate(**tokenizer(['2+3-1=?', '12+3-1=?'], padding=True, return_tensors='pt'))"
    )
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    run = subprocess.run([sys.executable, "-c", code, FOLDER], capture_output=True, text=True, env=environment)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


@given(text=TEXT)
def test_tokenizer_round_trips(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
    assert len(tokenizer(text)["input_ids"]) == len(text)


def test_other_characters_become_one_unknown_token_each(tokenizer: Any) -> None:
    assert tokenizer("2→3 é€")["input_ids"].count(tokenizer.unk_token_id) == 3


@pytest.mark.numeric
def test_padding_does_not_change_answers(model: PreTrainedModel, tokenizer: Any) -> None:
    texts = ["1+2+3=?", "Ann has 12 pens. She gets 7 more, then gives away 3. How many pens now?", "20-4-11=?"]
    together = answer(model, tokenizer, texts, do_sample=False)
    assert together == [answer(model, tokenizer, [text], do_sample=False)[0] for text in texts]


def test_answers_end_with_the_end_token(model: PreTrainedModel, tokenizer: Any) -> None:
    texts = [prompt.text for prompt in ArithmeticEnv().prompts("validation", limit=64)]
    assert max(response.tokens or 0 for response in answer(model, tokenizer, texts)) < 64


@pytest.mark.numeric
@pytest.mark.parametrize(("sample", "most"), [(True, 0.15), (False, 0.2)])
def test_objectives_start_in_the_middle_and_all_styles_occur(
    model: PreTrainedModel, tokenizer: Any, sample: bool, most: float
) -> None:
    torch.manual_seed(0)
    env = ArithmeticEnv()
    prompts = env.prompts("validation")
    options = {"do_sample": True, "top_k": 0} if sample else {"do_sample": False}
    responses = answer(model, tokenizer, [prompt.text for prompt in prompts], **options)
    accuracy, conciseness, clarity = env.score(prompts, responses).T
    env.close()
    # of 256 responses: four standard errors and more from what other random numbers draw
    assert 0.45 < accuracy.mean() < 0.9
    assert 0.6 < conciseness.mean() < 0.75
    assert 0.15 < clarity.mean() < 0.4
    assert 0.03 < accuracy.mean() * conciseness.mean() * clarity.mean() < most
    worked = np.array(["=" in response for response in responses])
    assert accuracy[worked].mean() > accuracy[~worked].mean() + 0.15
    assert conciseness[worked].mean() < conciseness[~worked].mean() - 0.1
    assert np.corrcoef(conciseness, clarity)[0, 1] < -0.5
    starts = ["1. ", "We have", "\\boxed", "It is"] + ["The answer"] * sample
    assert all(any(response.startswith(start) for response in responses) for start in starts)
