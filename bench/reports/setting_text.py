"""What a report says before it says anything of weights: does training teach, do weights matter, what was tuned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from paretune.bench.reports.texts import NOTHING, cell_text, interval_text, number_text, table
from paretune.bench.running.choices import setting_words
from paretune.bench.statistics.measures import MAIN
from paretune.bench.statistics.summary import Comparison, Gain, Interval, Setting, Summary
from paretune.bench.statistics.validity import mean_interval
from paretune.bench.tuned import Trial, Tuned

UNTRAINED = "untrained"


def invalid_settings(summary: Summary) -> list[str]:
    """Return the head of a report that has comparisons with an invalid setting."""
    lines = [
        f"**Invalid setting: {cell_text(f'{each.env}, {each.agent}')}.** {cell_text(each.setting.reason)} No verdict."
        for each in summary.comparisons
        if each.setting.verdict == "invalid"
    ]
    return ["\n\n".join(lines)] if lines else []


def setting_heading(comparison: Comparison) -> str:
    """Return the name of a comparison, with what is wrong with its setting."""
    wrong = ["invalid setting"] if comparison.setting.verdict == "invalid" else []
    wrong += ["tells weights apart: no"] if comparison.setting.apart.verdict == "no" else []
    return f"{comparison.env}, {comparison.agent}" + (f": {'; '.join(wrong)}" if wrong else "")


def setting(comparison: Comparison) -> list[str]:
    """Return what a comparison's setting is worth: whether training teaches there, and whether weights matter."""
    found = comparison.setting
    parts = [f"**{_heading(found)}** {cell_text(found.reason)}"]
    if found.gains:
        parts.append(_gains(found.gains))
    if found.apart.correlations or found.gains:
        parts.append(f"**Tells weights apart: {found.apart.verdict}.** {cell_text(found.apart.reason)}{_apart(found)}")
    return parts


def _heading(found: Setting) -> str:
    return "Valid setting: not known." if found.verdict == "not known" else f"{found.verdict.capitalize()} setting."


def _gains(gains: Sequence[Gain]) -> str:
    known = any(gain.share is not None for gain in gains)
    headings = ["arm", "seeds", "preference", UNTRAINED, "last", "last - untrained", "picked - untrained", "training"]
    rows = [
        [
            f"{gain.weighting}/{gain.preference}",
            str(gain.seeds),
            " ".join(f"{weight:.3g}" for weight in gain.weights),
            number_text(gain.untrained),
            number_text(gain.final),
            _signed(gain.gain),
            _signed(gain.picked_gain),
            gain.effect,
            *([NOTHING if gain.share is None else f"{gain.share:.1%}"] if known else []),
        ]
        for gain in gains
    ]
    text = (
        "Own weighted objective on test data: of the untrained policy, of the last one, and what training changed, by "
        "the last policy and by the trained one that validation picks for the preference."
    )
    if known:
        headings.append("of what the preference could have")
        text += " The share is the last policy's, of the largest on the exact front."
    return text + "\n\n" + table(headings, rows)


def _apart(found: Setting) -> str:
    if not found.apart.correlations:
        return ""
    each = ", ".join(f"{name} {value:+.2f}" for name, value in found.apart.correlations.items())
    text = f" Rank correlation of weight and performance: {cell_text(each)}."
    if found.apart.worth is not None:
        worth = f"{found.apart.worth:+.3f}"
        text += f" To its own preference an arm's last policy is worth {worth} more than the other fixed arms' are."
    return text


def untrained_row(comparison: Comparison, names: Iterable[str]) -> list[list[str]]:
    """Return a table's row of the untrained policy, if it was tested.

    Args:
        comparison: The comparison.
        names: Measures of the columns behind its name; "seeds" is the number of seeds. Its hypervolume without step 0
            is that of itself alone.
    """
    measures = comparison.setting.untrained
    if not measures:
        return []
    seeds = str(max((gain.seeds for gain in comparison.setting.gains), default=0) or NOTHING)
    alone = {**measures, MAIN: measures["front_hypervolume"]}
    return [[UNTRAINED, *(seeds if name == "seeds" else interval_text(alone.get(name)) for name in names)]]


def tuned(summary: Summary) -> list[str]:
    """Return which settings were tuned, what was tried and what was chosen."""
    if not summary.tuned:
        return []
    text = (
        "Chosen on the fixed arms alone, by the mean of their own weighted objective on validation data at the end, "
        "over seeds that the benchmark does not use; test data was not looked at. Of equal ones, the smaller value."
    )
    return ["## Tuned", text, *(part for each in summary.tuned for part in _tuned(each))]


def _tuned(each: Tuned) -> list[str]:
    lead = f"{each.env}, {each.agent} (seeds {', '.join(map(str, each.seeds))}): "
    lead += "nothing is chosen yet" if each.chosen is None else f"**{setting_words(each.chosen)}**"
    lead += f" ({each.remark})." if each.remark else "."
    rows = [
        [
            _mark(trial, each),
            str(trial.runs),
            str(trial.failed),
            _signed(_interval(trial.own), sign=""),
            _signed(_interval(trial.gain)),
        ]
        for trial in each.trials
    ]
    return [cell_text(lead), table(["value", "runs", "failed", "own weighted objective", "last - untrained"], rows)]


def _mark(trial: Trial, each: Tuned) -> str:
    return setting_words(trial.settings) + (" (chosen)" if trial.settings == each.chosen else "")


def _interval(values: Sequence[float] | None) -> Interval | None:
    return mean_interval(values) if values else None


def _signed(interval: Interval | None, sign: str = "+") -> str:
    if interval is None:
        return NOTHING
    if abs(interval.low) == float("inf"):
        return f"{interval.value:{sign}.3f}"
    return f"{interval.value:{sign}.3f} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"
