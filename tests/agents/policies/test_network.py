"""Networks as policies: the same numbers step by step and all at once, saved and loaded."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from paretune.agents import NetworkConfig, NetworkPolicy
from paretune.agents.sequences.steps import Steps

pytestmark = pytest.mark.numeric


def network(kind: str, seed: int = 0, hidden: tuple[int, ...] = (8, 8)) -> NetworkPolicy:
    made = NetworkPolicy(NetworkConfig(kind=kind, features=5, actions=3, hidden=hidden), seed)
    torch.nn.init.normal_(made.model.head.weight, generator=torch.Generator().manual_seed(seed))  # far from uniform
    return made


def some_steps() -> Steps:
    random = torch.Generator().manual_seed(0)
    mask = torch.arange(4) < torch.tensor([[4], [2], [3]])
    actions = torch.randint(3, (3, 4), generator=random) * mask
    return Steps(torch.randn(3, 4, 5, generator=random), actions, mask, torch.zeros(3, 4))


@pytest.mark.parametrize("kind", ["mlp", "gru"])
@pytest.mark.parametrize("hidden", [(8,), (8, 8), (8, 6, 4)])
def test_log_probabilities_are_those_of_acting(kind, hidden):
    policy, steps = network(kind, hidden=hidden), some_steps()
    expected, state = torch.zeros(3, 4), None
    for t in range(4):
        logits, state = policy.step(steps.features[:, t], state)
        expected[:, t] = (logits / 0.5).log_softmax(-1).gather(1, steps.actions[:, t : t + 1])[:, 0]
    log_probs, entropies = policy.log_probs_and_entropies(steps, temperature=0.5)
    torch.testing.assert_close(log_probs, expected * steps.mask)
    torch.testing.assert_close(policy.log_probs(steps, 0.5), log_probs)
    assert ((entropies > 0) == steps.mask).all() and (entropies <= np.log(3) + 1e-6).all()


def test_the_entropy_of_a_uniform_choice_is_the_logarithm_of_their_number():
    policy = network("mlp")
    torch.nn.init.zeros_(policy.model.head.weight)
    _, entropies = policy.log_probs_and_entropies(some_steps())
    torch.testing.assert_close(entropies, np.log(3) * some_steps().mask.float())


def test_only_a_network_with_a_memory_sees_what_came_before():
    steps = some_steps()
    changed = Steps(steps.features.clone(), steps.actions, steps.mask, steps.log_probs)
    changed.features[:, 0] += 1

    def sees_it(kind: str) -> bool:
        before, after = (network(kind).log_probs(s)[:, 1:] for s in (steps, changed))
        return not torch.allclose(before, after)

    assert sees_it("gru") and not sees_it("mlp")


@pytest.mark.parametrize("kind", ["mlp", "gru"])
def test_a_saved_network_is_the_same(kind, tmp_path):
    policy = network(kind)
    policy.save(tmp_path)
    again = NetworkPolicy.load(tmp_path)
    assert again.config == policy.config and again.name == kind
    assert torch.equal(again.log_probs(some_steps()), policy.log_probs(some_steps()))
    for damaged in ("model.safetensors", "network.json"):
        (tmp_path / damaged).write_bytes(b"")
        with pytest.raises(ValueError, match="must be the folder of a network that was saved"):
            NetworkPolicy.load(tmp_path)
        policy.save(tmp_path)


def test_the_seed_decides_the_weights_and_leaves_torch_alone():
    config = NetworkConfig(kind="mlp", features=5, actions=3)
    before = torch.random.get_rng_state()
    first, same, other = (NetworkPolicy(config, seed).model.body[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_bad_configurations_are_refused():
    with pytest.raises(ValueError, match="unknown policy 'mpl': did you mean 'mlp'"):
        network("mpl")
    with pytest.raises(ValueError, match=r"hidden: must be at least one width of at least 1, got \[\]"):
        network("mlp", hidden=())
