"""Grids of training runs, their statistics and reports.

Example:
    >>> from paretune.bench import Bench, Grid, LocalProcesses, write_reports
    >>> grid = Grid(envs=["paretune/Arithmetic-v0"], agents=["grpo"], weightings=["fixed", "saw"], seeds=5)
    >>> bench = Bench(grid, "runs/bench")  # doctest: +SKIP
    >>> bench.run(LocalProcesses(jobs=2), threads=1)  # doctest: +SKIP
    >>> summary = write_reports(bench)  # doctest: +SKIP
"""

from paretune.bench.outcome import Outcome
from paretune.bench.reports.stored_results import read_results
from paretune.bench.reports.writing import check_reports, report_again, write_reports
from paretune.bench.running.display import make_display
from paretune.bench.running.grid import Cell, Grid
from paretune.bench.running.local import LocalProcesses
from paretune.bench.running.ray_cluster import RayCluster
from paretune.bench.running.runner import Bench
from paretune.bench.statistics.pooled import whole_sweeps
from paretune.bench.statistics.summarise import summarise
from paretune.bench.statistics.summary import Summary

__all__ = [
    "Bench",
    "Cell",
    "Grid",
    "LocalProcesses",
    "Outcome",
    "RayCluster",
    "Summary",
    "check_reports",
    "make_display",
    "read_results",
    "report_again",
    "summarise",
    "whole_sweeps",
    "write_reports",
]
