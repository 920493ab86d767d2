"""The files that a benchmark's folder ends up with, and its last words on a terminal."""

from __future__ import annotations

from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from paretune.agents.files import atomic_path, remove
from paretune.bench.reports.report_html import html
from paretune.bench.reports.report_markdown import markdown
from paretune.bench.reports.results import write_results
from paretune.bench.reports.stored_results import read_results
from paretune.bench.reports.verdict_picture import draw_verdicts
from paretune.bench.running.runner import Bench
from paretune.bench.statistics.pooled import whole_sweeps
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Summary

RESULTS, MARKDOWN, HTML, PICTURE = "results.parquet", "report.md", "report.html", "verdicts.png"
"""Names of the files."""


def check_reports() -> None:
    """Raise ValueError where a package is missing that the reports need: better now than when all runs are done."""
    for package in ("pyarrow", "plotly"):
        if find_spec(package) is None:
            raise ValueError(f'bench: {package} needs the extra "bench": pip install "paretune[bench]"')


def write_reports(bench: Bench) -> Summary:
    """Write results and reports of what is finished.

    Args:
        bench: The benchmark.

    Returns:
        What the results say.

    Raises:
        ValueError: If the extra "bench" is not installed, or a cell's file is damaged.
    """
    outcomes, failures = bench.outcomes(), bench.failures()
    sweeps = whole_sweeps(outcomes)
    arms = {(run.comparison, run.weighting) for run in sweeps}
    rivals = Counter(comparison for comparison, _ in arms)  # a sweep that is alone has nothing to be compared with
    summary = summarise(
        outcomes + [run for run in sweeps if rivals[run.comparison] > 1],
        name=bench.grid.name,
        baseline=bench.grid.baseline,
        failures=bench.failed_trials() + failures,
        missing=len(bench.cells) - len(outcomes) - len(failures),
        provenance=bench.provenance(),
        tuned=bench.tuned(),
    )
    bench.folder.mkdir(parents=True, exist_ok=True)
    write_results(bench.folder / RESULTS, summary)
    _write(summary, bench.folder)
    return summary


def report_again(results: Path, folder: Path) -> Summary:
    """Write the reports of a results file, without the cells that it came from.

    Of a file that lacks fronts and curves there is no page: the pictures on it are made of those.

    Args:
        results: A `results.parquet`.
        folder: Where the reports are written to.

    Returns:
        What the results say.

    Raises:
        ValueError: If the file is none of a benchmark, or the extra "bench" is not installed.
        FileNotFoundError: If there is no such file.
    """
    summary = read_results(results)
    folder.mkdir(parents=True, exist_ok=True)
    _write(summary, folder)
    return summary


def _write(summary: Summary, folder: Path) -> None:
    """Write the texts and the picture."""
    texts = {MARKDOWN: markdown(summary)} | ({} if summary.lacks else {HTML: html(summary)})
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    remove(folder / PICTURE)
    if summary.ranking:
        draw_verdicts(folder / PICTURE, summary)
