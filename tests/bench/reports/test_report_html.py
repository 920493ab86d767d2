from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("plotly", reason="needs plotly, of the extra bench")

from paretune.bench.reports.certainty import p_text
from paretune.bench.reports.report_html import html
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Rival
from paretune.bench.tuned import Trial, Tuned
from tests.bench.browser import Browser
from tests.bench.outcomes import outcome
from tests.bench.summaries import OBJECTIVES, summary

pytestmark = pytest.mark.slow

NONE = "\N{EN DASH}"


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Any:
    """Open the report of a summary in the browser."""

    def open_report(width: int = 1280, **arguments: Any) -> Any:
        made = summary(**arguments)
        path = tmp_path / "report.html"
        path.write_text(html(made), encoding="utf-8")
        browser.open(path, width)
        return made

    return open_report


def test_the_page_of_real_statistics_draws_without_a_network_and_without_errors(
    tmp_path: Path, browser: Browser
) -> None:
    invented = summary()
    outcomes = [outcome for arm in invented.comparisons[0].arms for outcome in arm.outcomes]
    path = tmp_path / "report.html"
    path.write_text(html(summarise(outcomes, name="real")), encoding="utf-8")
    browser.open(path)
    assert all(browser.traces(picture) for picture in browser.pictures())
    assert browser.run("return document.querySelectorAll('#front-space canvas').length") > 0
    requests = browser.requests()
    assert requests
    assert all(address.startswith(("file:", "data:", "blob:")) for address in requests)
    assert browser.errors() == []
    buttons = browser.run("return [...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title ?? '')")
    assert buttons
    assert not [title for title in buttons if "cloud" in title.lower() or "share" in title.lower()]


def test_the_ranking_table_has_the_summary_s_numbers(show: Any, browser: Browser) -> None:
    made = show(agents=("grpo", "rloo"))
    rows = browser.run(
        "return [...document.querySelectorAll('#ranking tbody tr')].map((r) => [...r.cells].map((c) => c.innerText))"
    )
    assert len(rows) == len(made.ranking) == 4
    for place, (row, ranked) in enumerate(zip(rows, made.ranking, strict=True)):
        name, rank, score, over_baseline, over_best, comparisons = (" ".join(cell.split()) for cell in row)
        assert (name, rank, comparisons) == (ranked.weighting, str(place + 1), "2")
        assert score == f"{ranked.score.value:.3f} [{ranked.score.low:.3f}, {ranked.score.high:.3f}]"
        assert_chance(over_baseline, ranked.over_baseline)
        assert_chance(over_best, ranked.over_best)


def assert_chance(cell: str, rival: Rival | None) -> None:
    if rival is None:
        assert cell == NONE
        return
    probability, holds = rival.probability, "holds" if rival.corrected in ("better", "worse") else "open"
    assert cell.startswith(f"{probability.value:.3f} [{probability.low:.3f}, {probability.high:.3f}] ")
    certainty = f"p {p_text(rival.p)}; of {rival.family} {p_text(rival.adjusted)}, {holds}; ties 25 %"
    assert cell.endswith(f" {rival.verdict} {certainty}")


def test_a_strategy_that_is_switched_off_leaves_every_picture_and_table(show: Any, browser: Browser) -> None:
    show()
    pictures = browser.pictures()
    gone = 2
    assert all(any(trace["meta"] == gone for trace in browser.traces(picture)) for picture in pictures)
    browser.run("scrollTo(0, 0)")
    browser.find(f"#arm-{gone}").send_keys(" ")  # by keyboard
    for picture in pictures:
        shown = {trace["meta"] for trace in browser.traces(picture)}
        assert gone not in shown
        assert {1, 3} <= shown
    rows = browser.texts("tbody th[scope=row]")
    assert "saw" in rows
    assert "gradient" not in rows
    assert "1 row hidden by your choice." in browser.texts("#ranking-box .note")
    browser.find("#arms-none").click()
    assert browser.traces("hypervolume") == []
    browser.find("#arms-all").click()
    assert {trace["meta"] for trace in browser.traces("hypervolume")} == {0, 1, 2, 3}


def test_hovering_a_point_tells_arm_seed_step_and_values(show: Any, browser: Browser) -> None:
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.wait import WebDriverWait

    made = show()
    browser.find("#arms-none").click()
    browser.find("#arm-3").click()
    browser.choose("seed", "1")
    browser.traces("front-0-1")
    point = browser.find("#front-0-1 .scatterlayer .trace .points path")
    ActionChains(browser.driver).move_to_element(point).perform()
    WebDriverWait(browser.driver, 20).until(lambda _: browser.texts("#front-0-1 .hovertext"))
    heading, where, *values = browser.texts("#front-0-1 .hovertext tspan.line")
    outcome = made.comparisons[0].arms[3].outcomes[1]
    assert heading == "saw"
    told = {
        (
            f"seed 1, step {point.step}{last}, test",
            tuple(f"{name}: {value:.3f}" for name, value in zip(OBJECTIVES, point.test, strict=False)),
        )
        for point, last in [*((point, "") for point in outcome.front), (outcome.final, " (last policy)")]
    }
    assert (where, tuple(values)) in told


def test_another_comparison_replaces_tables_and_pictures(show: Any, browser: Browser) -> None:
    made = show(agents=("grpo", "rloo"), seeds=2)
    assert browser.texts("#comparison-section h2") == ["paretune/Arithmetic-v0 · grpo"]
    assert browser.texts("#fairness li") == []
    browser.find("#arm-0").click()
    browser.choose("comparison", "1")
    assert browser.texts("#comparison-section h2") == ["paretune/Arithmetic-v0 · rloo"]
    assert browser.texts("#fairness li") == made.comparisons[1].differences
    assert {trace["meta"] for trace in browser.traces("weight-0")} == {1, 2, 3}
    browser.choose("measure", "igd_plus")
    assert browser.texts("#rivals caption") == ["Probability of improvement by IGD+"]
    browser.traces("measure-dots")
    assert browser.texts("#measure-dots .gtitle") == ["IGD+"]
    assert browser.errors() == []


def test_lines_are_means_with_bands_or_single_seeds_over_steps_or_tokens(show: Any, browser: Browser) -> None:
    made = show(weightings=["fixed"], seeds=3)
    curves = [outcome.curve for outcome in made.comparisons[0].arms[0].outcomes]
    band, mean = browser.traces("hypervolume")
    assert band["fill"] == "toself"
    assert mean["x"] == curves[0].steps
    expected = [sum(values) / 3 for values in zip(*(curve.hypervolume for curve in curves), strict=True)]
    assert mean["y"] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    browser.choose("axis", "tokens")
    assert browser.traces("hypervolume")[1]["x"] == [tokens + 1 for tokens in curves[0].tokens]
    browser.choose("lines", "seeds")
    (every,) = browser.traces("hypervolume")
    assert [place for place, y in enumerate(every["y"]) if y is None] == [11, 23, 35]  # gaps between the seeds
    single = [value for curve in curves for value in curve.hypervolume]
    assert [y for y in every["y"] if y is not None] == pytest.approx(single, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("objectives", [2, 4])
def test_pictures_follow_the_number_of_objectives_and_show_the_exact_front(
    show: Any, browser: Browser, objectives: int
) -> None:
    made = show(envs=("known",), objectives=objectives, weightings=["fixed", "saw"], seeds=1)
    pictures = browser.pictures()
    pairs = [f"front-{a}-{b}" for a, b in itertools.combinations(range(objectives), 2)]
    assert [name for name in pictures if name.startswith("front-") and name != "front-space"] == pairs
    assert ("front-space" in pictures) == (objectives > 2)
    assert sum(name.startswith("weight-") for name in pictures) == objectives
    exact = browser.traces(pairs[0])[0]
    assert exact["meta"] == "exact"
    assert len(exact["x"]) == len(made.comparisons[0].arms[0].outcomes[0].exact)
    assert not any(trace["fill"] for trace in browser.traces("hypervolume"))  # no band with one seed
    if objectives == 4:
        assert browser.run("return document.querySelectorAll('#triple option').length") == 4
        browser.choose("triple", "3")
        assert browser.traces("front-space")[0]["type"] == "scatter3d"


def test_25_arms_all_look_different_and_a_phone_scrolls_only_downwards(show: Any, browser: Browser) -> None:
    names = ["fixed", "w" * 70, *(f"strategy_{i}" for i in range(23))]
    show(400, weightings=names, seeds=1, steps=8)
    assert browser.run("return document.documentElement.scrollWidth") <= 400
    browser.find("#controls summary").click()
    assert browser.run("return document.documentElement.scrollWidth") <= 400
    looks = browser.run("return [...document.querySelectorAll('.arm .swatch')].map((swatch) => swatch.innerHTML)")
    assert len(set(looks)) == 25
    browser.find("#arms-leaders").click()
    assert browser.texts("#ranking tbody th") == ["fixed", "w" * 70, "strategy_0"]


def test_an_unfinished_benchmark_says_so_and_shows_why_cells_failed(show: Any, browser: Browser) -> None:
    made = show(400, envs=(), weightings=(), failures=2)
    assert browser.texts("#nothing") == ["No cell has finished yet."]
    assert "2 failed · 2 not run yet" in browser.texts("#counts")[0]
    assert browser.texts(".failure summary") == [failure.cell for failure in made.failures]
    folded = browser.find(".failure pre")
    assert not folded.is_displayed()
    browser.find(".failure summary").click()
    assert folded.text == made.failures[0].traceback.strip()
    assert browser.texts("#provenance dd") == list(made.provenance.values())
    assert browser.run("return document.documentElement.scrollWidth") <= 400
    assert browser.errors() == []


def test_an_invalid_setting_and_what_was_tuned_stand_before_everything(browser: Browser, tmp_path: Path) -> None:
    trials = [
        Trial(settings={"lr": 0.1}, runs=4, failed=0, own=[0.4, 0.6], gain=[-0.2, 0.0]),
        Trial(settings={"lr": 0.2}, runs=1, failed=3, own=None, gain=None),
    ]
    tuned = Tuned(env="Toy", agent="GRPO", seeds=[1000], trials=trials, chosen={"lr": 0.1}, remark="<b>so</b>")
    runs = [outcome("fixed", preference, seed, end=(0.05, 0.1)) for preference in "ab" for seed in range(5)]
    runs += [outcome("saw", "a", seed, end=(0.5, 0.4)) for seed in range(5)]
    made = summarise(runs, name="toy", tuned=[tuned])
    path = tmp_path / "report.html"
    path.write_text(html(made), encoding="utf-8")
    browser.open(path)
    (note,) = browser.texts("#report .invalid")
    assert note == f"Invalid setting: Toy, GRPO. {made.comparisons[0].setting.reason} No verdict."
    assert browser.texts("#nothing") == ["No arm is ranked: no setting is valid."]
    assert browser.texts("#tuned-0 caption") == ["Toy, GRPO: lr=0.1 (<b>so</b>)"]
    assert browser.texts("#tuned-0 tbody th") == ["lr=0.1 (chosen)", "lr=0.2"]
    assert browser.texts("#tuned-0 tbody td")[:3] == ["4", "0", "0.500 [-0.771, 1.771]"]
    assert browser.texts("#gains tbody th") == ["fixed · a", "fixed · b", "saw · a"]
    # The own weighted objective of (.1, .2) is .15, of (.05, .1) .075: -.075 in every run.
    assert browser.texts("#gains tbody tr:first-child td")[2:5] == ["0.150", "0.075", "-0.075 [-0.075, -0.075]"]
    assert browser.texts("#gains tbody tr:first-child td")[6] == "lowered"
    assert browser.texts("#untrained tbody th") == ["untrained"]
    assert browser.texts("#untrained tbody td")[0] == "0.020 [0.020, 0.020]"
    assert "no verdict: invalid setting" in browser.texts("#rivals tbody .verdict")
    assert "Tells weights apart: not known." in " ".join(browser.texts("#setting .lead"))
    assert browser.run("return document.documentElement.scrollWidth") <= 1280
    assert browser.errors() == []


def test_labels_are_text_and_never_markup(show: Any, browser: Browser) -> None:
    bad = [
        "fixed",
        "</script><script>window.bad = 1</script>",
        "<img src=x onerror='window.bad = 2'>",
        "<b>%{x}</b> &lt;",
    ]
    show(weightings=bad, preferences=("<i>a</i>", "b"), name="</title><script>window.bad = 3</script> $style", seeds=1)
    assert browser.run("return document.title") == "</title><script>window.bad = 3</script> $style"
    assert browser.texts("#ranking tbody th")[2] == f"{bad[1]} · <i>a</i>"
    for picture in browser.pictures():
        browser.traces(picture)
    assert f"{bad[3]}<i>a</i>" in browser.texts("#ranking-score .ytick text")
    assert browser.run("return window.bad ?? 'unharmed'") == "unharmed"
    assert browser.errors() == []


def test_without_webgl_a_sentence_takes_the_place_of_the_picture_in_space(show: Any, browser: Browser) -> None:
    source = """const real = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
            return kind.includes("webgl") ? null : real.call(this, kind, ...more);
        };"""
    added = browser.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    try:
        show(weightings=["fixed"], seeds=1)
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)
    assert "no WebGL" in browser.texts("#no-webgl")[0]
    assert "front-space" not in browser.pictures()
    assert browser.errors() == []


def test_without_plotly_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from paretune.bench.reports import report_html

    report_html._plotly.cache_clear()
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(ValueError, match=r'extra "bench": pip install "paretune\[bench\]"'):
        html(summary(weightings=["fixed"], seeds=1))
