from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib import image
from matplotlib.figure import Figure

from paretune.agents.pictures.front_picture import draw_front, staircase
from paretune.agents.pictures.run_picture import draw_history
from paretune.agents.runs.plotting import plot_run
from paretune.agents.runs.run_folder import RunFolder

NAMES = ["accuracy", "conciseness", "clarity", "safety", "style", "tone", "length"]


def history(k: int, steps: int = 20, moving: bool = True) -> list[dict[str, Any]]:
    rng = np.random.default_rng(k)
    names = NAMES[:k]
    lines = []
    for step in range(steps + 1):
        line: dict[str, Any] = {"step": step, "scale": 1.0 + 0.5 * moving * (step % 3), "hypervolume": 0.01 * step}
        line["weights"] = dict(zip(names, rng.dirichlet(np.ones(k)).tolist(), strict=True))
        if step:
            line["rewards"] = {name: {"mean": rng.random(), "std": 0.2, "min": 0.0, "max": 1.0} for name in names}
        if step % 5 == 0:
            line["validation"] = {name: {"mean": rng.random(), "standard_error": 0.03} for name in names}
        lines.append(line)
    return lines


def write_run(folder: Path, lines: list[dict[str, Any]]) -> RunFolder:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RunFolder(folder)


def pixels(path: Path) -> np.ndarray:
    """The picture as (height, width, 3) numbers in [0, 1]."""
    return image.imread(path)[..., :3]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn, laid out but not written."""
    drawn: list[Figure] = []

    def keep(figure: Figure, path: Path) -> Path:
        figure.draw_without_rendering()
        drawn.append(figure)
        return path

    monkeypatch.setattr("paretune.agents.pictures.front_picture.save", keep)
    monkeypatch.setattr("paretune.agents.pictures.run_picture.save", keep)
    return drawn


@pytest.mark.parametrize("k", [2, 3, 4, 7])
def test_a_run_is_drawn_whatever_its_number_of_objectives(tmp_path: Path, k: int) -> None:
    pictures = plot_run(write_run(tmp_path / "run", history(k)))
    assert [path.name for path in pictures] == ["front.png", "weights.png"]
    for path in pictures:
        shape = pixels(path).shape
        assert 500 < shape[0] < 3000 and 700 < shape[1] < 3000
        assert pixels(path).std() > 0.02
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "config.json",
        "front.png",
        "metrics.jsonl",
        "weights.png",
    ]


def test_one_objective_has_a_history_but_no_front(tmp_path: Path) -> None:
    assert [path.name for path in plot_run(write_run(tmp_path / "run", history(1)))] == ["weights.png"]


def test_a_run_of_which_only_the_untrained_policy_was_measured_is_drawn(tmp_path: Path) -> None:
    lines = history(3)[:1]
    for entry in lines[0]["validation"].values():
        entry["standard_error"] = None
    assert len(plot_run(write_run(tmp_path / "run", lines))) == 2


def test_the_scale_has_a_panel_only_where_it_moves(tmp_path: Path) -> None:
    fixed = draw_history(tmp_path / "fixed.png", history(3, moving=False))
    moving = draw_history(tmp_path / "moving.png", history(3, moving=True))
    assert pixels(fixed).shape[0] < pixels(moving).shape[0]


def test_drawing_again_replaces_the_pictures_with_equal_ones(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", history(3))
    first = [path.read_bytes() for path in plot_run(folder)]
    assert [path.read_bytes() for path in plot_run(folder)] == first


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = draw_history(tmp_path / "weights.png", history(2))
    before = path.read_bytes()

    def full_disk(self: object, target: Path, format: str) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full_disk)
    with pytest.raises(OSError, match="No space left"):
        draw_history(path, history(3))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_objectives_may_have_any_range(figures: list[Figure]) -> None:
    points = [[-100.0, 50.0, 1e4], [-1.0, 124.0, 2e4]]
    draw_front("front.png", NAMES[:3], [0, 5], points, points[1:])
    *planes, space, _ = figures[0].axes
    for axes, (x, y) in zip(planes, [(0, 1), (0, 2), (1, 2)], strict=True):
        for (low, high), column in ((axes.get_xlim(), x), (axes.get_ylim(), y)):
            start, end = points[0][column], points[1][column]
            assert low < start < end < high and high - low < 1.5 * (end - start)
    low, high = space.get_zlim()
    assert 0.5e4 < low < 1e4 and 2e4 < high < 2.5e4


def test_points_that_are_all_the_same_have_axes_around_them(figures: list[Figure]) -> None:
    draw_front("front.png", NAMES[:3], [0, 5], [[0.5, 0.0, -200.0]] * 2, [[0.5, 0.0, -200.0]])
    for axes, (x, y) in zip(figures[0].axes, [(0.5, 0.0), (0.5, -200.0), (0.0, -200.0), (0.5, 0.0)], strict=False):
        for (low, high), value in ((axes.get_xlim(), x), (axes.get_ylim(), y)):
            assert (low + high) / 2 == pytest.approx(value) and high - low >= 0.02


@pytest.mark.parametrize(
    ("k", "ring"), [(2, "non-dominated in both objectives"), (4, "non-dominated in all 4 objectives")]
)
def test_the_legend_says_in_which_objectives_the_ringed_points_are_non_dominated(
    figures: list[Figure], k: int, ring: str
) -> None:
    draw_front("front.png", NAMES[:k], [0], [[0.5] * k], [[0.5] * k])
    assert ring in [text.get_text() for text in figures[0].legends[0].get_texts()]


def test_in_space_the_latest_point_is_drawn_last_and_rings_lie_on_top(figures: list[Figure]) -> None:
    draw_front("front.png", NAMES[:3], [0, 5, 10], [[0.2] * 3, [0.5] * 3, [0.5] * 3], [[0.5] * 3])
    marks = figures[0].axes[3].collections
    first, second, third, start, ring = sorted(marks, key=lambda mark: mark.get_zorder())
    assert first.get_zorder() == second.get_zorder() == third.get_zorder() < start.get_zorder() < ring.get_zorder()
    assert (third.get_facecolor()[0, :2] > 0.9).all(), "the last step is yellow"


def test_objectives_share_a_panel_of_the_history_only_where_all_are_from_0_to_1(figures: list[Figure]) -> None:
    lines = history(3)
    draw_history("weights.png", lines)
    lines[-1]["validation"]["clarity"]["mean"] = -100.0
    draw_history("weights.png", lines)
    shared, own = ([axes.get_ylabel().split("\n") for axes in figure.axes] for figure in figures)
    assert shared[0][0] == "mean of the objective" and len(own) == len(shared) + 2
    assert own[:3] == [["mean of", name] for name in NAMES[:3]]


def test_a_change_at_the_last_step_is_seen_to_last(figures: list[Figure]) -> None:
    lines = [{"step": step, "weights": {"a": 1.0}, "hypervolume": 0.1} for step in range(401)]
    draw_history("weights.png", [*lines[:-1], {**lines[-1], "hypervolume": 0.2}])
    (curve,) = figures[0].axes[-1].lines
    steps, values = curve.get_data()
    assert (steps[-2], values[-2], values[-1]) == (400, 0.2, 0.2) and steps[-1] >= 404


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="objectives: must hold at least two names"):
        draw_front(tmp_path / "x.png", ["accuracy"], [0], [[0.5]], [[0.5]])
    with pytest.raises(ValueError, match="performance: must hold at least one validation"):
        draw_front(tmp_path / "x.png", ["accuracy", "clarity"], [], np.empty((0, 2)), np.empty((0, 2)))
    with pytest.raises(ValueError, match="lines: must hold at least one step"):
        draw_history(tmp_path / "x.png", [])
    with pytest.raises(ValueError, match=r"config\.json"):
        plot_run(RunFolder(tmp_path))
    with pytest.raises(ValueError, match="none yet"):
        plot_run(write_run(tmp_path / "run", []))


def test_staircase_by_hand() -> None:
    corners = staircase([[0.5, 0.5], [0.2, 0.8], [0.5, 0.4], [0.1, 0.8], [0.9, 0.1]])
    assert corners.tolist() == [[0.2, 0.8], [0.2, 0.5], [0.5, 0.5], [0.5, 0.1], [0.9, 0.1]]


@given(arrays(float, st.tuples(st.integers(1, 12), st.just(2)), elements=st.floats(0, 1)))
def test_staircase_goes_down_to_the_right_and_covers_every_point(points: np.ndarray) -> None:
    corners = staircase(points)
    assert (np.diff(corners[:, 0]) >= 0).all() and (np.diff(corners[:, 1]) <= 0).all()
    assert len(corners) % 2 == 1
    for point in points:
        assert ((corners[::2] >= point).all(axis=1)).any()
