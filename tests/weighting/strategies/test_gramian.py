"""Weights that TorchJD reads off Gram matrices."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretune.weighting import make_weighting
from paretune.weighting.gram_estimate import GramEstimate, nearest_semidefinite
from paretune.weighting.strategies.gramian_rules import AGGREGATORS, MGDAWeighting

NAMES = [strategy.name for strategy in AGGREGATORS]
every_rule = pytest.mark.parametrize("name", NAMES)
seeds = st.integers(0, 2**32 - 1)


def gram_of(*gradients: list[float]) -> np.ndarray:
    return np.array(gradients) @ np.array(gradients).T


def random_gram(seed: int, k: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    gradients = rng.normal(size=(k, 12)) * rng.uniform(0.5, 2, size=(k, 1)) - rng.normal(size=12) / 2
    return gradients @ gradients.T


def weights_of(name: str, preference, gram, **options) -> np.ndarray:
    weighting = make_weighting(name, preference, **options)
    weighting.on_gradients(gram, lr=1e-3)
    return weighting.weights


def test_mgda_finds_the_shortest_mean_of_two_gradients():
    # |w g1 + (1 - w) g2| with g1 = (2, 0), g2 = (0, 1): w * 4 = (1 - w) * 1
    assert weights_of("mgda", 2, gram_of([2, 0], [0, 1])) == pytest.approx([0.2, 0.8])
    # g2 is shorter and the angle acute: g2 alone, as <g1, g2> >= <g2, g2>
    assert weights_of("mgda", 2, gram_of([2, 0], [1, 0])) == pytest.approx([0, 1])


def test_upgrad_projects_each_gradient_and_adds_them():
    # g1 = (1, 0), g2 = (-1, 1): g1 - <g1, g2>/|g2|^2 g2 = (1/2, 1/2) = g1 + g2/2, and g2 + g1 = (0, 1)
    assert weights_of("upgrad", 2, gram_of([1, 0], [-1, 1])) == pytest.approx(np.array([2, 1.5]) / 3.5)
    # preference (3, 1)/4: 3 (g1 + g2/2) + (g1 + g2)
    assert weights_of("upgrad", [3, 1], gram_of([1, 0], [-1, 1])) == pytest.approx(np.array([4, 2.5]) / 6.5)


def test_dualproj_changes_the_mean_only_where_it_hurts():
    assert weights_of("dualproj", [3, 1], gram_of([1, 0], [0, 1])) == pytest.approx([0.75, 0.25])
    # (3 g1 + g2)/4 with g1 = (1, 0), g2 = (-1, 1) is (1/2, 1/4), which hurts g2 by 1/4; it is moved along g2 by 1/8
    assert weights_of("dualproj", [3, 1], gram_of([1, 0], [-1, 1])) == pytest.approx(np.array([6, 3]) / 9)


def test_pcgrad_removes_what_conflicts():
    assert weights_of("pcgrad", 2, gram_of([1, 0], [-1, 1])) == pytest.approx(np.array([2, 1.5]) / 3.5)


def test_pcd_puts_the_preferred_objective_first():
    gram = gram_of([1, 0], [0, 1])
    assert weights_of("pcd", [0.3, 0.7], gram, tau=0.0) == pytest.approx([0, 1])
    assert weights_of("pcd", [0.7, 0.3], gram, tau=0.5) == pytest.approx([2 / 3, 1 / 3])


@given(seed=seeds, k=st.integers(1, 5))
def test_nash_and_fair_weights_solve_their_equations(seed, k):
    gram = random_gram(seed, k)
    for name, options, power in (("nash-mtl", {}, 1.0), ("fairgrad", {"alpha": 2.0}, 0.5)):
        weights = weights_of(name, k, gram, **options)
        gains = gram @ weights * weights**power
        np.testing.assert_allclose(gains, gains.mean(), rtol=1e-2)


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
@given(seed=seeds, k=st.integers(1, 5))
def test_no_objective_is_hurt(name, seed, k):
    gram = random_gram(seed, k)
    preference = np.random.default_rng(seed).random(k) + 0.01
    assert (gram @ weights_of(name, preference, gram) >= -1e-9 * gram.max()).all()


@given(seed=seeds, k=st.integers(1, 5))
def test_mgda_improves_all_alike_up_to_its_tolerance(seed, k):
    gram = random_gram(seed, k)
    weights = weights_of("mgda", k, gram, epsilon=1e-9, max_iters=500)
    assert (gram @ weights >= weights @ gram @ weights - 1e-2 * gram.max()).all()


@pytest.mark.parametrize("name", sorted({*NAMES} - {"pcgrad", "gradvac"}))
@given(seed=seeds, k=st.integers(1, 4))
def test_permuting_objectives_permutes_weights(name, seed, k):
    rng = np.random.default_rng(seed)
    gram, preference, order = random_gram(seed, k), rng.random(k) + 0.1, rng.permutation(k)
    permuted = weights_of(name, preference[order], gram[np.ix_(order, order)])
    np.testing.assert_allclose(permuted, weights_of(name, preference, gram)[order], atol=1e-4)


@every_rule
@given(seed=seeds, exponent=st.integers(-140, 140))
def test_the_size_of_the_gradients_does_not_matter(name, seed, exponent):
    gram = random_gram(seed, 3)
    scaled = weights_of(name, [3, 2, 1], gram * 2.0**exponent)
    np.testing.assert_allclose(scaled, weights_of(name, [3, 2, 1], gram), rtol=1e-9)


DEGENERATE = {
    "no gradients": np.zeros((3, 3)),
    "rank one": gram_of([1.0], [2.0], [0.5]),
    "rank one, opposed": gram_of([1.0], [-1.0], [-2.0]),
    "equal": np.ones((3, 3)),
    "one gradient": np.diag([0.0, 3.0, 0.0]),
    "one without": gram_of([1, 0], [0, 0], [-1, 1]),
    "tiny": 1e-300 * random_gram(1, 3),
    "huge": 1e300 * random_gram(1, 3),
    "not quite positive": gram_of([1.0], [-1.0], [1.0]) - 1e-9 * np.eye(3),
}


@every_rule
@pytest.mark.parametrize("gram", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_matrices_give_valid_weights(name, gram):
    weighting = make_weighting(name, [3, 2, 1])
    for _ in range(3):
        weighting.on_gradients(gram, lr=1e-3)
        assert (weighting.weights >= 0).all() and weighting.weights.sum() == pytest.approx(1)
        json.dumps(weighting.diagnostics(), allow_nan=False)


@every_rule
def test_weights_stay_while_there_are_no_gradients(name):
    weighting = make_weighting(name, [3, 2, 1])
    weighting.on_gradients(np.zeros((3, 3)), lr=1e-3)
    assert weighting.weights == pytest.approx([3 / 6, 2 / 6, 1 / 6])


@pytest.mark.parametrize("name", sorted({*NAMES} - {"gradvac", "pcd"}))
def test_an_objective_without_a_gradient_keeps_its_share(name):
    weights = weights_of(name, [3, 2, 1], gram_of([1, 0], [0, 0], [-1, 2]))
    others = weights_of(name, [3, 1], gram_of([1, 0], [-1, 2]))
    assert weights == pytest.approx([others[0] * 4 / 6, 2 / 6, others[1] * 4 / 6])


def test_negative_weights_are_cut_off_and_reported():
    # IMTL-G with g1 = (1, 0, 0), g2 = (0, 1, 0), g3 = (1, 1, 1) / sqrt(3), all of length 1: the step on which all have
    # the projection 1 is (1, 1, z) with z = sqrt(3) - 2, that is (1 - z) (g1 + g2) + z sqrt(3) g3
    weighting = make_weighting("imtl-g", 3)
    weighting.on_gradients(gram_of([1, 0, 0], [0, 1, 0], [3**-0.5] * 3), lr=1e-3)
    assert weighting.weights == pytest.approx([0.5, 0.5, 0])
    z = 3**0.5 - 2
    raw = np.array([1 - z, 1 - z, z * 3**0.5])
    assert weighting.diagnostics()["raw_weights"] == pytest.approx(raw / raw.sum())


@pytest.mark.parametrize("name", ["pcgrad", "gradvac"])
def test_random_orders_depend_on_the_seed_alone(name):
    def course(seed: int, noise: int) -> list[list[float]]:
        torch.manual_seed(noise)
        weighting = make_weighting(name, 4, seed=seed)
        weights = []
        for step in range(6):
            weighting.on_gradients(random_gram(step, 4), lr=1e-3)
            weights.append(weighting.weights.tolist())
        return weights

    before = torch.random.get_rng_state()
    assert course(seed=1, noise=0) == course(seed=1, noise=9) != course(seed=2, noise=0)
    torch.random.set_rng_state(before)


def test_options_out_of_range_are_errors():
    for name, options, message in (
        ("mgda", {"epsilon": 0.0}, "epsilon"),
        ("cagrad", {"c": -1.0}, "c: must be a finite number of at least 0, got -1.0"),
        ("fairgrad", {"alpha": 0.0}, "alpha: must be a number above 0"),
        ("fairgrad", {"max_iters": 0}, "max_iters"),
        ("gradvac", {"beta": 2.0}, "beta"),
        ("pcd", {"tau": -0.1}, "tau"),
    ):
        with pytest.raises(ValueError, match=message):
            make_weighting(name, 2, **options)
    with pytest.raises(ValueError, match=r"gram: must have shape \(2, 2\)"):
        weights_of("upgrad", 2, np.eye(3))


@every_rule
def test_without_the_library_the_extra_is_named(name, monkeypatch):
    for module in [module for module in sys.modules if module.split(".")[0] == "torchjd"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(ValueError, match=rf"'{name}' needs the extra \"torchjd\": pip install"):
        make_weighting(name, 2)


@pytest.mark.parametrize("rule", AGGREGATORS, ids=lambda rule: rule.name)
def test_an_estimate_with_negative_eigenvalues_is_made_semidefinite(rule):
    indefinite = np.array([[1.0, 2.0, 0.0], [2.0, 1.0, 0.5], [0.0, 0.5, -0.1]])
    one, other = rule(3), rule(3)
    one.on_gram_estimate(GramEstimate(indefinite, np.ones(3), None), lr=1.0)
    other.on_gradients(nearest_semidefinite(indefinite), lr=1.0)
    assert one.weights.tolist() == other.weights.tolist()
    assert np.isfinite(one.weights).all() and (one.weights >= 0).all() and one.weights.sum() == pytest.approx(1)


def test_estimates_are_averaged():
    one, other = MGDAWeighting(2, gram_average=0.5), MGDAWeighting(2)
    for diagonal in ([2.0, 4.0], [6.0, 4.0]):
        one.on_gram_estimate(GramEstimate(np.diag(diagonal), np.ones(2), None), lr=1.0)
    other.on_gradients(np.diag([14.0, 12.0]) / 3, lr=1.0)
    np.testing.assert_allclose(one.weights, other.weights)
