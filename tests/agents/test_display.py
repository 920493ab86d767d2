from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from paretune.agents.display import (
    LineDisplay,
    LiveDisplay,
    SilentDisplay,
    clock,
    describe,
    make_display,
    objectives_table,
)


def metrics_line(step: int, validated: bool = False, standard_error: float | None = 0.02) -> dict[str, Any]:
    line: dict[str, Any] = {
        "step": step,
        "weights": {"accuracy": 1.5, "[clarity]": 0.5},
        "scale": 2.0,
        "hypervolume": 0.0321,
    }
    if step:
        line["rewards"] = {name: {"mean": 0.125, "std": 0.1, "min": 0.0, "max": 1.0} for name in line["weights"]}
        line |= {"loss": 0.5, "grad_norm": 1.25, "times": {"sample": 1.5, "update": 0.5}}
    if validated:
        line["validation"] = {name: {"mean": 0.5, "standard_error": standard_error} for name in line["weights"]}
    return line


def run(display: Any, total: int = 10, validated_every: int = 5) -> None:
    display.start(total, 0)
    for step in range(total + 1):
        display.step(metrics_line(step, step % validated_every == 0))
    display.message("a [sentence]")
    display.stop()


def live_console(stream: io.StringIO) -> Console:
    return Console(file=stream, force_terminal=True, width=100, height=30, color_system=None)


def test_plain_lines_name_step_objectives_weights_hypervolume_and_time() -> None:
    stream = io.StringIO()
    run(LineDisplay(stream))
    lines = stream.getvalue().splitlines()
    assert lines[0] == "training from step 0 to 10"
    weighting = "weights 0.750 0.250 | scale 2.000 | archive hypervolume 0.0321"
    assert lines[1] == f"step 0/10 | validation accuracy 0.500 [clarity] 0.500 | {weighting}"
    train = "train accuracy 0.125 [clarity] 0.125"
    assert lines[2] == f"step 1/10 | {train} | {weighting} | 2.00 s/step, 0:00:18 left"
    assert lines[-1] == "a [sentence]"
    assert len(lines) == 1 + 11 + 1


def test_plain_lines_of_long_runs_are_about_a_hundred_and_every_validation() -> None:
    stream = io.StringIO()
    run(LineDisplay(stream), total=1001, validated_every=499)
    steps = [line.split("/")[0] for line in stream.getvalue().splitlines() if line.startswith("step")]
    assert len(steps) == 101 + len([499, 998, 1001])
    assert {"step 0", "step 10", "step 499", "step 998", "step 1001"} <= set(steps)


def test_plain_lines_are_flushed_one_by_one() -> None:
    class Counting(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            self.flushes += 1

    stream = Counting()
    run(LineDisplay(stream))
    assert stream.flushes == len(stream.getvalue().splitlines())


def test_live_panel_shows_progress_objectives_weights_and_hypervolume() -> None:
    stream = io.StringIO()
    run(LiveDisplay(live_console(stream)))
    panel = stream.getvalue().rpartition("objective")[2]
    before_panel = stream.getvalue().rpartition("objective")[0].splitlines()[-1]
    assert "10/10" in before_panel
    assert "validation at 10" in panel
    assert "0.500 ± 0.020" in panel
    assert "[clarity]" in panel
    assert "archive hypervolume 0.0321   scale 2.000   loss 0.5000   gradient norm 1.25   2.00 s/step" in panel
    rows = {line.split()[0]: line.count("█") for line in panel.splitlines() if "█" in line}
    assert rows == {"accuracy": 15, "[clarity]": 5}
    assert "a [sentence]" in stream.getvalue()


def test_live_panel_before_the_first_training_step_and_for_a_single_prompt() -> None:
    stream = io.StringIO()
    display = LiveDisplay(live_console(stream))
    display.start(10, 0)
    display.step(metrics_line(0, validated=True, standard_error=None))
    display.stop()
    row = next(line for line in reversed(stream.getvalue().splitlines()) if line.startswith("accuracy"))
    assert row.split()[1:4] == ["-", "0.500", "0.750"]


def test_live_panel_of_a_resumed_run_starts_where_the_run_stands() -> None:
    stream = io.StringIO()
    display = LiveDisplay(live_console(stream))
    display.start(60, 30)
    display.step(metrics_line(31))
    display.stop()
    assert "30/60" in stream.getvalue()
    assert "31/60" in stream.getvalue()


def test_stopping_a_live_panel_that_never_started_is_harmless() -> None:
    LiveDisplay(live_console(io.StringIO())).stop()


def test_silent_display_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    run(SilentDisplay())
    assert capfd.readouterr() == ("", "")


def test_make_display_chooses_by_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(make_display(), LineDisplay)
    assert isinstance(make_display(quiet=True), SilentDisplay)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert isinstance(make_display(), LiveDisplay)


def test_describe_and_clock() -> None:
    assert describe(metrics_line(5), 60).startswith("step 5/60 | train accuracy 0.125")
    assert [clock(seconds) for seconds in (0.4, 59.6, 3725.4)] == ["0:00:00", "0:01:00", "1:02:05"]


def test_what_is_for_evaluation_only_has_a_row_without_weight() -> None:
    stream = io.StringIO()
    line = metrics_line(5, validated=True)
    line["validation"]["brevity"] = {"mean": 0.25, "standard_error": None}
    live_console(stream).print(objectives_table(line, line))
    row = next(row for row in stream.getvalue().splitlines() if "brevity" in row)
    assert row.split() == ["brevity", "-", "0.250", "-"]
