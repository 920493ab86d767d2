"""The pages in examples/benchmarks, beside the results files that they were made from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra bench")

from paretune.bench.reports.report_markdown import markdown
from paretune.bench.reports.stored_results import read_results
from paretune.bench.reports.texts import number_text

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "benchmarks"
RESULTS = {path.stem: path for path in sorted(FOLDER.glob("*.parquet")) if path.with_suffix(".md").exists()}
WITHDRAWN = [name for name, path in RESULTS.items() if "\n\n**Withdrawn: " in path.with_suffix(".md").read_text()]
KEPT = [name for name in RESULTS if name not in WITHDRAWN]


def test_there_are_pages_of_both_kinds() -> None:
    assert KEPT == ["toy"] and WITHDRAWN == ["arithmetic", "longer", "settings", "tight_budget"]


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_a_page_is_what_its_results_file_says(name: str) -> None:
    assert markdown(read_results(RESULTS[name])) == RESULTS[name].with_suffix(".md").read_text()


@pytest.mark.parametrize("name", WITHDRAWN)
def test_a_page_that_cannot_be_recomputed_says_so_and_has_the_numbers_that_are_there(name: str) -> None:
    summary = read_results(RESULTS[name])
    text = RESULTS[name].with_suffix(".md").read_text()
    note = text.split("\n\n")[1]
    assert summary.lacks and f"does not hold {', '.join(summary.lacks)} of the runs" in note
    for comparison in summary.comparisons:
        section = text.partition(f"## {comparison.env}, {comparison.agent}\n")[2].partition("\n## ")[0]
        rows = {line.split("|")[1].strip(): line for line in section.splitlines()[::-1] if line.startswith("| ")}
        assert section
        for arm in comparison.arms:
            value = number_text(arm.measures[summary.main].value)
            assert f" {value} [" in rows[f"{arm.weighting}/{arm.preference}"]
