"""`paretune bench`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from paretune.agents.rules import Count, CountFromZero
from paretune.agents.settings import AgentSettings, Keep
from paretune.cli.arguments.entries import Entries, Preferences, ReportOf
from paretune.cli.arguments.settings import parse_settings
from paretune.cli.arguments.values import Values
from paretune.cli.main import DONE, FAILED, INTERRUPTED
from paretune.cli.tables import format_table

if TYPE_CHECKING:
    from paretune.bench import Grid, Summary
    from paretune.bench.running.runner import Executor
    from paretune.bench.tuned import Tuned


OUTPUTS = {
    "page:": "report.html",
    "report:": "report.md",
    "results:": "results.parquet",
    "picture:": "verdicts.png",
}


@dataclass(kw_only=True)
class GridSettings:
    """What is compared with what, and how it is run."""

    envs: Entries = ("paretune/Arithmetic-v0",)
    """Environments: ids, or tables with id, label, options, policy, policy_options, steps, settings, preferences,
    weighting_options and test_prompts; a table on the command line is JSON."""
    agents: Entries = ("grpo",)
    """Algorithms: grpo, rloo or reinforce, or tables with name, label and settings."""
    weightings: Entries = ("fixed", "hypervolume", "gradient")
    """Strategies that weigh the objectives: names, or tables with name, label, options and preferences (labels of those
    it is trained for; all by default)."""
    preferences: Preferences = ("equal",)
    """Preferences, such as equal 0.5,0.25,0.25, or with labels: balanced=equal accurate=0.5,0.25,0.25."""
    policy: str | None = None
    """Policy of environments that name none: a language model, or mlp or gru where the environment is stepped."""
    seeds: Count = 5
    """Seeds of each arm."""
    steps: Count = 60
    """Training steps of each run."""
    baseline: str = "fixed"
    """Label of the weighting that the others are compared with."""
    test_prompts: Count | None = None
    """Test prompts that the policies chosen on validation are measured on, the first ones; None is all."""
    name: str = "benchmark"
    """Name of the benchmark, in reports."""
    tune: Values = field(default_factory=dict)
    """Settings to tune before, with the values to try, such as lr=5e-5,1e-4,2e-4: each environment and agent takes the
    ones with which the fixed arms alone end best on validation data, over seeds from 1000. Of several settings, all
    combinations are tried."""
    tune_seeds: Count = 3
    """Seeds that each of these is tried with."""

    jobs: Count | None = None
    """Cells that run at the same time; None is one for each core, or with Ray as many as the cluster has room for."""
    threads: Count = 1
    """Threads of torch in each cell."""
    ray: str | None = None
    """Address of a Ray cluster to run on, such as auto or ray://host:10001, or local to start one here. Its machines
    must share the folder --out."""
    out: Path | None = None
    """Folder that is written to; None makes runs/bench-NAME."""
    overwrite: bool = False
    """Throw away the benchmark that the folder holds, instead of going on with it."""
    keep_checkpoints: bool = False
    """Leave the checkpoints of the policies that were measured."""
    report: ReportOf = False
    """Run nothing, only write the reports: of what is finished, or of a results file (results.parquet), without its
    cells and beside it if --out names no folder."""
    config: Path | None = None
    """Grid file (.toml or .json) with these names."""
    quiet: bool = False
    """Print nothing but errors."""


@dataclass(kw_only=True)
class BenchSettings(AgentSettings, GridSettings):
    """Compare weighting strategies: environments x agents x weightings x preferences x seeds, with honest statistics.

    All arms share policy, prompts, learning rate, clips, updates and responses; checkpoints are chosen on validation
    and measured on test data. The same command again goes on with what is not finished. Writes results.parquet,
    report.md, report.html and verdicts.png. Example: paretune bench --config examples/benchmarks/toy.toml --jobs 2
    """

    seed: CountFromZero = 0
    """First seed; the other cells of an arm have the next ones."""
    keep: tyro.conf.Suppress[Keep] = "front"
    pictures: tyro.conf.Suppress[bool] = False

    @property
    def folder(self) -> Path:
        """The folder that everything is written to."""
        return Path("runs", f"bench-{self.name}") if self.out is None else self.out


def run(words: Sequence[str]) -> int:
    """Run the grid as the command line says, write the reports and print the ranking.

    Returns:
        0; 1 if cells failed; 130 if a signal ended it.

    Raises:
        ValueError: If a setting is wrong.
    """
    settings, _ = parse_settings(words, BenchSettings, "paretune bench")
    from paretune import bench  # needs torch, which a help text need not wait for

    bench.check_reports()
    if isinstance(settings.report, Path):
        folder = settings.report.parent if settings.out is None else settings.out
        return _ended(bench.report_again(settings.report, folder), folder, settings.quiet)
    benchmark = bench.Bench(grid_of(settings), settings.folder, overwrite=settings.overwrite)
    ended = settings.report or benchmark.run(
        make_executor(settings),
        threads=settings.threads,
        keep_checkpoints=settings.keep_checkpoints,
        display=bench.make_display(settings.quiet),
        command=shlex.join(["paretune", "bench", *words]),
    )
    code = _ended(bench.write_reports(benchmark), settings.folder, settings.quiet)
    if not ended:
        print("\nstopped; the same command goes on with the benchmark", file=sys.stderr)
        return INTERRUPTED
    return code


def _ended(summary: Summary, folder: Path, quiet: bool) -> int:
    if not quiet:
        print(last_words(summary, folder))
    return FAILED if summary.failures else DONE


def last_words(summary: Summary, folder: Path) -> str:
    """Return what was tuned, invalid settings, the ranking, the cells that failed, and where everything is."""
    rows = [
        (
            f"{arm.weighting}/{arm.preference}",
            f"{arm.score.value:.3f}",
            arm.over_baseline.told if arm.over_baseline else "-",
            arm.over_best.told if arm.over_best else "-",
        )
        for arm in summary.ranking
    ]
    header = ("weighting/preference", "score", f"than {summary.baseline}", f"than chosen {summary.baseline}")
    lines = [tuned_line(each) for each in summary.tuned]
    lines += [
        f"invalid setting: {each.env}, {each.agent}: {each.setting.reason}"
        for each in summary.comparisons
        if each.setting.verdict == "invalid"
    ]
    lines += [format_table(header, rows)] if rows else []
    lines += [f"failed: {failure.cell}: {failure.traceback.strip().splitlines()[-1]}" for failure in summary.failures]
    lines += [f"{summary.missing} cells have not run yet"] if summary.missing else []
    lines += ["", *(f"{name:<9} {folder / file}" for name, file in OUTPUTS.items() if (folder / file).exists())]
    return "\n".join(lines)


def tuned_line(tuned: Tuned) -> str:
    """Return what was chosen for an environment and agent."""
    from paretune.bench.running.choices import setting_words

    chosen = "nothing yet" if tuned.chosen is None else setting_words(tuned.chosen)
    return f"tuned: {tuned.env}, {tuned.agent}: {chosen}" + (f" ({tuned.remark})" if tuned.remark else "")


def grid_of(settings: BenchSettings) -> Grid:
    """Return the grid that settings describe."""
    from paretune.bench.running.grid import FIXED_BY_BENCH, Grid

    shared = {
        entry.name: getattr(settings, entry.name) for entry in fields(AgentSettings) if entry.name not in FIXED_BY_BENCH
    }
    return Grid(
        envs=settings.envs,
        agents=settings.agents,
        weightings=settings.weightings,
        preferences=settings.preferences,
        seeds=range(settings.seed, settings.seed + settings.seeds),
        steps=settings.steps,
        settings=shared,
        baseline=settings.baseline,
        policy=settings.policy,
        test_prompts=settings.test_prompts,
        name=settings.name,
        tune=settings.tune,
        tune_seeds=settings.tune_seeds,
    )


def make_executor(settings: BenchSettings) -> Executor:
    """Return what runs the cells: processes of this machine, or a Ray cluster."""
    if settings.ray is not None:
        from paretune.bench import RayCluster

        return RayCluster(settings.ray, jobs=settings.jobs, threads=settings.threads)
    from paretune.bench import LocalProcesses

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return LocalProcesses(max(1, cores // settings.threads) if settings.jobs is None else settings.jobs)
