"""Small networks as policies for stepped environments.

Shapes: B episodes, T steps, N = steps that are not padding, D features, A actions, H hidden.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from paretune.agents.policies.base import Policy
from paretune.agents.sequences.decisions import Decisions
from paretune.agents.sequences.steps import Steps
from paretune.envs.suggest import unknown_name

CONFIG, WEIGHTS = "network.json", "model.safetensors"
KINDS = ("mlp", "gru")


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """What a network is made from.

    Attributes:
        kind: "mlp", tanh layers that see the present observation; "gru", with a memory of those before, for
            observations that do not tell the whole state.
        features: D.
        actions: A.
        hidden: Widths of the hidden layers, at least one; of a "gru" the last one is that of its memory.
    """

    kind: str
    features: int
    actions: int
    hidden: tuple[int, ...] = (64, 64)


class Network(nn.Module):
    """Tanh layers, a memory where there is one, and a linear layer that gives logits."""

    def __init__(self, config: NetworkConfig) -> None:
        """Make it with random weights: orthogonal, those of the logits a hundredth, so that it starts near uniform.

        (Andrychowicz et al. 2021, arXiv 2006.05990, section 3.2.)
        """
        super().__init__()
        widths = [config.features, *config.hidden]
        body = widths if config.kind == "mlp" else widths[:-1]
        self.body = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(body))
        self.memory = nn.GRU(body[-1], widths[-1], batch_first=True) if config.kind == "gru" else None
        self.head = nn.Linear(widths[-1], config.actions)
        for layer in [*self.body, self.head]:
            assert isinstance(layer, nn.Linear)
            nn.init.orthogonal_(layer.weight, 0.01 if layer is self.head else 2**0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Return logits (B, T, A) and the memory's new state from features (B, T, D)."""
        x = features
        for layer in self.body:
            x = torch.tanh(layer(x))
        if self.memory is not None:
            x, state = self.memory(x, state)
        return self.head(x), state


class NetworkPolicy(Policy):
    """A small network that chooses among A actions.

    Attributes:
        config: What it is made from.
        model: The network.
        name: The kind of network.
        precision: float32.
    """

    model: Network

    def __init__(self, config: NetworkConfig, seed: int = 0, device: torch.device | str = "cpu") -> None:
        """Make a network with random weights.

        Raises:
            ValueError: If the kind is unknown or a width is not positive.
        """
        if config.kind not in KINDS:
            raise ValueError(unknown_name("policy", config.kind, KINDS))
        if not config.hidden or min(config.hidden) < 1:
            raise ValueError(f"hidden: must be at least one width of at least 1, got {list(config.hidden)}")
        self.name, self.precision, self.config = config.kind, torch.float32, config
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.model = Network(config).to(device)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def step(self, features: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the logits (B, A) of the next decision and the memory's new state, from features (B, D)."""
        logits, state = self.model(features[:, None], state)
        return logits[:, 0], state

    def logits(self, decisions: Decisions) -> Tensor:
        """Return the logits (N, A) of the decisions that are not padding, from one forward pass."""
        assert isinstance(decisions, Steps)
        if self.model.memory is None:
            return self.model(decisions.features[decisions.mask])[0]
        return self.model(decisions.features)[0][decisions.mask]

    def save(self, folder: str | Path) -> None:
        """Write the network's configuration (JSON) and weights (safetensors)."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(json.dumps(asdict(self.config), indent=2) + "\n", encoding="utf-8")
        save_file({name: value.contiguous() for name, value in self.model.state_dict().items()}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: str | Path, device: torch.device | str = "cpu") -> NetworkPolicy:
        """Make the policy that `save` wrote.

        Raises:
            ValueError: If the files are damaged.
        """
        folder = Path(folder)
        try:
            values: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            policy = cls(NetworkConfig(**{**values, "hidden": tuple(values["hidden"])}), device=device)
            policy.model.load_state_dict(load_file(folder / WEIGHTS))
        except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
            raise ValueError(
                f"policy: must be the folder of a network that was saved, got {str(folder)!r}: {error}"
            ) from error
        return policy
