"""A benchmark's folder, its processes, and what happens when something goes wrong in one of them."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from filelock import FileLock

from paretune.bench.running.cell import ERROR, RESULT, RUN
from paretune.bench.running.display import LineDisplay, Progress, status_table
from paretune.bench.running.grid import Grid
from paretune.bench.running.local import LocalProcesses
from paretune.bench.running.runner import Bench

TOY = "paretune/TokenConvex-v0"
SETTINGS = {"prompts_per_step": 1, "group_size": 4, "lr": 1e-2, "eval_prompts": 1}


def grid(**arguments):
    given = {"envs": [TOY], "agents": ["rloo"], "weightings": ["fixed", "saw"], "seeds": 1, "steps": 2}
    return Grid(**(given | {"settings": SETTINGS} | arguments))


class Recorded:
    """A display that keeps what it is told."""

    def __init__(self):
        self.statuses = []

    def start(self, progress):
        self.statuses.append(progress.now())

    def update(self, status):
        self.statuses.append(status)

    def stop(self):
        self.statuses.append(None)


@pytest.mark.slow
def test_cells_run_in_processes_and_are_not_run_again(tmp_path):
    bench, display = Bench(grid(), tmp_path / "bench"), Recorded()
    assert bench.run(LocalProcesses(2), threads=1, display=display, command="a command")
    outcomes = bench.outcomes()
    assert [outcome.arm for outcome in outcomes] == [("fixed", "equal"), ("saw", "equal")]
    assert bench.failures() == []
    assert bench.provenance()["command"] == "a command"
    assert display.statuses[0].counts() == {"finished": 0, "failed": 0, "running": 0, "waiting": 2}
    assert display.statuses[-2].counts() == {"finished": 2, "failed": 0, "running": 0, "waiting": 0}
    assert display.statuses[-2].seconds_left == 0
    assert display.statuses[-1] is None

    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(RESULT)}
    larger = Bench(grid(seeds=2), tmp_path / "bench")
    assert larger.run(LocalProcesses(2), threads=1, command="another")
    assert len(larger.outcomes()) == 4
    assert all(path.stat().st_mtime_ns == before for path, before in written.items())
    assert larger.provenance()["command"] == "a command and another"


def test_a_cell_that_fails_stops_no_other_and_is_tried_again(tmp_path):
    # The second arm's run folder is a file: making it fails.
    bench = Bench(grid(), tmp_path)
    broken = tmp_path / "cells" / bench.cells[1].name
    broken.mkdir(parents=True)
    (broken / RUN).write_text("in the way")
    assert bench.run(LocalProcesses(1), threads=1)
    assert [outcome.weighting for outcome in bench.outcomes()] == ["fixed"]
    (failure,) = bench.failures()
    assert failure.cell == bench.cells[1].name
    assert "Traceback" in failure.traceback
    assert "which is a file" in failure.traceback

    (broken / RUN).unlink()
    assert bench.run(LocalProcesses(1), threads=1)
    assert len(bench.outcomes()) == 2
    assert bench.failures() == []


@pytest.mark.slow
def test_a_process_that_is_killed_is_recorded(tmp_path):
    bench = Bench(grid(weightings=["fixed"], steps=100_000), tmp_path)
    executor = LocalProcesses(1)
    folder = tmp_path / "cells" / bench.cells[0].name

    class Kills(Recorded):
        def update(self, status):
            if status.running and (folder / RUN / "metrics.jsonl").exists():
                (process,) = executor._context.active_children() or [None]
                if process is not None:
                    os.kill(process.pid, signal.SIGKILL)

    assert bench.run(executor, threads=1, display=Kills())
    assert (folder / ERROR).read_text().startswith("The process of this cell ended with signal 9; 9 is what")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_benchmark_after_the_steps_under_way_and_it_goes_on(tmp_path, number):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import signal, sys
        from paretune.bench.running.grid import Grid
        from paretune.bench.running.local import LocalProcesses
        from paretune.bench.running.runner import Bench

        if __name__ == "__main__":
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
            grid = Grid(envs=["{TOY}"], agents=["rloo"], weightings=["fixed", "saw"], seeds=1,
                        steps=int(sys.argv[1]), settings={SETTINGS!r})
            print(Bench(grid, "bench").run(LocalProcesses(1), threads=1))
        """)
    )
    process = subprocess.Popen([sys.executable, str(script), "3000"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    metrics = tmp_path / "bench/cells/TokenConvex-v0/rloo/fixed/equal/seed-0/run/metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and metrics.read_text().count("\n") > 3) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(number)
    assert process.communicate(timeout=120)[0].strip() == "False"
    folder = metrics.parent.parent
    done = json.loads(metrics.read_text().splitlines()[-1])["step"]
    assert 0 < done < 3000
    assert not (folder / RESULT).exists()
    assert not (folder / ERROR).exists()
    assert [path.name for path in (folder / RUN / "checkpoints").iterdir()][-1:] != []
    assert (folder / RUN / "checkpoints" / f"step-{done:06d}").exists()
    assert not (tmp_path / "bench/cells/TokenConvex-v0/rloo/saw").exists()


def test_a_folder_with_other_cells_or_other_things_is_refused(tmp_path):
    bench = Bench(grid(weightings=["fixed"]), tmp_path / "bench")
    assert bench.run(LocalProcesses(1), threads=1)
    with pytest.raises(ValueError, match=r"holds another cell .*, whose steps is 2 and not 3"):
        Bench(grid(weightings=["fixed"], steps=3), tmp_path / "bench")
    with pytest.raises(ValueError, match=r"whose lr is 0\.01 and not 0\.1"):
        Bench(grid(weightings=["fixed"], settings=SETTINGS | {"lr": 0.1}), tmp_path / "bench")
    same = Bench(grid(weightings=["fixed"], settings=SETTINGS | {"gamma": 1.0}), tmp_path / "bench")  # the default
    assert len(same.outcomes()) == 1
    other = Bench(grid(weightings=["fixed"], steps=3), tmp_path / "bench", overwrite=True)
    assert other.outcomes() == []
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="must be a new folder or a benchmark's"):
            Bench(grid(), tmp_path / "full", overwrite=overwrite)
    with pytest.raises(ValueError, match=r"must be a folder, got .* which is a file"):
        Bench(grid(), tmp_path / "full" / "thesis.txt")
    assert (tmp_path / "full" / "thesis.txt").read_text() == "mine"


def test_arms_take_turns(tmp_path):
    ran = []

    class Notes:
        jobs = 1

        def run(self, work, stop_requested):
            ran.extend(one.cell.name for one in work)
            yield []

    bench = Bench(grid(agents=["rloo", "grpo"], seeds=2), tmp_path)
    assert not bench.run(Notes())
    assert [name.partition("/")[2] for name in ran[:5]] == [
        "rloo/fixed/equal/seed-0",
        "rloo/saw/equal/seed-0",
        "rloo/fixed/equal/seed-1",
        "rloo/saw/equal/seed-1",
        "grpo/fixed/equal/seed-0",
    ]


def test_two_processes_do_not_run_the_same_benchmark(tmp_path):
    bench = Bench(grid(weightings=["fixed"]), tmp_path)
    with FileLock(tmp_path / ".lock"), pytest.raises(ValueError, match="another process is running the benchmark"):
        bench.run(LocalProcesses(1))
    assert bench.outcomes() == []
    assert bench.run(LocalProcesses(1), threads=1)


def test_nothing_is_written_before_the_grid_is_checked(tmp_path):
    with pytest.raises(ValueError, match="unknown weighting"):
        Bench(grid(weightings=["fixed", "swa"]), tmp_path / "bench")
    assert not (tmp_path / "bench").exists()


def test_jobs_must_be_positive():
    with pytest.raises(ValueError, match="jobs: must be a whole number of at least 1, got 0"):
        LocalProcesses(0)


def test_time_left_is_judged_by_the_finished_cells_of_the_same_comparison(tmp_path, monkeypatch):
    bench = Bench(grid(agents=["rloo", "grpo"], seeds=2), tmp_path)
    work = bench.work()
    clock = iter([10.0, 40.0])
    monkeypatch.setattr("paretune.bench.running.display.time.monotonic", lambda: next(clock))
    progress = Progress(work, jobs=2)
    assert progress.now(work[:2]).seconds_left is None  # at 10 s
    work[0].folder.mkdir(parents=True)
    (work[0].folder / RESULT).write_text("{}")
    status = progress.now(work[1:3])  # at 40 s: the first took 30 s; 7 are left, for 2 processes
    assert status.seconds_left == pytest.approx(7 * 30 / 2)
    assert status.counts() == {"finished": 1, "failed": 0, "running": 2, "waiting": 5}
    assert status.counts("TokenConvex-v0/grpo/") == {"finished": 0, "failed": 0, "running": 0, "waiting": 4}
    assert set(status.running.values()) == {(0, 2)}


def test_lines_and_table_name_what_there_is(tmp_path, capsys):
    bench = Bench(grid(), tmp_path)
    assert bench.run(LocalProcesses(1), threads=1, display=LineDisplay())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "2 cells, 0 finished before, 1 at a time"
    assert lines[1].startswith("1/2 TokenConvex-v0/rloo/fixed/equal/seed-0 finished (0:00:")
    assert len(lines) == 3

    from rich.console import Console

    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(status_table(Progress(bench.work(), 1).now()))
    text = console.export_text()
    assert "environment / agent" in text
    assert "TokenConvex-v0/rloo" in text
