from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra bench")

import pyarrow as pa
import pyarrow.parquet as pq

from paretune.bench.outcome import Course, Outcome
from paretune.bench.reports.page_data import arm_names, details, overview
from paretune.bench.reports.report_markdown import markdown
from paretune.bench.reports.results import write_results
from paretune.bench.reports.stored_results import NEEDED, read_results
from paretune.bench.statistics.pooled import whole_sweeps
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Failure, Summary
from tests.bench.outcomes import arm

LEVELS = [0.3, 0.45, 0.5, 0.62, 0.7]


def summary() -> Summary:
    """A summary with all that a results file has to keep."""
    runs = arm("fixed", LEVELS, "a") + arm("fixed", LEVELS[::-1], "b") + arm("saw", [0.6] * 5, "a", lr=0.5)
    runs += arm("saw", [0.65] * 5, "b") + arm("random", LEVELS[:3], "a") + arm("tchebycheff", LEVELS, "c")
    runs += arm("fixed", LEVELS, env="known", exact=[[1.0, 0.5], [0.5, 1.0]]) + arm("saw", LEVELS, env="known")
    return summarise(
        runs + whole_sweeps(runs),
        name="kept",
        failures=[Failure(cell="Toy/GRPO/x/a/seed-0", traceback="Traceback\nValueError: no")],
        missing=3,
        provenance={"command": "paretune bench --seeds 5", "commit": "abc"},
    )


def test_reports_made_from_the_file_alone_are_the_same(tmp_path: Path) -> None:
    made = summary()
    write_results(tmp_path / "results.parquet", made)
    again = read_results(tmp_path / "results.parquet")
    assert markdown(again) == markdown(made)
    assert overview(again) == overview(made)
    for one, other in zip(made.comparisons, again.comparisons, strict=True):
        assert details(other, arm_names(again)) == details(one, arm_names(made))
    assert again == made
    assert read_results(tmp_path / "results.parquet", main="final_hypervolume").main == "final_hypervolume"


def test_an_older_file_is_read_as_far_as_it_goes_and_says_what_it_lacks(tmp_path: Path) -> None:
    made = summary()
    write_results(tmp_path / "new.parquet", made)
    table = pq.read_table(tmp_path / "new.parquet")
    old = table.drop_columns([name for name in table.column_names if name.startswith("part/")])
    pq.write_table(old.replace_schema_metadata(None), tmp_path / "old.parquet")
    again = read_results(tmp_path / "old.parquet")
    assert (again.name, again.main, again.lacks) == ("old", "front_hypervolume", list(NEEDED))
    text = markdown(again)
    lacks = "reference, curve, course, front, final, exact"
    assert f"**The results file does not hold {lacks} of the runs: what depends on them is left out" in text
    for one, other in zip(made.comparisons, again.comparisons, strict=True):
        found = {(arm.weighting, arm.preference): arm for arm in other.arms}
        for arm_made in one.arms:
            again_arm = found[arm_made.weighting, arm_made.preference]
            assert again_arm.measures == arm_made.measures
            assert [run.runs for run in again_arm.outcomes] == [run.runs for run in arm_made.outcomes]
            assert again_arm.against_best_fixed == arm_made.against_best_fixed
    # Shares of an exact front stand for it; comparisons without them are not ranked.
    assert {ranked.comparisons for ranked in again.ranking} == {1}
    known = [ranked.score for ranked in again.ranking if ranked.weighting == "fixed"]
    assert known == [summarise(_known(made), name="x").ranking[0].score]


def _known(made: Summary) -> list[Outcome]:
    arms = [arm for each in made.comparisons if each.env == "known" for arm in each.arms if arm.weighting == "fixed"]
    return [run for arm in arms for run in arm.outcomes]


def test_a_run_that_was_not_trained_is_kept(tmp_path: Path) -> None:
    untrained = Course(steps=[], direction=[], scale=[], rewards=[])
    runs = [replace(run, course=untrained) for run in arm("fixed", [1.0])]
    made = summarise(runs, name="untrained")
    write_results(tmp_path / "results.parquet", made)
    assert read_results(tmp_path / "results.parquet") == made
    write_results(tmp_path / "empty.parquet", summarise([], name="nothing", missing=4))
    assert read_results(tmp_path / "empty.parquet") == summarise([], name="nothing", missing=4)


def test_what_is_no_results_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(ValueError, match="report: must be a Parquet file, got "):
        read_results(tmp_path / "text.parquet")
    pq.write_table(pa.table({"env": ["a"], "seed": [1]}), tmp_path / "other.parquet")
    message = "report: must be a results.parquet of paretune bench, got .* no column agent, weighting, preference"
    with pytest.raises(ValueError, match=message):
        read_results(tmp_path / "other.parquet")
    with pytest.raises(FileNotFoundError, match="no such results file"):
        read_results(tmp_path / "missing.parquet")
