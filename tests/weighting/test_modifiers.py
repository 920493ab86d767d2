"""Modifiers, which every strategy has."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.agents import RLOO, Agent, RunFolder
from paretune.weighting import WEIGHTINGS, FixedWeighting, GradientWeighting, ModifiedWeighting, make_weighting
from paretune.weighting.catalog import weighting_config
from paretune.weighting.modifiers import modifier_names
from tests.weighting.stop_at import StopAt

every_strategy = pytest.mark.parametrize("name", WEIGHTINGS)
seeds = st.integers(0, 2**32 - 1)
ALL = {"floor": 0.05, "prior": 0.1, "average": 0.5, "every": 2, "warmup": 3}


def step(weighting, rng) -> None:
    """One training step up to where the weights are read."""
    k = len(weighting.weights)
    gradients = rng.normal(size=(k, 7))
    weighting.on_rewards(rng.random((2, 3, k)))
    weighting.on_gradients(gradients @ gradients.T, 1e-3)


def course(weighting, seed: int, steps: int = 8) -> tuple[np.ndarray, list[float]]:
    """The directions and scales of training steps with a validation after every third."""
    rng = np.random.default_rng(seed)
    directions, scales = [], []
    for t in range(steps):
        step(weighting, rng)
        directions.append(weighting.direction)
        scales.append(weighting.scale)
        if t % 3 == 2:
            weighting.on_validation(rng.random(len(weighting.weights)))
    return np.array(directions), scales


def plain(name: str, preference):
    """A strategy with the options that it cannot do without."""
    k = preference if isinstance(preference, int) else len(preference)
    required = {"lagrangian": {"thresholds": [0.6] * k}, "schedule": {"points": [[5, 1.0] + [0.0] * (k - 1)]}}
    return make_weighting(name, preference, **required.get(name, {}))


def modified(name: str, preference, **modifiers):
    """A strategy with those of the modifiers that it has no options of its own for."""
    strategy = plain(name, preference)
    options = {option: value for option, value in modifiers.items() if option in modifier_names(type(strategy))}
    return ModifiedWeighting(strategy, **options)


class Scripted(FixedWeighting):
    """A strategy of two objectives that puts the number of rewards seen, over 10, on the first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.first, self.factor = self.preference[0], 1.0

    @property
    def weights(self):
        return self.factor * np.array([self.first, 1 - self.first])

    def on_rewards(self, rewards) -> None:
        self.first = round(self.first + 0.1, 9)


def scripted_course(steps: int, **modifiers) -> list[float]:
    weighting = ModifiedWeighting(Scripted([0.1, 0.9]), **modifiers)
    assert weighting.direction == pytest.approx([0.1, 0.9])
    firsts = []
    for _ in range(steps):
        weighting.on_rewards([[[0.0, 0.0]]])
        firsts.append(float(weighting.direction[0]))
    return firsts


def test_hand_computed_courses():
    assert scripted_course(4) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    assert scripted_course(3, average=0.5) == pytest.approx([0.15, 0.225, 0.3125])
    assert scripted_course(3, prior=0.25) == pytest.approx([0.175, 0.25, 0.325])
    assert scripted_course(4, every=3) == pytest.approx([0.2, 0.2, 0.2, 0.5])
    assert scripted_course(4, warmup=2) == pytest.approx([0.1, 0.2, 0.4, 0.5])
    assert scripted_course(3, every=2, average=0.5) == pytest.approx([0.15, 0.15, 0.275])
    assert scripted_course(3, warmup=4, every=2) == pytest.approx([0.1, 0.1, 0.1 + 0.3 * 0.5])


def test_a_validation_changes_the_steps_after_it_only():
    class Validated(Scripted):
        def on_rewards(self, rewards) -> None: ...
        def on_validation(self, performance) -> None:
            self.first = performance[0]

    weighting = ModifiedWeighting(Validated([0.2, 0.8]), average=0.5)
    weighting.on_rewards([[[0.0, 0.0]]])
    weighting.on_validation([0.6, 0.0])
    assert weighting.direction == pytest.approx([0.2, 0.8])
    weighting.on_rewards([[[0.0, 0.0]]])
    assert weighting.direction == pytest.approx([0.4, 0.6])


def test_reading_the_weights_changes_nothing():
    quiet, watched = (ModifiedWeighting(Scripted([0.1, 0.9]), average=0.5) for _ in range(2))
    for _ in range(4):
        quiet.on_rewards([[[0.0, 0.0]]])
        watched.on_rewards([[[0.0, 0.0]]])
        assert watched.weights.tolist() == watched.weights.tolist()
    assert quiet.weights.tolist() == watched.weights.tolist()


@every_strategy
@settings(max_examples=20)
@given(seed=seeds, k=st.integers(1, 4))
def test_directions_obey_the_floor_and_scales_are_left_alone(name, seed, k):
    preference = np.random.default_rng(seed).random(k) + 0.01
    directions, scales = course(modified(name, preference, **{**ALL, "floor": 0.5 / k}), seed)
    assert directions.sum(axis=1) == pytest.approx(1)
    if "floor" in modifier_names(WEIGHTINGS[name]):
        assert directions.min() >= 0.5 / k - 1e-12
    if not plain(name, k).needs_gram:  # a strategy that is fed fewer matrices may have other scales
        assert scales == course(plain(name, preference), seed)[1]


@every_strategy
def test_modifiers_at_their_defaults_change_nothing(name):
    unmodified, _ = course(plain(name, [3, 1, 2]), seed=4)
    same, _ = course(modified(name, [3, 1, 2], average=0.0, warmup=0), seed=4)
    np.testing.assert_allclose(same, unmodified, rtol=1e-12)


@every_strategy
def test_warm_up_starts_at_the_preference_and_ends(name):
    unmodified, _ = course(plain(name, [3, 1, 2]), seed=4)
    warmed, _ = course(modified(name, [3, 1, 2], warmup=4), seed=4)
    np.testing.assert_allclose(warmed[0], [3 / 6, 1 / 6, 2 / 6], rtol=1e-9)
    np.testing.assert_allclose(warmed[4:], unmodified[4:], rtol=1e-12)


@every_strategy
def test_a_full_prior_is_the_preference(name):
    directions, _ = course(modified(name, [3, 1, 2], prior=1.0), seed=4)
    if "prior" in modifier_names(WEIGHTINGS[name]):
        np.testing.assert_allclose(directions, [[3 / 6, 1 / 6, 2 / 6]] * len(directions), rtol=1e-12)


@every_strategy
def test_between_its_steps_the_direction_is_held_and_no_gradients_are_asked_for(name):
    weighting, rng = modified(name, 3, every=3), np.random.default_rng(0)
    if "every" not in modifier_names(WEIGHTINGS[name]):
        return
    needs, directions = [weighting.needs_gram], []
    for _ in range(7):
        step(weighting, rng)
        needs.append(weighting.needs_gram)
        directions.append(weighting.direction.tolist())
        weighting.on_validation(rng.random(3))
    wanted = plain(name, 3).needs_gram
    assert needs == [wanted and asked for asked in (True, True, False, False, True, False, False, True)]
    assert directions[0] == directions[1] == directions[2]
    assert directions[3] == directions[4] == directions[5]


@every_strategy
@pytest.mark.parametrize("steps", [0, 1, 3, 5])
def test_options_and_state_make_it_again(name, steps):
    weighting = modified(name, [3, 1, 7], **ALL)
    course(weighting, seed=1, steps=steps)
    config, state = json.loads(json.dumps([weighting_config(weighting), weighting.state_dict()]))
    copy = make_weighting(config["weighting"], config["preference"], **config["weighting_options"])
    assert weighting_config(copy) == weighting_config(weighting)
    copy.load_state_dict(state)
    assert copy.weights.tolist() == weighting.weights.tolist()
    first, second = course(weighting, seed=2), course(copy, seed=2)
    assert first[0].tolist() == second[0].tolist() and first[1] == second[1]
    assert copy.diagnostics() == weighting.diagnostics()


def test_a_strategys_own_option_counts():
    assert isinstance(make_weighting("gradient", 3, floor=0.1, prior=0.2, every=2), GradientWeighting)
    weighting = make_weighting("gradient", 3, floor=0.1, average=0.5)
    assert isinstance(weighting, ModifiedWeighting)
    assert isinstance(weighting.strategy, GradientWeighting) and weighting.strategy.floor == 0.1
    assert weighting.options()["floor"] == 0.1 and weighting.options()["average"] == 0.5
    with pytest.raises(ValueError, match=r"floor: must be left to the strategy 'gradient'.*got 0\.2"):
        ModifiedWeighting(GradientWeighting(3), floor=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"floor": 0.5}, r"floor: must be in \[0, 1/K\) with K = 2, got 0.5"),
        ({"prior": 1.5}, r"prior: must be in \[0, 1\], got 1.5"),
        ({"average": 1.0}, r"average: must be in \[0, 1\), got 1.0"),
        ({"every": 0}, "every: must be a whole number of at least 1, got 0"),
        ({"warmup": -1}, "warmup: must be a whole number of at least 0, got -1"),
        ({"warmup": "abc"}, "warmup: must be int for weighting 'fixed'"),
    ],
)
def test_options_out_of_range_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make_weighting("fixed", 2, **options)


def test_modifying_twice_is_an_error():
    with pytest.raises(ValueError, match="not modified yet"):
        ModifiedWeighting(ModifiedWeighting(FixedWeighting(2)))


@pytest.mark.parametrize("name", ["gradient", "gradvac"])
def test_agents_train_with_them_and_resume_exactly(name, tmp_path):
    def made(folder: str) -> Agent:
        modifiers = {option: ALL[option] for option in modifier_names(WEIGHTINGS[name])}
        settings = {"prompts_per_step": 4, "group_size": 4, "lr": 1e-2, "eval_every": 2, "checkpoint_every": 2}
        settings |= {"pictures": False}
        return RLOO(
            "paretune/Token-v0",
            "mlp",
            name,
            env_options={"vocabulary": 4, "length": 3},
            weighting_options=modifiers,
            out=tmp_path / folder,
            **settings,
        )

    made("whole").train(7)
    cut = made("cut")
    cut.recorder._display = StopAt(5)
    assert cut.train(7).interrupted
    loaded = Agent.load(tmp_path / "cut")
    assert isinstance(loaded.weighting, ModifiedWeighting) and isinstance(loaded.weighting.strategy, WEIGHTINGS[name])
    loaded.train(2)
    whole, resumed = (RunFolder(tmp_path / folder).metrics() for folder in ("whole", "cut"))
    for line in whole + resumed:
        del line["times"]
    assert whole == resumed
