"""Optimizer updates: the gradient that is taken, whatever way the responses are split."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from paretune.agents import AgentSettings, LanguageModelPolicy, Tokens, TransformersSampler
from paretune.agents.processes.distributed import Processes
from paretune.agents.settings import default_learning_rate
from paretune.agents.updates.passes import Passes
from paretune.agents.updates.updater import Updater
from paretune.envs import Prompt
from tests.agents.letters import random_policy

pytestmark = pytest.mark.numeric

PROMPTS = [Prompt.from_question(text) for text in ("a", "bcd", "dd dd", "abcdabcd")] * 3
ADVANTAGES = np.random.default_rng(5).normal(size=len(PROMPTS))[:, None]


def updater(
    policy: LanguageModelPolicy | None = None,
    clip: float = 0.0,
    loss_mean="response",
    processes: Processes | None = None,
    zero_stage: int = 0,
    **settings,
) -> Updater:
    made = AgentSettings(**{"lr": 1e-2, "max_grad_norm": 0.0, **settings})
    reference = random_policy(seed=1).reference() if made.kl else None
    passes = Passes(policy or random_policy(), made, loss_mean, 8, processes or Processes(), zero_stage)
    return Updater(passes, clip, reference)


def some_tokens() -> Tokens:
    return (
        TransformersSampler(policy=random_policy(), max_new_tokens=8).sample(PROMPTS, np.random.default_rng(0)).tokens
    )


def weights_after(made: Updater, tokens: Tokens | None = None, advantages=ADVANTAGES) -> dict[str, torch.Tensor]:
    made.update(tokens or some_tokens(), advantages, 1.0, made.settings.lr, np.random.default_rng(0))
    return copy.deepcopy(made.policy.model.state_dict())


def assert_same_weights(first, second, atol):
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=atol, rtol=0)


@pytest.mark.parametrize("loss_mean", ["token", "response", "constant"])
def test_the_gradient_is_the_policy_gradient(loss_mean):
    tokens, policy = some_tokens(), random_policy()
    made = updater(loss_mean=loss_mean)
    # SGD in place of AdamW shows the gradient itself
    made.optimizer = torch.optim.SGD(made.trained, lr=1.0)
    before = made.policy.model.lm_head.weight.detach().clone()
    statistics = made.update(tokens, ADVANTAGES, 1.0, 1.0, np.random.default_rng(0))
    step = before - made.policy.model.lm_head.weight.detach()

    lengths = torch.as_tensor(tokens.lengths, dtype=torch.float32)
    sums = policy.log_probs(tokens).sum(1)
    divisor = {"token": lengths.sum(), "response": len(PROMPTS) * lengths, "constant": len(PROMPTS) * 8}[loss_mean]
    loss = -(torch.as_tensor(ADVANTAGES[:, 0], dtype=torch.float32) * sums / divisor).sum()
    (gradient,) = torch.autograd.grad(loss, policy.model.lm_head.weight)
    torch.testing.assert_close(step, gradient, atol=1e-6, rtol=1e-4)
    assert statistics["grad_norm"] > 0 and statistics["clip_fraction"] == 0


def test_micro_batches_do_not_change_the_update():
    whole = weights_after(updater(tokens_per_batch=10_000, kl=0.1))
    pieces = weights_after(updater(tokens_per_batch=20, kl=0.1))
    assert_same_weights(whole, pieces, atol=2e-4)


def test_passes_that_keep_step_with_other_processes_count_for_nothing(monkeypatch):
    settings = {"tokens_per_batch": 20, "kl": 0.1, "entropy": 0.1, "epochs": 2, "clip": 0.2, "importance_cap": 2.0}
    alone, together = updater(**settings), updater(**settings)
    alone.policy.share_prompts = False  # as a sharded policy has it
    passes: list[int] = []
    first = results_of(alone, passes)
    monkeypatch.setattr(LanguageModelPolicy, "sharded", True)
    together.processes.gathered = lambda mine: [mine, mine + 2] if type(mine) is int else [mine]  # another has 2 more
    assert results_of(together, passes) == pytest.approx(first, rel=1e-6, abs=1e-6)
    old, updates = 1, 2
    assert passes[1] == passes[0] + 2 * (old + updates)
    assert_same_weights(alone.policy.model.state_dict(), together.policy.model.state_dict(), atol=0)


def results_of(made: Updater, passes: list[int]) -> dict[str, float]:
    """Update, and add the number of the policy's own forward passes to `passes`."""
    passes.append(0)

    def count(*_):
        passes[-1] += 1

    handle = made.policy.model.model.register_forward_hook(count)
    statistics = made.update(some_tokens(), ADVANTAGES, 1.0, made.settings.lr, np.random.default_rng(0))
    handle.remove()
    return statistics


def test_mini_batches_and_epochs_make_that_many_updates():
    made = updater(epochs=3, minibatches=4, clip=0.2)
    weights_after(made)
    assert {int(state["step"]) for state in made.optimizer.state.values()} == {12}


def test_the_clip_limits_how_far_several_epochs_go():
    tokens = some_tokens()

    def change(clip: float) -> tuple[float, float]:
        made = updater(clip=clip, epochs=20)
        before = random_policy().log_probs(tokens).detach()
        statistics = made.update(tokens, ADVANTAGES, 1.0, 1e-2, np.random.default_rng(0))
        after = made.policy.log_probs(tokens).detach()
        return float((after - before).abs().max()), statistics["clip_fraction"]

    free, never = change(0.0)
    bound, often = change(0.2)
    assert bound < free / 2 and often > 0.1 and never == 0


def test_a_heavy_kl_term_pulls_towards_the_reference():
    def divergence(kl: float) -> float:
        made = updater(kl=kl, epochs=30)
        made.reference = random_policy(seed=1).reference()
        weights_after(made)
        gap = made.policy.log_probs(some_tokens()) - made.reference.log_probs(some_tokens())
        return float(gap.detach().abs().mean())

    assert divergence(10.0) < 0.5 * divergence(1e-9)


def test_gradient_clipping_bounds_the_step():
    made = updater(max_grad_norm=1e-3)
    made.optimizer = torch.optim.SGD(made.trained, lr=1.0)
    before = torch.cat([parameter.detach().ravel().clone() for parameter in made.trained])
    made.update(some_tokens(), ADVANTAGES, 1.0, 1.0, np.random.default_rng(0))
    after = torch.cat([parameter.detach().ravel() for parameter in made.trained])
    assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-2)


@pytest.mark.parametrize("max_grad_norm", [0.0, 1e-3])
def test_a_factor_of_the_advantages_survives_clipping(max_grad_norm):
    def step(scale: float) -> torch.Tensor:
        made = updater(max_grad_norm=max_grad_norm)
        made.optimizer = torch.optim.SGD(made.trained, lr=1.0)
        before = made.policy.model.lm_head.weight.detach().clone()
        made.update(some_tokens(), scale * ADVANTAGES, scale, 1.0, np.random.default_rng(0))
        return before - made.policy.model.lm_head.weight.detach()

    torch.testing.assert_close(step(2.0), 2 * step(1.0), rtol=2e-2, atol=1e-6)


def test_a_gradient_that_is_not_finite_stops_before_the_policy_is_spoilt():
    made = updater()
    before = copy.deepcopy(made.policy.model.state_dict())
    with pytest.raises(RuntimeError, match="non-finite"):
        made.update(some_tokens(), np.full((len(PROMPTS), 1), np.nan), 1.0, 1e-2, np.random.default_rng(0))
    assert_same_weights(before, made.policy.model.state_dict(), atol=0)


def off_by(tokens: Tokens, shifts: dict[tuple[int, int], float]) -> Tokens:
    """The same responses, from a sampler that was wrong by some nats at some tokens."""
    log_probs = tokens.log_probs.clone()
    for place, shift in shifts.items():
        log_probs[place] += shift
    return replace(tokens, log_probs=log_probs)


@pytest.mark.parametrize("several", [{}, {"minibatches": 1, "epochs": 2}])
@pytest.mark.parametrize("tokens_per_batch", [20, 10_000])
def test_the_gap_between_sampler_and_trainer_is_measured(several, tokens_per_batch):
    def statistics(tokens: Tokens) -> dict[str, float]:
        made = updater(tokens_per_batch=tokens_per_batch, **several)
        return made.update(tokens, ADVANTAGES, 1.0, 1e-2, np.random.default_rng(0))

    tokens = some_tokens()
    exact = statistics(tokens)
    assert exact["log_prob_gap"] < 1e-5 > exact["log_prob_gap_max"]
    wrong = statistics(off_by(tokens, {(0, 0): 0.25, (5, 0): -0.75}))
    assert wrong["log_prob_gap"] == pytest.approx(1.0 / tokens.lengths.sum(), abs=1e-5)
    assert wrong["log_prob_gap_max"] == pytest.approx(0.75, abs=1e-5)


def test_importance_weights_multiply_each_tokens_gradient_up_to_the_cap():
    def gradient(cap: float | None, tokens: Tokens, advantages: np.ndarray) -> torch.Tensor:
        made = updater(importance_cap=cap)
        made.optimizer = torch.optim.SGD(made.trained, lr=1.0)
        before = made.policy.model.lm_head.weight.detach().clone()
        made.update(tokens, advantages, 1.0, 1.0, np.random.default_rng(0))
        return before - made.policy.model.lm_head.weight.detach()

    tokens = some_tokens()
    # the trainer finds the one token 3 times as likely as the sampler, the other half as likely
    likely = off_by(tokens, {(2, 0): -np.log(3.0), (4, 0): np.log(2.0)})
    advantages = np.repeat(ADVANTAGES, tokens.response.shape[1], axis=1)
    weighed = advantages.copy()
    weighed[2, 0] *= 2.5
    weighed[4, 0] *= 0.5
    expected = gradient(None, tokens, weighed)
    torch.testing.assert_close(gradient(2.5, likely, advantages), expected, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(gradient(None, likely, advantages), gradient(None, tokens, advantages))


def test_the_default_learning_rate_falls_with_the_size_of_the_model():
    sizes = [1e6, 135e6, 1.5e9, 7e9]
    assert [default_learning_rate(int(size)) for size in sizes] == [2e-4, 1.1e-5, 2.5e-6, 9.9e-7]
