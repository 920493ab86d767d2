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

from paretune.weighting import WEIGHTINGS, FixedWeighting, Weighting, make_weighting

every_strategy = pytest.mark.parametrize("name", WEIGHTINGS)
seeds = st.integers(0, 2**32 - 1)


def observe(weighting, seed, order=None, steps=4):
    """Show a strategy random observations, with the objectives in the given order."""
    rng, k = np.random.default_rng(seed), len(weighting.weights)
    order = np.arange(k) if order is None else order
    for _ in range(steps):
        gradients = rng.normal(size=(k, 5)) * rng.lognormal()
        performance, rewards = rng.random(k), rng.random((2, 3, k))
        weighting.on_rewards(rewards[..., order])
        weighting.on_gradients((gradients @ gradients.T)[np.ix_(order, order)], 1e-3)
        weighting.on_validation(performance[order])


@every_strategy
@given(seed=seeds, k=st.integers(1, 5))
def test_permuting_objectives_permutes_weights(name, seed, k):
    rng = np.random.default_rng(seed)
    preference, order = rng.random(k) + 0.1, rng.permutation(k)
    plain, permuted = make_weighting(name, preference), make_weighting(name, preference[order])
    observe(plain, seed)
    observe(permuted, seed, order)
    np.testing.assert_allclose(permuted.weights, plain.weights[order], rtol=1e-9)


@every_strategy
@given(seed=seeds, k=st.integers(1, 5))
def test_weights_are_a_direction_on_the_simplex_times_a_scale(name, seed, k):
    weighting = make_weighting(name, k)
    observe(weighting, seed)
    assert weighting.weights.shape == (k,)
    assert weighting.weights.dtype == np.float64
    assert (weighting.direction >= 0).all()
    assert weighting.direction.sum() == pytest.approx(1)
    assert 0.5 - 1e-12 <= weighting.scale <= 2 + 1e-12
    np.testing.assert_allclose(weighting.direction * weighting.scale, weighting.weights)


@every_strategy
def test_untrained_weights_are_the_preference(name):
    np.testing.assert_allclose(make_weighting(name, [2, 1, 1]).weights, [0.5, 0.25, 0.25], rtol=1e-14)
    assert make_weighting(name, 1).weights.tolist() == [1.0]


@every_strategy
def test_weights_are_a_copy(name):
    weighting = make_weighting(name, 3)
    weighting.weights[:] = 9
    assert weighting.weights.sum() == pytest.approx(1)


@every_strategy
def test_options_and_state_make_the_strategy_again(name):
    weighting = make_weighting(name, [3, 1, 7])
    observe(weighting, seed=1)
    options, state = json.loads(json.dumps([weighting.options(), weighting.state_dict()]))
    copy = make_weighting(name, **options)
    assert copy.options() == weighting.options()
    copy.load_state_dict(state)
    assert copy.weights.tolist() == weighting.weights.tolist()
    observe(weighting, seed=2)
    observe(copy, seed=2)
    assert copy.weights.tolist() == weighting.weights.tolist()
    assert copy.diagnostics() == weighting.diagnostics()
    json.dumps(copy.diagnostics())


def test_the_fixed_strategy_needs_nothing():
    weighting = FixedWeighting([1, 3])
    observe(weighting, seed=0)
    assert weighting.weights.tolist() == [0.25, 0.75]
    assert not (weighting.needs_validation or weighting.needs_gram or weighting.scale_rewards)
    assert weighting.diagnostics() == weighting.state_dict() == {}


@every_strategy
def test_a_bad_preference_is_an_error(name):
    with pytest.raises(ValueError, match=r"preference must be .* a positive sum"):
        make_weighting(name, [0.0, 0.0])


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
    message = r"unknown weighting 'hypervolum'; did you mean 'hypervolume'\? Known: 'fixed', 'hypervolume', 'gradient'"
    with pytest.raises(ValueError, match=message):
        make_weighting("hypervolum", 3)


def test_an_unknown_option_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown option 'flor' of weighting 'gradient'; did you mean 'floor'\?"):
        make_weighting("gradient", 3, flor=0.1)
    with pytest.raises(ValueError, match=r"unknown option 'mu' of weighting 'fixed'; known: none"):
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
    ("name", "option"), [("hypervolume", "gain_scale"), ("gradient", "floor"), ("gradient", "every")]
)
def test_an_option_of_the_wrong_type_is_named(name, option):
    with pytest.raises(ValueError, match=f"{option} of weighting '{name}' is of the wrong type: 'abc'"):
        make_weighting(name, 2, **{option: "abc"})
