"""The picture of verdicts."""

import pytest
from matplotlib.image import imread

from paretune.bench.reports.verdict_picture import MOST_ARMS, draw_verdicts
from paretune.bench.statistics.summarise import summarise
from tests.bench.outcomes import outcome


def summary(weightings=("fixed", "saw"), envs=("Toy",), seeds=5):
    outcomes = [
        outcome(name, seed=seed, env=env, end=(0.5 + 0.01 * i, 0.5 + 0.002 * seed))
        for env in envs
        for i, name in enumerate(weightings)
        for seed in range(seeds)
    ]
    return summarise(outcomes, name="toys")


@pytest.mark.parametrize("seeds", [1, 5])
def test_a_picture_grows_with_arms_and_comparisons(tmp_path, seeds):
    small = imread(draw_verdicts(tmp_path / "small.png", summary(seeds=seeds)))
    many = summary([f"strategy {i}" for i in range(8)] + ["fixed"], ["one", "two", "three"], seeds)
    large = imread(draw_verdicts(tmp_path / "large.png", many))
    assert large.shape[0] > small.shape[0]
    assert large.shape[1] > small.shape[1]


def test_many_arms_are_cut_to_the_best(tmp_path):
    weightings = ["fixed", *(f"strategy {i}" for i in range(MOST_ARMS + 20))]
    all_of_them = imread(draw_verdicts(tmp_path / "all.png", summary(weightings, seeds=2)))
    as_many_as_fit = imread(draw_verdicts(tmp_path / "most.png", summary(weightings[:MOST_ARMS], seeds=2)))
    assert abs(all_of_them.shape[0] - as_many_as_fit.shape[0]) <= 2


def test_colours_are_those_of_the_verdicts(tmp_path):
    picture = imread(draw_verdicts(tmp_path / "a.png", summary(["fixed", "better"])))
    green = (abs(picture[..., :3] - [0, 0x9E / 255, 0x73 / 255]) < 0.02).all(axis=-1)
    orange = (abs(picture[..., :3] - [0xD5 / 255, 0x5E / 255, 0]) < 0.02).all(axis=-1)
    legend = int(picture.shape[0] * 0.8)
    assert green[:legend].sum() > 20
    assert orange[:legend].sum() == 0


def test_nothing_ranked_is_told(tmp_path):
    with pytest.raises(ValueError, match="at least one arm in its ranking"):
        draw_verdicts(tmp_path / "a.png", summarise([], name="nothing"))
    assert not (tmp_path / "a.png").exists()
