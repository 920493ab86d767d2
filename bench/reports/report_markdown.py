"""`report.md`: what a benchmark came to, as text and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paretune.bench.reports.certainty import READING, choice_text, family_text, p_text, power_text, ties_text
from paretune.bench.reports.setting_text import invalid_settings, setting, setting_heading, tuned, untrained_row
from paretune.bench.reports.texts import NOTHING, cell_text, interval_text, table
from paretune.bench.statistics.measures import MEASURES
from paretune.bench.statistics.summary import Arm, Comparison, Failure, Rival, Summary

SHOWN_FAILURES = 20
"""Failures that are listed; of more only the number is told."""


def markdown(summary: Summary) -> str:
    """Return the report as Markdown: state, ranking, comparisons, failures and how to read it."""
    parts = [f"# {summary.name}", *invalid_settings(summary), *_state(summary), *tuned(summary), *_ranking(summary)]
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
        "\n".join(f"- {cell_text(name)}: {_code(value)}" for name, value in summary.provenance.items()),
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
        invalid = bool(summary.comparisons) and all(each.setting.verdict == "invalid" for each in summary.comparisons)
        return ["## Ranking over all comparisons", "No arm is ranked: no setting is valid."] if invalid else []
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
    valid = [comparison for comparison in summary.comparisons if comparison.setting.verdict != "invalid"]
    arms = [arm for comparison in valid for arm in comparison.arms]
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
    parts = [f"## {setting_heading(comparison)}", f"Objectives: {', '.join(comparison.objectives)}."]
    if comparison.differences:
        found = "\n".join(f"- {cell_text(difference)}" for difference in comparison.differences)
        parts.append(f"**Not the same in all arms, although it should be:**\n\n{found}")
    else:
        known = "" if "curve" in summary.lacks else " untrained policies,"
        parts.append(f"All arms had the same settings,{known} updates, responses and seeds.")
    parts += setting(comparison)
    parts += _verdicts(comparison, summary)
    names = [name for name, what in MEASURES.items() if what.kind in ("volume", "run") and name != summary.main]
    names = [name for name in names if any(name in arm.measures for arm in comparison.arms)]
    rows = [[_name(arm), *(interval_text(arm.measures.get(name)) for name in names)] for arm in comparison.arms]
    rows += untrained_row(comparison, names)
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
    rows += [[*row, *[NOTHING] * (len(headings) - len(row))] for row in untrained_row(comparison, ["seeds", main])]
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
        "A setting is valid if training raises every fixed arm's own weighted objective (its preference times the "
        "performance of the last policy on test data) above the untrained policy's, on average over the seeds, and if "
        "the mean over the fixed arms has an interval above 0. An invalid setting has no verdict and is not ranked. "
        "Intervals of such gains are t intervals over the seeds.",
        'The row "untrained" is the policy before the first step, alone; it takes no part in the ranking.',
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


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "'") + "`"


def _last_line(traceback: str) -> str:
    lines = [line for line in traceback.splitlines() if line.strip()]
    return lines[-1] if lines else "no traceback"


def _name(arm: Arm) -> str:
    return f"{arm.weighting}/{arm.preference}"


def _label(name: str) -> str:
    return MEASURES[name].label
