"""Updates that take a part of their gradient from the passes that the gradients were compared with."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from paretune.agents import GRPO, REINFORCE, Agent
from paretune.agents.runs.metrics import Line
from paretune.agents.updates.analysed import Analysed
from paretune.agents.updates.catalog import make_comparison
from paretune.weighting.gradients.split import Split
from paretune.weighting.gram_estimate import estimate_of_parts
from tests.agents import rounding
from tests.agents.letters import LettersEnv, random_policy
from tests.agents.updates.test_updater import ADVANTAGES, PROMPTS, assert_same_weights, some_tokens, updater

pytestmark = pytest.mark.numeric

QUICK = {"prompts_per_step": 4, "group_size": 4, "lr": 1e-4, "eval_every": 5, "pictures": False}
ADVANTAGES_BTK = np.random.default_rng(1).normal(size=(len(PROMPTS), 1, 3))
SPLIT = Split.of_groups(3, 4, 3, np.random.default_rng(2))


@pytest.mark.parametrize("rows", [np.array([0, 2, 3, 7, 11]), np.arange(len(PROMPTS))], ids=["some", "all"])
@pytest.mark.parametrize("clip", [0.0, 0.2])
@pytest.mark.parametrize("loss_mean", ["token", "response", "constant"])
@pytest.mark.parametrize("settings", [{}, {"importance_cap": 1.5}], ids=["plain", "importance"])
@pytest.mark.parametrize("mode", ["exact", "sketch"])
@pytest.mark.parametrize("split", [None, SPLIT], ids=["batch", "split"])
def test_the_update_is_that_of_passes_of_its_own(mode, settings, loss_mean, clip, rows, split):
    results = []
    for reuse in (False, True):
        made = updater(random_policy(dtype=torch.float64), clip, loss_mean, gradient_mode=mode, **settings)
        made.optimizer = torch.optim.SGD(made.trained, lr=1.0)  # shows the gradient itself
        tokens = some_tokens()
        _, analysed = make_comparison(made.passes).compare(tokens, ADVANTAGES_BTK, rows, reuse, split)
        assert (analysed is not None) == reuse
        metrics = made.update(tokens, ADVANTAGES, 1.0, 1.0, np.random.default_rng(0), analysed)
        results.append((metrics, copy.deepcopy(made.policy.model.state_dict())))
    (separate, expected), (reused, found) = results
    assert_same_weights(expected, found, atol=1e-6)
    assert reused == pytest.approx(separate | {"padding": reused["padding"]}, abs=1e-6)


def test_small_passes_beside_the_gradients_change_nothing(monkeypatch):
    weights = []
    for budget in (8192, 40):
        monkeypatch.setattr(Analysed, "budget_for", lambda *args, budget=budget: budget)
        made, tokens = updater(random_policy(dtype=torch.float64)), some_tokens()
        _, analysed = make_comparison(made.passes).compare(tokens, ADVANTAGES_BTK, np.array([0, 2, 3]), reuse=True)
        log_probs, seen = made.policy.log_probs, []
        made.policy.log_probs = lambda part, *args, f=log_probs, s=seen: s.append(len(part.mask)) or f(part, *args)
        made.update(tokens, ADVANTAGES, 1.0, 1.0, np.random.default_rng(0), analysed)
        assert sum(seen) == len(PROMPTS) - 3 and (len(seen) > 1) == (budget == 40)
        weights.append(copy.deepcopy(made.policy.model.state_dict()))
    assert_same_weights(*weights, atol=1e-6)


def trained(kind: type[Agent], reuse: bool, **options) -> tuple[Agent, list[Line]]:
    """Train some steps; without `reuse`, every update makes passes of its own."""
    made, lines = kind(LettersEnv(), random_policy(), "gradient", **QUICK, **options), []
    at, record, reused = made.gradients.at, made.recorder.record, []

    def noted(*args, **kwargs):
        gram, analysed = at(*args, **kwargs)
        reused.append(analysed is not None)
        return gram, analysed if reuse else None

    made.gradients.at = noted
    made.recorder.record = lambda agent, line: lines.append(line) or record(agent, line)
    made.train(5)
    assert all(reused)
    return made, lines


@pytest.mark.parametrize("options", [{}, {"gradient_responses": 5}, {"gradient_mode": "sketch", "gradient_width": 4}])
@pytest.mark.parametrize("kind", [GRPO, REINFORCE])
def test_a_run_goes_the_same_way(kind, options):
    (one, expected), (other, found) = (trained(kind, reuse, **options) for reuse in (False, True))
    assert_same_weights(one.policy.model.state_dict(), other.policy.model.state_dict(), atol=1e-5)
    for first, second in zip(expected, found, strict=True):
        assert first.keys() == second.keys()
        assert second["weights"] == pytest.approx(first["weights"], abs=1e-5)
        for name in ("loss", "grad_norm", "log_prob_gap", "log_prob_gap_max", "clip_fraction"):
            assert second.get(name) == pytest.approx(first.get(name), abs=1e-5)


@pytest.mark.parametrize("mode", ["exact", "backward"])
@pytest.mark.parametrize("reuse", [False, True], ids=["dropped", "kept"])
@pytest.mark.parametrize("tokens_per_batch", [20, 10_000])
@pytest.mark.parametrize("split", [None, SPLIT], ids=["batch", "split"])
def test_the_gram_matrix_is_that_of_separate_backward_passes(split, tokens_per_batch, reuse, mode):
    """With a split, of K passes for each part."""
    tokens = some_tokens()
    advantages_BK = np.random.default_rng(1).normal(size=(len(PROMPTS), 3))
    made = updater(random_policy(dtype=torch.float64), tokens_per_batch=tokens_per_batch, gradient_mode=mode)
    rows = np.array([0, 2, 3, 7, 11])
    gram, _ = make_comparison(made.passes).compare(tokens, advantages_BK[:, None], rows, reuse, split)
    if split is not None:
        wide = [advantages_BK * (split.of == part)[:, None] for part in range(split.number)]
        advantages_BK = np.concatenate(wide, axis=1)

    policy = random_policy(dtype=torch.float64)
    part = tokens.select(rows)
    scores = policy.log_probs(part).sum(1) / torch.as_tensor(part.lengths) / len(PROMPTS)
    gradients = []
    for advantages_B in torch.as_tensor(advantages_BK[rows]).T:
        by_parameter = torch.autograd.grad((scores * advantages_B).sum(), policy.model.parameters(), retain_graph=True)
        gradients.append(torch.cat([gradient.ravel() for gradient in by_parameter]))
    expected = torch.stack(gradients) @ torch.stack(gradients).T
    rounding.assert_near(gram, expected, rounding.of_norms(2))


def test_the_drawn_sequences_stand_for_all():
    advantages_BTK = ADVANTAGES_BTK.copy()
    advantages_BTK[[1, 5]] = 0
    tokens = some_tokens()
    gradients = make_comparison(updater(gradient_responses=4, gradient_estimate="batch").passes)
    n, total_BK, hits_B = 4000, np.zeros((len(PROMPTS), 3)), np.zeros(len(PROMPTS))
    for step in range(n):
        rows, weighed_BTK, _ = gradients.drawn(step, tokens, advantages_BTK)
        assert len(rows) == 4 and not {1, 5} & set(rows)  # these add nothing to any gradient
        total_BK[rows] += weighed_BTK[rows, 0] / n
        hits_B[rows] += 1 / n
    np.testing.assert_allclose(total_BK, advantages_BTK[:, 0], rtol=0.25)
    doubts_B = ((1 - tokens.log_probs.exp()) * tokens.mask).sum(1).numpy()
    sizes_B = np.linalg.norm(advantages_BTK[:, 0], axis=1) * doubts_B
    assert np.corrcoef(sizes_B, hits_B)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("settings", "number"),
    [
        ({}, 12),  # all
        ({"tokens_per_batch": 150}, 8),  # 10 or so fill half of it
        ({"gradient_reuse": False}, 8),
        ({"kl": 0.1}, 8),
        ({"gradient_mode": "backward"}, 8),
    ],
)
def test_by_default_as_many_are_drawn_as_the_update_can_use(settings, number):
    gradients = make_comparison(updater(group_size=4, **settings).passes)
    rows, weighed_BTK, split = gradients.drawn(0, some_tokens(), ADVANTAGES_BTK)
    assert len(rows) == number and weighed_BTK.shape == ADVANTAGES_BTK.shape
    assert split.number == (2 if settings.get("gradient_mode") == "backward" else 3)
    assert all((split.of[group : group + 4] == split.of[group]).all() for group in (0, 4, 8))


@pytest.mark.parametrize("number", [len(PROMPTS), 10 * len(PROMPTS)])
def test_where_all_are_taken_nothing_is_estimated(number):
    tokens, everything = some_tokens(), np.arange(len(PROMPTS))
    gradients = make_comparison(updater(gradient_responses=number, gradient_estimate="batch").passes)
    gram, _ = gradients.at(0, tokens, ADVANTAGES_BTK, reuse=False)
    np.testing.assert_array_equal(gram, gradients.compare(tokens, ADVANTAGES_BTK, everything)[0])
    gradients = make_comparison(updater(gradient_responses=number, group_size=4).passes)
    found, _ = gradients.at(0, tokens, ADVANTAGES_BTK, reuse=False)
    split = gradients.drawn(0, tokens, ADVANTAGES_BTK)[2]
    products, _ = gradients.compare(tokens, ADVANTAGES_BTK, everything, split=split)
    np.testing.assert_array_equal(found.matrix, estimate_of_parts(products, split.shares).matrix)
    size = np.abs(gram).max()
    np.testing.assert_allclose(found.squares, gram.diagonal(), atol=1e-5 * size)  # the whole batch's, in float32


def test_each_part_of_a_split_is_stood_for_by_its_own():
    """So the mean of their products is that of the whole parts: a draw over all would tie the parts together."""
    made, tokens = updater(random_policy(dtype=torch.float64), gradient_responses=6, group_size=4), some_tokens()
    scores = (made.policy.log_probs(tokens) * tokens.mask).sum(1)
    each = [torch.autograd.grad(score, made.trained, retain_graph=True) for score in scores]
    terms_BP = torch.stack([torch.cat([g.flatten() for g in one]) for one in each]).numpy()
    gradients, found = make_comparison(made.passes), []
    for step in range(800):
        rows, weighed_BTK, split = gradients.drawn(step, tokens, ADVANTAGES_BTK)
        assert np.bincount(split.of[rows]).tolist() == [2, 2, 2]
        parts = [weighed_BTK[own, 0].T @ terms_BP[own] for own in (rows[split.of[rows] == part] for part in range(3))]
        found.append(sum(one @ other.T for one in parts for other in parts if one is not other))
    whole = [ADVANTAGES_BTK[group, 0].T @ terms_BP[group] for group in np.arange(12).reshape(3, 4)]
    expected = sum(one @ other.T for one in whole for other in whole if one is not other)
    errors = np.std(found, axis=0, ddof=1) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - expected) < 4.5 * errors).all()


def test_unlikely_tokens_and_large_advantages_are_what_estimates_gradients_well():
    """Compare with as many sequences drawn evenly, by the errors of the sum of all gradients."""
    made, tokens = updater(random_policy(dtype=torch.float64)), some_tokens()
    scores = (made.policy.log_probs(tokens) * tokens.mask).sum(1)
    each = [torch.autograd.grad(score, made.trained, retain_graph=True) for score in scores]
    terms_BP = torch.stack([torch.cat([g.flatten() for g in one]) for one in each]).numpy()
    advantages_BTK = ADVANTAGES_BTK * np.geomspace(0.1, 3, len(PROMPTS))[:, None, None]
    made_of = updater(gradient_responses=4, gradient_estimate="batch")
    gradients, rng, errors = make_comparison(made_of.passes), np.random.default_rng(0), []
    for step in range(300):
        rows, weighed_BTK, _ = gradients.drawn(step, tokens, advantages_BTK)
        even = rng.permutation(len(PROMPTS))[:4]
        found = [weighed_BTK[rows, 0].T @ terms_BP[rows], 3 * advantages_BTK[even, 0].T @ terms_BP[even]]
        errors.append([np.square(g - advantages_BTK[:, 0].T @ terms_BP).sum() for g in found])
    ours, evenly = np.mean(errors, axis=0)
    assert ours < 0.6 * evenly


def test_what_may_not_be_kept_is_not():
    gradients = make_comparison(updater(tokens_per_batch=40).passes)  # the responses fill more than one forward pass
    _, analysed = gradients.compare(some_tokens(), ADVANTAGES_BTK, np.arange(len(PROMPTS)), reuse=True)
    assert analysed is None and gradients.analyzer.kept is None


def test_a_matrix_that_is_only_recorded_leaves_the_update_as_it_is():
    made = GRPO(LettersEnv(), random_policy(), "fixed", record_gram=True, **QUICK)
    update, seen = made.updater.update, []
    made.updater.update = lambda *args: seen.append(args[-1]) or update(*args)
    made.train(1)
    assert seen == [None]


def test_no_gradient_takes_memory_between_two_updates():
    made, _ = trained(GRPO, reuse=True)
    assert all(parameter.grad is None for parameter in made.policy.model.parameters())
