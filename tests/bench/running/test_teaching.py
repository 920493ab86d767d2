"""A small benchmark in a setting that teaches, and in one that does not."""

from paretune.bench.reports.report_markdown import markdown
from paretune.bench.running.runner import Bench
from paretune.bench.statistics.summarise import summarise
from tests.bench.running.test_tuning import ABSURD, GOOD, SETTINGS, Here, grid


def report(folder, lr, **arguments):
    bench = Bench(grid(seeds=5, settings=SETTINGS | {"lr": lr}, **arguments), folder)
    assert bench.run(Here(), threads=1)
    summary = summarise(bench.outcomes(), name="toy")
    return summary, markdown(summary)


def test_a_learning_rate_that_teaches_nothing_is_an_invalid_setting(tmp_path):
    summary, text = report(tmp_path, ABSURD, steps=2)
    (comparison,) = summary.comparisons
    assert comparison.setting.verdict == "invalid" and summary.ranking == []
    assert {gain.effect for gain in comparison.setting.gains} == {"not raised"}
    assert text.startswith("# toy\n\n**Invalid setting: Token-v0, rloo.** Training does not raise")
    assert "## Token-v0, rloo: invalid setting; tells weights apart: no" in text
    assert "no verdict: invalid setting" in text and "not distinguishable at" not in text.split("## How to read")[0]
    assert "\n| untrained " in text and "Tells weights apart: no." in text


def test_one_that_teaches_is_valid_and_tells_weights_apart(tmp_path):
    summary, text = report(tmp_path, GOOD, weightings=["fixed"])
    (comparison,) = summary.comparisons
    assert comparison.setting.verdict == "valid" and len(summary.ranking) == 2
    assert {gain.effect for gain in comparison.setting.gains} == {"raised"}
    assert comparison.setting.apart.verdict == "yes"
    for gain in comparison.setting.gains:
        assert gain.share is not None and 0.5 < gain.share <= 1 + 1e-6  # rewards are float32
        assert gain.picked_gain is not None
    assert "**Valid setting.** Training raises" in text and "Tells weights apart: yes." in text
    assert 0 <= comparison.setting.untrained["share_of_front"].value < 1
