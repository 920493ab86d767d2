"""Finding the model that a name stands for."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from paretune.agents.policies import adapters
from paretune.agents.policies.base import Policy
from paretune.agents.policies.language_model import LanguageModelPolicy
from paretune.agents.policies.network import CONFIG, NetworkPolicy
from paretune.agents.policies.pretrained import no_progress_bars
from paretune.agents.settings import Precision
from paretune.envs.suggest import unknown_name

EMBEDDED = {"tiny-math": Path(__file__).parent / "tiny_math"}
"""Models that come with the package."""

FORMATS: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_policy(name: str | Path, device: str = "auto", precision: Precision = "auto") -> LanguageModelPolicy:
    """Load a causal language model and its tokenizer; every name goes through the same code.

    Args:
        name: "tiny-math" (the embedded model), a folder in Hugging Face format, a folder with an adapter (of a
            checkpoint, or of peft's) whose base model is then loaded as well, a GGUF file, or a hub id.
        device: Such as cpu or cuda:1; "auto" takes an accelerator where there is one.
        precision: Number format of forward passes; the weights are float32 always.

    Raises:
        ValueError: If nothing can be loaded under this name, or the device or precision cannot be had.

    Example:
        >>> load_policy("tiny-math", device="cpu").context_length
        256
    """
    target = pick_device(device)
    kind = pick_precision(precision, target)
    if adapters.is_adapter_folder(Path(name)):
        return _load_adapted(Path(name), str(name), device, precision)
    path = EMBEDDED.get(str(name), Path(name))
    options: dict[str, Any] = {}
    source: str | Path = path
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ValueError(f"policy: must be a GGUF file that exists, got {str(name)!r}")
        _require_gguf()
        source, options = path.parent, {"gguf_file": path.name}
    elif not path.is_dir():
        source = _hub_id(str(name))
    try:
        with no_progress_bars():
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise _not_loadable(str(name), error) from error
    if options:
        # The weights are dequantised: the model is an ordinary one, and must be saved as such.
        for owner, name_of_mark in ((model.config, "quantization_config"), (model, "hf_quantizer")):
            if hasattr(owner, name_of_mark):
                delattr(owner, name_of_mark)
    torch.nn.Module.to(model, target)  # the model class's own `to` is not typed for devices
    return LanguageModelPolicy(model, tokenizer, str(name), kind)


def _load_adapted(folder: Path, name: str, device: str, precision: Precision) -> LanguageModelPolicy:
    foundation = adapters.read_foundation(folder)
    base = load_policy(foundation.base or folder / adapters.BASE, device, precision)
    if base.foundation is not None:
        raise ValueError(f"policy: must be an adapter of a model without adapters, got {name!r}")
    model = adapters.load_adapter(base.model, folder)
    tokenizer = base.tokenizer
    if (folder / "tokenizer_config.json").is_file():
        tokenizer = AutoTokenizer.from_pretrained(folder)
    return LanguageModelPolicy(model, tokenizer, name, base.precision, foundation)


def load_saved(folder: Path, device: str = "auto", precision: Precision = "auto") -> Policy:
    """Load the policy of a checkpoint, a network or a language model.

    Raises:
        ValueError: If the folder holds neither, or the device or precision cannot be had.
    """
    if (folder / CONFIG).exists():
        return NetworkPolicy.load(folder, pick_device("cpu" if device == "auto" else device))
    return load_policy(folder, device, precision)


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; "auto" is the accelerator at hand, else the CPU.

    Raises:
        ValueError: If there is no such device.
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if name == "auto":
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: must be auto, cpu or a device of this machine, got {name!r} ({error})") from error
    return device


def pick_precision(name: Precision, device: torch.device) -> torch.dtype:
    """Return the number format called `name`; "auto" is bfloat16 on a GPU that supports it, else float32."""
    if name == "auto":
        supported = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if supported else torch.float32
    if name not in FORMATS:
        raise ValueError(unknown_name("precision", name, ["auto", *FORMATS]))
    return FORMATS[name]


def precision_name(precision: torch.dtype) -> Precision:
    """Return the name that `pick_precision` knows a number format by."""
    return "bfloat16" if precision == torch.bfloat16 else "float32"


def _require_gguf() -> None:
    try:
        import gguf  # noqa: F401  # transformers reads GGUF files with it
    except ImportError as error:
        raise ValueError('policy: GGUF files need the extra "gguf": pip install "paretune[gguf]"') from error


def _hub_id(name: str) -> str:
    """Return `name` unless it looks like a misspelt embedded model; asking a hub that is out of reach takes long."""
    if get_close_matches(name, EMBEDDED):
        raise ValueError(f"{unknown_name('policy', name, EMBEDDED)}, a model folder, a GGUF file or a hub id")
    return name


def _not_loadable(name: str, error: Exception) -> ValueError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return ValueError(
        f"policy: must be {' or '.join(EMBEDDED)}, a model folder, a GGUF file or a hub id within reach, got {name!r}; "
        f"transformers says: {reason[0]}"
    )
