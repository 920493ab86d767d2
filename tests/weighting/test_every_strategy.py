"""What holds for every strategy, and how strategies are found and made."""

import json
import re
import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paretune.weighting import WEIGHTINGS, FixedWeighting, GramianWeighting, Weighting, make_weighting
from paretune.weighting.strategies.gramian_rules import AGGREGATORS

seeds = st.integers(0, 2**32 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)
moderate = st.floats(-1e75, 1e75)  # hypervolumes of performances beyond that do not fit into a float, which is an error

CASES = {
    "fixed": lambda k: {},
    "hypervolume": lambda k: {"reference": ramp(k, -0.2)},
    "gradient": lambda k: {"prior": 0.1},
    "hypervolume-gradient": lambda k: {"reference": ramp(k, -0.1), "floor": 0.01},
    "hypervolume-gradient, gram": lambda k: {"form": "gram"},
    "rays": lambda k: {"reference": ramp(k, -0.1), "every": 2},
    "rays-hypervolume": lambda k: {"reference": ramp(k, -0.1), "every": 2, "share": 0.3},
    "rays, one": lambda k: {"every": 1000, "source": "validation"},
    "tchebycheff": lambda k: {"ideal": ramp(k, 1.0)},
    "tchebycheff, unbounded": lambda k: {"margin": 0.1, "source": "validation"},
    "lagrangian": lambda k: {"thresholds": [0.6, *ramp(k - 1, 0.4)]},
    "lagrangian, one": lambda k: {"thresholds": [0.6] + [None] * (k - 1), "source": "validation"},
    "saw": lambda k: {},
    "sa-mrpo": lambda k: {"lowest": ramp(k, -0.1), "highest": ramp(k, 1.0)},
    "ctwa": lambda k: {},
    "ctwa, targets": lambda k: {"target": ramp(k, 0.1), "tau": 0.5, "rate": 1.0},
    "schedule": lambda k: {"points": [[2, *ramp(k, 1.0)], [8, *ramp(k, 3.0)]]},
    "random": lambda k: {"every": 3},
    **{strategy.name: lambda k: {} for strategy in AGGREGATORS},
}
"""Options that show all of a strategy, for K objectives; the strategy's name is what stands before the comma."""

REQUIRED = ("lagrangian", "schedule")
"""Strategies that cannot do without options."""

every_strategy = pytest.mark.parametrize("name", WEIGHTINGS)
every_case = pytest.mark.parametrize("case", CASES)


@every_strategy
def test_a_scale_that_moves_is_announced(name):
    weighting = make_plain(name, 3)
    assert weighting.moves_scale == (name == "hypervolume")
    observe(weighting, seed=1)
    assert weighting.moves_scale or weighting.scale == pytest.approx(1)


def ramp(k, start):
    return [start + 0.1 * n for n in range(k)]


def make(case, preference, order=None):
    """Make the strategy of a case, with the options that are per objective in the given order."""
    k = preference if isinstance(preference, int) else len(preference)
    options = CASES[case](k)
    for name in ("reference", "ideal", "thresholds", "lowest", "highest", "target"):
        if order is not None and isinstance(options.get(name), list):
            options[name] = [options[name][n] for n in order]
    if order is not None and "points" in options:
        options["points"] = [[row[0], *(row[1:][n] for n in order)] for row in options["points"]]
    return make_weighting(case.partition(",")[0], preference, **options)


def make_plain(name, preference):
    """Make a strategy with as few options as it can do with."""
    return make(name, preference) if name in REQUIRED else make_weighting(name, preference)


def observe(weighting, seed, order=None, steps=4, hooks=("on_rewards", "on_gradients", "on_validation")):
    """Show a strategy random observations, with the objectives in the given order."""
    rng, k = np.random.default_rng(seed), len(weighting.weights)
    order = np.arange(k) if order is None else order
    for _ in range(steps):
        gradients = rng.normal(size=(k, 5)) * rng.lognormal()
        performance, rewards = rng.random(k), rng.random((2, 3, k))
        if "on_rewards" in hooks:
            weighting.on_rewards(rewards[..., order])
        if "on_gradients" in hooks:
            weighting.on_gradients((gradients @ gradients.T)[np.ix_(order, order)], 1e-3)
        if "on_validation" in hooks:
            weighting.on_validation(performance[order])


def test_every_strategy_has_a_case():
    assert {case.partition(",")[0] for case in CASES} == set(WEIGHTINGS)


# The draws of "random" and the rays are not exchanged; solvers reach the same weights up to their tolerances
# (test_gramian).
UNSYMMETRIC = {"random", "rays", "rays-hypervolume"} | {strategy.name for strategy in AGGREGATORS}


@pytest.mark.parametrize(
    "case",
    # The draws of "random" and the rays of "rays" are not exchanged; solvers reach the same weights up to their
    # tolerances (test_gramian).
    [
        case
        for case in CASES
        if case not in {"random", "rays", "rays-hypervolume"} | {each.name for each in AGGREGATORS}
    ],
)
@given(seed=seeds, k=st.integers(1, 5))
def test_permuting_objectives_permutes_weights(case, seed, k):
    rng = np.random.default_rng(seed)
    preference, order = rng.random(k) + 0.1, rng.permutation(k)
    plain, permuted = make(case, preference), make(case, preference[order], order)
    observe(plain, seed)
    observe(permuted, seed, order)
    np.testing.assert_allclose(permuted.weights, plain.weights[order], rtol=1e-9, atol=1e-15)


@every_case
@given(seed=seeds, k=st.integers(1, 5))
def test_weights_are_a_direction_on_the_simplex_times_a_scale(case, seed, k):
    weighting = make(case, k)
    observe(weighting, seed)
    assert weighting.weights.shape == (k,)
    assert weighting.weights.dtype == np.float64
    assert (weighting.direction >= 0).all()
    assert weighting.direction.sum() == pytest.approx(1)
    assert 0.5 - 1e-12 <= weighting.scale <= 2 + 1e-12
    np.testing.assert_allclose(weighting.direction * weighting.scale, weighting.weights)


@every_case
@given(data=st.data(), k=st.integers(1, 3))
def test_any_finite_observations_give_finite_weights(case, data, k):
    weighting = make(case, data.draw(st.sampled_from([k, [1.0] + [0.0] * (k - 1), [1.0] + [1e-300] * (k - 1)])))
    keeps_archive = hasattr(getattr(weighting, "climb", weighting), "archive")
    performances = moderate if keeps_archive else numbers
    solved = isinstance(weighting, GramianWeighting)  # solvers count on a matrix that can be a Gram matrix
    for _ in range(3):
        shape = (data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), k)
        weighting.on_rewards(data.draw(arrays(np.float64, shape, elements=numbers)))
        gram = data.draw(arrays(np.float64, (k, k), elements=moderate if solved else numbers))
        weighting.on_gradients(gram @ gram.T if solved else gram, data.draw(st.floats(0, 1)))
        weighting.on_validation(data.draw(arrays(np.float64, k, elements=performances)))
        weights = weighting.weights
        assert weights.shape == (k,) and np.isfinite(weights).all() and (weights >= 0).all()
        assert weighting.direction.sum() == pytest.approx(1)


@every_case
@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 1e-300, 1.7e308])
def test_constant_rewards_give_finite_weights(case, value):
    weighting = make(case, 3)
    for _ in range(3):
        weighting.on_rewards(np.full((2, 4, 3), value))
    assert np.isfinite(weighting.weights).all() and weighting.direction.sum() == pytest.approx(1)


@every_case
@pytest.mark.parametrize("k", [1, 3])
def test_flags_say_what_is_needed(case, k):
    """Without the observations that a strategy says it can do without, its weights are the same."""
    hooks = ["on_rewards", "on_gradients", "on_validation"]
    for flag, hook in (("needs_gram", "on_gradients"), ("needs_validation", "on_validation")):
        whole, less = make(case, k), make(case, k)
        observe(whole, seed=6)
        observe(less, seed=6, hooks=[other for other in hooks if other != hook])
        same = (whole.weights == less.weights).all()
        assert same != getattr(whole, flag) or (k == 1 and same)


@every_case
@pytest.mark.parametrize(
    "rewards", [np.zeros((2, 3)), np.zeros((2, 3, 4)), np.full((1, 1, 3), np.nan), np.full((1, 1, 3), np.inf)]
)
def test_bad_rewards_are_an_error(case, rewards):
    weighting = make(case, 3)
    if type(weighting).on_rewards is not Weighting.on_rewards:
        with pytest.raises(ValueError, match="rewards: must"):
            weighting.on_rewards(rewards)


@every_strategy
def test_untrained_weights_are_the_preference(name):
    np.testing.assert_allclose(make_plain(name, [2, 1, 1]).weights, [0.5, 0.25, 0.25], rtol=1e-14)
    assert make_plain(name, 1).weights.tolist() == [1.0]


@every_strategy
def test_weights_are_a_copy(name):
    weighting = make_plain(name, 3)
    weighting.weights[:] = 9
    assert weighting.weights.sum() == pytest.approx(1)


@every_case
def test_options_and_state_make_the_strategy_again(case):
    weighting = make(case, [3, 1, 7])
    fresh = json.loads(json.dumps(weighting.state_dict()))
    start = weighting.weights.tolist()
    observe(weighting, seed=1)
    options, state = json.loads(json.dumps([weighting.options(), weighting.state_dict()], allow_nan=False))
    copy = make_weighting(weighting.name, **options)
    assert json.dumps(copy.options()) == json.dumps(weighting.options())
    copy.load_state_dict(state)
    assert copy.weights.tolist() == weighting.weights.tolist()
    observe(weighting, seed=2)
    observe(copy, seed=2)
    assert copy.weights.tolist() == weighting.weights.tolist()
    assert copy.diagnostics() == weighting.diagnostics()
    json.dumps(copy.diagnostics())
    copy.load_state_dict(fresh)
    assert copy.weights.tolist() == start


@every_strategy
def test_every_strategy_says_when_to_use_it(name):
    assert WEIGHTINGS[name].when.endswith(".") and 5 < len(WEIGHTINGS[name].when.split()) < 25


def test_the_fixed_strategy_needs_nothing():
    weighting = FixedWeighting([1, 3])
    observe(weighting, seed=0)
    assert weighting.weights.tolist() == [0.25, 0.75]
    assert not (weighting.needs_validation or weighting.needs_gram or weighting.scale_rewards)
    assert weighting.diagnostics() == weighting.state_dict() == {}


@every_strategy
def test_a_bad_preference_is_an_error(name):
    with pytest.raises(ValueError, match=r"preference: must be .* a positive sum"):
        make_plain(name, [0.0, 0.0])


@every_strategy
def test_the_command_line_explains_every_option(name, capsys):
    with pytest.raises(SystemExit):
        tyro.cli(WEIGHTINGS[name], args=["--help"])
    strategy = WEIGHTINGS[name]
    assert issubclass(strategy, Weighting)
    options = capsys.readouterr().out.partition("--help")[2]
    for field in fields(strategy):
        flag = field.name.replace("_", "-")
        explanation = re.search(rf"--{flag}(.*?)\((default|required)", options, re.DOTALL)
        assert explanation is not None
        assert len(explanation[1].split()) > 8


def test_the_command_line_reads_weights_and_numbers_of_objectives():
    strategy = WEIGHTINGS["gradient"]
    assert tyro.cli(strategy, args=["--preference", "1", "2", "1"]).options()["preference"] == [0.25, 0.5, 0.25]
    assert tyro.cli(strategy, args=["--preference", "2", "--mu", "1e-4"]).options()["preference"] == [0.5, 0.5]


def test_an_unknown_name_suggests_the_nearest():
    message = r"unknown weighting 'lagrange': did you mean 'lagrangian'\? Known: 'fixed', 'hypervolume', 'gradient'"
    with pytest.raises(ValueError, match=message):
        make_weighting("lagrange", 3)


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown option of weighting 'gradient' 'flor': did you mean 'floor'\?"):
        make_weighting("gradient", 3, flor=0.1)
    with pytest.raises(
        ValueError,
        match=r"unknown option of weighting 'fixed' 'mu'\. Known: 'floor', 'prior', 'average', 'every', 'warmup'",
    ):
        make_weighting("fixed", 3, mu=1.0)


def test_the_package_does_without_torch_until_the_analyzer_is_asked_for():
    script = """
import sys, paretune.weighting
assert "torch" not in sys.modules
paretune.weighting.GradientAnalyzer
assert "torch" in sys.modules
assert all(hasattr(paretune.weighting, name) for name in paretune.weighting.__all__)
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_an_unknown_attribute_is_an_attribute_error():
    import paretune.weighting

    with pytest.raises(AttributeError, match="Analyser"):
        paretune.weighting.GradientAnalyser  # noqa: B018 - the access is what is tested


@pytest.mark.parametrize(
    ("name", "option"),
    [("hypervolume", "gain_scale"), ("gradient", "floor"), ("gradient", "every"), ("fixed", "floor")],
)
def test_an_option_of_the_wrong_type_is_named(name, option):
    with pytest.raises(
        ValueError, match=rf"{option}: must be .* for weighting '{name}' \(a list is written \[1, 2\]\), got 'abc'"
    ):
        make_weighting(name, 2, **{option: "abc"})
