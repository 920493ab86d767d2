"""A reward model as an objective: helpfulness, harmlessness, or whatever it was trained to judge.

torch and transformers are imported here alone, and not before a model is loaded. Shapes: B responses.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretune.envs.objectives.base import Objective, Scores
from paretune.envs.prompts import Prompt, as_prompts

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CHARS_PER_TOKEN = 32
"""A text is cut to so many characters for each token that is read, before it is tokenised."""


class RewardModel(Objective):
    """What a transformers sequence-classification model makes of prompt and response, squashed into [0, 1].

        score = sigmoid((z - midpoint) / spread)        z: the model's output

    With midpoint 0 and spread 1 that is the sigmoid of the output: the probability under Bradley and Terry's model that
    the response is preferred to one of output 0. `calibrated` sets both from reference texts instead, so that a score
    of 0.5 is the median text's; objectives of different models then spread alike over [0, 1].

    A model with a chat template sees the conversation with the response as its last turn; others see the texts with
    blank lines between them. Special tokens that a response spells out become blanks. Of more than `max_tokens` tokens
    the last ones are read: the beginning of the prompt goes. The model is in evaluation mode, without gradients, in
    float32 unless it was loaded otherwise; a text's score depends on the other texts of its batch by rounding alone.

    Attributes:
        name: The objective's name.
        midpoint: Output that scores 0.5.
        spread: How far from it an output scores 0.73, above 0.

    Example:
        >>> helpful = RewardModel("path/to/model", name="helpfulness", device="cuda:1")  # doctest: +SKIP
        >>> helpful = helpful.calibrated(prompts, responses)  # doctest: +SKIP
        >>> env = make_env("paretune/Math-v0", dataset="data", objectives=[helpful, harmless])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str | Path | PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase | None = None,
        *,
        name: str = "reward_model",
        midpoint: float = 0.0,
        spread: float = 1.0,
        label: int | None = None,
        device: str | torch.device | None = None,
        batch: int = 16,
        max_tokens: int = 1024,
    ) -> None:
        """Load the model.

        Args:
            model: A folder, a hub id, or the model itself.
            tokenizer: Its tokenizer; None loads the one beside the model.
            name: The objective's name.
            midpoint: Output that scores 0.5.
            spread: Outputs that far from the midpoint score 0.73 and 0.27; above 0.
            label: Which of the model's outputs is meant; may be None for models with one output.
            device: Where the model computes, the policy's device or another; None leaves a model that is given where it
                is, and puts a loaded one on the first GPU of this process, if any.
            batch: Most texts that are scored at the same time, at least 1.
            max_tokens: Most tokens of a text that are read, at least 1.

        Raises:
            ValueError: If an argument breaks its rule, the model has several outputs and no label says which, or it can
                pad no texts.
        """
        for argument, value in (("batch", batch), ("max_tokens", max_tokens)):
            if value < 1:
                raise ValueError(f"{argument}: must be at least 1, got {value}")
        _check_calibration(midpoint, spread)
        self.name, self.midpoint, self.spread = name, float(midpoint), float(spread)
        self._batch, self._max_tokens = batch, max_tokens
        given = not isinstance(model, str | Path)
        if given and tokenizer is None:
            raise ValueError("tokenizer: must be given along with a model that is not loaded from a folder, got None")
        loaded: tuple[Any, Any] = (model, tokenizer) if given else _load(str(model), tokenizer)
        self._model, self._tokenizer = loaded
        if device is None and not given:
            device = _first_accelerator()
        if device is not None:
            self._model = self._model.to(device)
        self._model.eval()
        self._label = _checked_label(label, self._model.config.num_labels)
        _make_paddable(self._model, self._tokenizer)

    def __call__(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Scores:
        """Score responses, (B,) in [0, 1]."""
        return _sigmoid((self.outputs(prompts, responses) - self.midpoint) / self.spread).astype(np.float32)

    def outputs(self, prompts: Sequence[Prompt | str], responses: Sequence[str]) -> np.ndarray:
        """Return the model's own outputs z (B,), float64.

        Raises:
            ValueError: If one is not finite.
        """
        import torch

        texts = [self._text(prompt, str(each)) for prompt, each in zip(as_prompts(prompts), responses, strict=True)]
        parts = [np.empty(0)]
        for start in range(0, len(texts), self._batch):
            inputs = self._tokenizer(
                texts[start : start + self._batch],
                return_tensors="pt",
                padding=True,
                padding_side="right",
                truncation=True,
                max_length=self._max_tokens,
                add_special_tokens=not self._tokenizer.chat_template,  # a template writes them itself
            )
            # token types are zeros for single texts, and decoders take none
            kept = {name: tensor.to(self._model.device) for name, tensor in inputs.items() if name != "token_type_ids"}
            with torch.inference_mode():
                parts.append(self._model(**kept).logits[:, self._label].double().cpu().numpy())
        outputs = np.concatenate(parts)
        if not np.isfinite(outputs).all():
            raise ValueError(
                f"objective {self.name!r}: must have finite outputs, got {outputs[~np.isfinite(outputs)][0]}"
            )
        return outputs

    def calibrated(self, prompts: Sequence[Prompt | str], responses: Sequence[str]) -> RewardModel:
        """Return the same objective with midpoint and spread from reference texts.

        They may be the responses of the policy before training.

            midpoint = median of z,    spread = (upper quartile - lower quartile of z) / (2 log 3)

        So the median text scores 0.5, and where the quartiles lie evenly around it, they score 0.25 and 0.75.

        Raises:
            ValueError: If half of the texts or more have the same output, or there are fewer than 4.
        """
        if len(responses) < 4:
            raise ValueError(f"responses: must be at least 4 reference texts, got {len(responses)}")
        lower, middle, upper = np.quantile(self.outputs(prompts, responses), [0.25, 0.5, 0.75]).tolist()
        if upper <= lower:
            raise ValueError(f"responses: must differ in the model's output, got quartiles {lower} and {upper}")
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__ | {"midpoint": middle, "spread": (upper - lower) / (2 * math.log(3))}
        return other

    def _text(self, prompt: Prompt, response: str) -> str:
        longest = CHARS_PER_TOKEN * self._max_tokens
        response = response[-longest:].encode("utf-8", "replace").decode()  # tokenizers take no lone surrogates
        for token in self._tokenizer.all_special_tokens:  # a response must not end its turn and begin another
            response = response.replace(token, " ")
        if self._tokenizer.chat_template:
            turns: list[Any] = [*map(dict, prompt.messages), {"role": "assistant", "content": response}]
            text = self._tokenizer.apply_chat_template(turns, tokenize=False)
            assert isinstance(text, str)
        else:
            text = f"{prompt.text}\n\n{response}"
        return text[-longest:]


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(x / 2))  # without overflow


def _check_calibration(midpoint: float, spread: float) -> None:
    if not math.isfinite(midpoint):
        raise ValueError(f"midpoint: must be a finite number, got {midpoint}")
    if not 0 < spread < math.inf:
        raise ValueError(f"spread: must be a number above 0, got {spread}")


def _checked_label(label: int | None, labels: int) -> int:
    if label is None and labels != 1:
        raise ValueError(
            f"label: must say which of the model's {labels} outputs is the score, 0 to {labels - 1}, got None"
        )
    if label is not None and not 0 <= label < labels:
        raise ValueError(f"label: must be from 0 to {labels - 1}, as the model has outputs, got {label}")
    return label or 0


def _load(source: str, tokenizer: PreTrainedTokenizerBase | None) -> tuple[Any, Any]:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    try:
        model = AutoModelForSequenceClassification.from_pretrained(source)
        return model, tokenizer or AutoTokenizer.from_pretrained(source)
    except OSError as error:
        raise ValueError(
            f"model: must be a sequence-classification model or its folder, got {source!r}: {error}"
        ) from error


def _first_accelerator() -> str | None:
    import torch

    # of several processes that a launcher started, each has a card of its own
    return f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else None


def _make_paddable(model: Any, tokenizer: Any) -> None:
    """See to it that texts can be padded: decoders find a text's end by the padding token."""
    tokenizer.truncation_side = "left"
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise ValueError("tokenizer: must have a padding or an end token, got one with neither")
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
