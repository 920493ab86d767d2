"""LoRA adapters, through peft: making them, switching them off, and checkpoints that hold the adapter alone.

A checkpoint of an adapted policy is a folder of peft's (`adapter_config.json`, `adapter_model.safetensors`) with a file
that says what the adapter stands on: the name of the base model, or a copy of it in the subfolder `base` where it has
no name under which it could be loaded again.
"""

from __future__ import annotations

import copy
import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FOUNDATION, BASE = "adapter_base.json", "base"
NAME = "default"
"""What peft calls an adapter that it was given no name for; the only one that is saved."""


@dataclass(frozen=True, kw_only=True)
class Foundation:
    """What an adapter stands on.

    Attributes:
        base: Name under which `load_policy` finds the base model; None if it is saved with every checkpoint.
        neutral: Whether the adapter changed nothing when the policy was made, so that the initial policy is the base.
    """

    base: str | None
    neutral: bool


def is_adapted(model: Any) -> bool:
    """Whether a model is one of peft's."""
    return hasattr(model, "peft_config")


def is_adapter_folder(folder: Path) -> bool:
    """Whether a folder holds an adapter, ours or one that peft wrote."""
    return (folder / CONFIG).is_file()


def add_lora(model: Any, rank: int, alpha: float, targets: Sequence[str], seed: int) -> Any:
    """Return `model` with new LoRA adapters, which alone are trained and change nothing yet.

    Args:
        model: A causal language model; it is changed in place.
        rank: Rank r of the updates.
        alpha: The updates are scaled by alpha / rank.
        targets: Names of the linear layers that get one; none stands for all but the output layer.
        seed: Of the random half of the adapters.

    Raises:
        ValueError: If peft is not installed, or there are no layers of these names.
    """
    peft = _peft()
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, target_modules=list(targets) or "all-linear", lora_dropout=0.0, task_type="CAUSAL_LM"
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")  # the output layer is no target
        torch.manual_seed(seed)
        try:
            return peft.get_peft_model(model, config)
        except ValueError as error:
            if "target" not in str(error).lower():
                raise
            raise ValueError(
                f"lora_targets: must be names of linear layers of the model, such as q_proj, got {list(targets)}; "
                f"peft says: {error}"
            ) from error


def is_neutral(model: Any) -> bool:
    """Whether the adapters of a model change nothing: all are LoRA, with a second factor of zeros."""
    if any(config.peft_type != "LORA" or config.modules_to_save for config in model.peft_config.values()):
        return False
    second = [p for name, p in model.named_parameters() if "lora_B" in name or "lora_embedding_B" in name]
    return bool(second) and not any(p.any() for p in second)


@contextmanager
def adapter_off(model: Any) -> Iterator[None]:
    """Switch the adapters of a model off inside the block; it computes what its base does.

    peft makes all parameters of adapters trainable when it switches them on again: those that were frozen stay so.
    """
    trainable = {parameter: parameter.requires_grad for parameter in model.parameters()}
    try:
        with model.disable_adapter():
            yield
    finally:
        for parameter, requires_grad in trainable.items():
            parameter.requires_grad_(requires_grad)


def check_savable(model: Any) -> None:
    """Raise ValueError if a checkpoint of an adapted model could not be loaded again."""
    if list(model.peft_config) != [NAME] or not hasattr(model.base_model, "unload"):
        raise ValueError(
            f"policy: must have one adapter called {NAME!r} of a kind that peft can unload, for checkpoints, got "
            f"{', '.join(f'{name!r} ({c.peft_type.value})' for name, c in model.peft_config.items())}; merge them "
            "(merge_and_unload) or train without a run folder"
        )


def save_adapter(model: Any, foundation: Foundation, folder: Path) -> None:
    """Write the adapter of a model, and what it stands on.

    A base without a name is not written here; see `base_of`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = _peft().get_peft_model_state_dict(model, save_embedding_layers=False)
    save_file({name: value.contiguous() for name, value in state.items()}, folder / WEIGHTS)
    config = copy.copy(model.peft_config[NAME])
    config.inference_mode = True
    config.base_model_name_or_path = foundation.base or BASE
    config.save_pretrained(folder)
    entries = asdict(foundation) | {"fingerprint": _fingerprint(base_parameters(model))}
    (folder / FOUNDATION).write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")


def base_of(model: Any) -> Any:
    """Return a copy of the model that the adapters of `model` stand on."""
    return copy.deepcopy(model).unload()


def read_foundation(folder: Path) -> Foundation:
    """Return what the adapter in a folder stands on, also where peft alone wrote it.

    Raises:
        ValueError: If the folder does not say.
    """
    try:
        if (folder / FOUNDATION).is_file():
            entries = json.loads((folder / FOUNDATION).read_text(encoding="utf-8"))
            return Foundation(base=entries["base"], neutral=entries["neutral"])
        base = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError) as error:
        raise ValueError(
            f"policy: must be the folder of an adapter, got {str(folder)!r}, which is damaged ({error})"
        ) from error
    if not base:
        raise ValueError(f"policy: must name its base_model_name_or_path in {CONFIG}, got none in {str(folder)!r}")
    return Foundation(base=base, neutral=False)


def load_adapter(model: Any, folder: Path) -> Any:
    """Return `model` with the adapter in a folder, to be trained on.

    Raises:
        ValueError: If peft is not installed, the adapter does not fit, or the base is not that of the checkpoint.
    """
    peft = _peft()
    _check_fingerprint(model, folder)
    try:
        return peft.PeftModel.from_pretrained(model, folder, is_trainable=True)
    except (ValueError, RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"policy: must have an adapter that fits its base model, got {str(folder)!r}: {error}"
        ) from error


def plain_name(name: str) -> str:
    """Return the name of a weight in the model that adapters stand on, from the one that it has in peft's model."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def base_parameters(model: Any) -> dict[str, torch.Tensor]:
    """Return the parameters of the model that adapters stand on, by the names that they have without adapters."""
    return {
        plain_name(name): parameter
        for name, parameter in model.named_parameters()
        if f".{NAME}." not in name and not name.endswith(f".{NAME}")
    }


def _check_fingerprint(model: Any, folder: Path) -> None:
    if not (folder / FOUNDATION).is_file():
        return
    entries = json.loads((folder / FOUNDATION).read_text(encoding="utf-8"))
    if entries["fingerprint"] != _fingerprint(dict(model.named_parameters())):
        raise ValueError(
            f"policy: must have an adapter that was trained on the weights that {entries['base'] or BASE!r} has now, "
            f"got {str(folder)!r}, trained on others; put the base model back as it was"
        )


def _fingerprint(parameters: dict[str, torch.Tensor]) -> str:
    """Return what changes if parameters do: a checksum of the first numbers of each, so that it costs little."""
    checksum = hashlib.sha256()
    for name in sorted(parameters):
        head = parameters[name].detach().flatten()[:64].float().cpu()
        checksum.update(f"{name} {tuple(parameters[name].shape)} ".encode() + head.numpy().tobytes())
    return checksum.hexdigest()


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise ValueError(
            'lora_rank, policy: adapters need the extra "peft": pip install "paretune[peft]", or pip install -e '
            '".[peft]" in a clone'
        ) from error
    return peft
