"""`report.md`: what a benchmark came to, as text and tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from paretune.bench.reports.certainty import READING, choice_text, family_text, p_text, power_text, ties_text
from paretune.bench.statistics.measures import MEASURES
from paretune.bench.statistics.summary import Arm, Comparison, Failure, Interval, Rival, Summary

NOTHING = "-"
SHOWN_FAILURES = 20
"""Failures that are listed; of more only the number is told."""


def markdown(summary: Summary) -> str:
    """Return the report as Markdown: state, ranking, comparisons, failures and how to read it."""
    parts = [f"# {summary.name}", *_state(summary), *_ranking(summary)]
    parts += _families(summary)
    for comparison in summary.comparisons:
        parts += _comparison(comparison, summary)
    parts += _failures(summary.failures)
    parts += _reading(summary)
    return "\n\n".join(part for part in parts if part) + "\n"


def _state(summary: Summary) -> list[str]:
    finished = sum(run.runs == 1 for each in summary.comparisons for arm in each.arms for run in arm.outcomes)
    state = f"Cells: {finished} finished, {len(summary.failures)} failed, {summary.missing} missing."
    if summary.missing or summary.failures:
        state += " The benchmark is not complete: numbers and verdicts are of what is finished."
    return [
        state,
        lacks_text(summary.lacks),
        "\n".join(f"- {_cell(name)}: {_code(value)}" for name, value in summary.provenance.items()),
    ]


def lacks_text(lacks: Sequence[str]) -> str:
    """Return what a report says at its top if the results file does not hold all that it is made from."""
    if not lacks:
        return ""
    return (
        f"**The results file does not hold {', '.join(lacks)} of the runs: what depends on them is left out, or as it "
        "was when the file was written.**"
    )


def _ranking(summary: Summary) -> list[str]:
    if not summary.ranking:
        return []
    headings = ["rank", "arm", "score", *_rival_headings(summary.baseline), *_rival_headings("chosen fixed")]
    rows = []
    for place, ranked in enumerate(summary.ranking, 1):
        cells = [*rival_cells(ranked.over_baseline), *rival_cells(ranked.over_best)]
        arm = f"{ranked.weighting}/{ranked.preference}"
        rows.append([str(place), arm, interval_text(ranked.score), *cells, str(ranked.comparisons)])
    text = f"Score: {_label(summary.main)}, interquartile mean over comparisons and seeds, {_scale(summary.main)}."
    if len({ranked.comparisons for ranked in summary.ranking}) > 1:
        text += " Arms did not all take part in the same comparisons, so their scores are not strictly comparable."
    families = [
        family_text(summary.baseline, [ranked.over_baseline for ranked in summary.ranking]),
        family_text("the chosen fixed arms", [ranked.over_best for ranked in summary.ranking]),
    ]
    shown = table([*headings, "comparisons"], rows)
    return ["## Ranking over all comparisons", text, shown, " ".join(filter(None, families))]


def _families(summary: Summary) -> list[str]:
    """The families of the comparisons by the main measure, if a comparison is not all that there is."""
    arms = [arm for comparison in summary.comparisons for arm in comparison.arms]
    texts = [
        family_text(summary.baseline, [arm.against_baseline.get(summary.main) for arm in arms]),
        family_text("the chosen fixed arms", [arm.against_best_fixed.get(summary.main) for arm in arms]),
    ]
    found = " ".join(filter(None, texts))
    return [f"In the tables of the comparisons, by {_label(summary.main)}: {found}"] if found else []


def _scale(main: str) -> str:
    if MEASURES[main].kind == "volume":
        return "as a share of what all arms of a comparison reach together, or of the exact front where it is known"
    return "scaled from 0 for the worst to 1 for the best run of a comparison"


def _comparison(comparison: Comparison, summary: Summary) -> list[str]:
    parts = [f"## {comparison.env}, {comparison.agent}", f"Objectives: {', '.join(comparison.objectives)}."]
    if comparison.differences:
        found = "\n".join(f"- {_cell(difference)}" for difference in comparison.differences)
        parts.append(f"**Not the same in all arms, although it should be:**\n\n{found}")
    else:
        known = "" if "curve" in summary.lacks else " untrained policies,"
        parts.append(f"All arms had the same settings,{known} updates, responses and seeds.")
    parts += _verdicts(comparison, summary)
    names = [name for name, what in MEASURES.items() if what.kind in ("volume", "run") and name != summary.main]
    names = [name for name in names if any(name in arm.measures for arm in comparison.arms)]
    rows = [[_name(arm), *(interval_text(arm.measures.get(name)) for name in names)] for arm in comparison.arms]
    parts.append("Other measures:\n\n" + table(["arm", *map(_label, names)], rows))
    return [*parts, _costs(comparison.arms)]


def _verdicts(comparison: Comparison, summary: Summary) -> list[str]:
    arms, main = comparison.arms, summary.main
    choice = comparison.chosen.get(main)
    best = "chosen fixed" if choice is None else "/".join(choice.arm)
    headings = ["arm", "seeds", _label(main), *_rival_headings(summary.baseline), *_rival_headings(best)]
    rows = []
    for arm in arms:
        rivals = [*rival_cells(arm.against_baseline.get(main)), *rival_cells(arm.against_best_fixed.get(main))]
        rows.append([_name(arm), str(len(arm.outcomes)), interval_text(arm.measures.get(main)), *rivals])
    text = f"By {_label(main)}" + (f"; {choice_text(choice)}:" if choice is not None else ":")
    return [
        text,
        table(headings, rows),
        " ".join(filter(None, [ties_text(arms, main), power_text(comparison)])),
    ]


def _rival_headings(rival: str) -> list[str]:
    return [f"P(better than {rival})", "verdict", "p", "after Holm"]


def _costs(arms: Sequence[Arm]) -> str:
    races = [name for name, what in MEASURES.items() if what.kind == "race"]
    shown = {"tokens": "tokens", "seconds": "seconds", "peak_memory_mb": "memory"}
    rows = []
    for arm in arms:
        reached = NOTHING if arm.reached is None else f"{arm.reached} of {len(arm.outcomes)}"
        times = [interval_text(arm.measures.get(name)) for name in races]
        ratios = [f"x {arm.extra_cost[name]:.2f}" if name in arm.extra_cost else NOTHING for name in shown]
        rows.append([_name(arm), reached, *times, *ratios])
    headings = ["arm", "reached baseline", *map(_label, races), *shown.values()]
    return "Speed, and cost as a multiple of the baseline's:\n\n" + table(headings, rows)


def _failures(failures: Sequence[Failure]) -> list[str]:
    if not failures:
        return []
    lines = [f"- {_code(failure.cell)}: {_code(_last_line(failure.traceback))}" for failure in failures]
    if len(lines) > SHOWN_FAILURES:
        lines = [*lines[:SHOWN_FAILURES], f"- and {len(lines) - SHOWN_FAILURES} more"]
    return ["## Failures", "\n".join(lines)]


def _reading(summary: Summary) -> list[str]:
    used = [what for name, what in MEASURES.items() if _is_used(name, summary.comparisons)]
    measures = "\n".join(f"- {what.label}: {what.explanation}" for what in used)
    better = "larger" if MEASURES[summary.main].larger_is_better else "smaller"
    lines = [
        "Numbers are interquartile means over seeds, with 95 % intervals of a stratified bootstrap, widened for the "
        "small number of seeds.",
        f"P(better than Y) is the probability that a run of the arm has a {better} {_label(summary.main)} than a run "
        "of Y, ties counting half. All pairs of runs are compared: that runs of the same seed share their first policy "
        "and prompts is not used.",
        *READING,
        "Policies are chosen on validation data, and measured on test data. A race that more than a quarter of an "
        'arm\'s runs do not finish has "never" for its mean. Seconds and memory depend on what else the machine did.',
    ]
    return ["## How to read this", "\n".join(f"- {line}" for line in lines), measures]


def _is_used(name: str, comparisons: Iterable[Comparison]) -> bool:
    shown = MEASURES[name].kind != "cost"
    return shown and any(name in arm.measures for comparison in comparisons for arm in comparison.arms)


def rival_cells(rival: Rival | None) -> list[str]:
    """Return probability, verdict, p and what is left after Holm's correction, as cells of a table."""
    if rival is None:
        return [NOTHING] * 4
    after = f"{rival.corrected}: {p_text(rival.adjusted)}" if rival.corrected in ("better", "worse") else NOTHING
    if after == NOTHING and rival.corrected:
        after = f"open: {p_text(rival.adjusted)}"
    return [interval_text(rival.probability), rival.verdict, p_text(rival.p), after]


def interval_text(interval: Interval | None) -> str:
    """Return an interval as text; the value alone where there is none, or where nobody ever gets there.

    Example:
        >>> interval_text(Interval(0.41234, 0.4, 0.45)), interval_text(Interval(0.5, -math.inf, math.inf))
        ('0.412 [0.400, 0.450]', '0.500')
        >>> interval_text(Interval(20.0, 15.0, math.inf))
        '20 [15, never]'
    """
    if interval is None:
        return NOTHING
    if interval.low in (-math.inf, math.inf):
        return number_text(interval.value)
    return f"{number_text(interval.value)} [{number_text(interval.low)}, {number_text(interval.high)}]"


def number_text(value: float) -> str:
    """Return a number with three digits; whole numbers, and those above 1000, without any after the point.

    Example:
        >>> [number_text(x) for x in (0.0, 0.41234, 0.00123, 12.3456, 20.0, 123456.7, math.inf)]
        ['0', '0.412', '0.00123', '12.3', '20', '123457', 'never']
    """
    if math.isinf(value):
        return "never"
    if value == int(value) or abs(value) >= 1000:
        return str(round(value))
    if abs(value) < 0.01:
        return f"{value:.3g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}" if abs(value) >= 1 else f"{value:.3f}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its columns padded so that it can be read as plain text too."""
    cells = [[_cell(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'") + "`"


def _last_line(traceback: str) -> str:
    lines = [line for line in traceback.splitlines() if line.strip()]
    return lines[-1] if lines else "no traceback"


def _name(arm: Arm) -> str:
    return f"{arm.weighting}/{arm.preference}"


def _label(name: str) -> str:
    return MEASURES[name].label
