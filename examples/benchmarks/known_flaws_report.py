"""Page of known_flaws.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from known_flaws_verdicts import MEASURES, interval, spread, word

Record = dict[str, Any]
CLIPS = {
    "none": "no clipping",
    "own units": "clipped as if the multiplier were not there (paretune)",
    "fixed norm": "clipped with the multiplier (usual)",
}


def page(record: Record) -> str:
    """Return the results as a Markdown page."""
    s = record["settings"]
    lines = [
        "# Three known flaws, as experiments",
        "",
        f"`python examples/benchmarks/known_flaws.py --seeds {s['seeds']} --control-seeds {s['control_seeds']}`, "
        f"{record['machine']}, one thread per run. GRPO, `tiny-math`, `paretune/Arithmetic-v0`, equal preference, "
        f"seeds 0 to {s['seeds'] - 1}; {s['steps']} steps of {s['prompts_per_step']} prompts x {s['group_size']} "
        f"responses in {s['minibatches']} mini-batches (so that PPO's clip acts), learning rate {s['lr']:g}, PPO clip "
        f"{record['shared']['clip']}, gradients not clipped, greedy validation on {s['eval_prompts']} prompts every "
        f"{s['eval_every']} steps. {_controls(s)}Settings were chosen on seed 100. "
        f"{record['seconds']:.0f} s per run (median; on a machine that had other work).",
        "",
        *_verdict_table(record["verdicts"]),
        "",
        *_not_shown(record["verdicts"]),
        *_advantage_table(record["advantages"]),
        *_divergence_table(record["divergence"]),
        *_gradient_table(record["gradients"], record["norms"]),
        *_saturation_table(record["saturation"]),
        *_comparison_table(record["comparisons"], record["levels"], record["clip_fractions"]),
    ]
    return "\n".join(lines) + "\n"


def _controls(settings: Record) -> str:
    if settings["control_seeds"] >= settings["seeds"]:
        return ""
    return f"`fixed, nudged`, `hypervolume, published` and `fixed, doubled`: {settings['control_seeds']} seeds. "


def _verdict_table(verdicts: Sequence[Record]) -> list[str]:
    lines = ["## Verdicts", "", "| what was expected | what was measured | rule | shown |", "|---|---|---|---|"]
    return lines + [
        f"| {v['claim']} | {v['measured']} | {v['rule']} | {'yes' if v['shown'] else '**no**'} |" for v in verdicts
    ]


def _not_shown(verdicts: Sequence[Record]) -> list[str]:
    missing = [f"- {v['claim']}: {v['measured']}." for v in verdicts if not v["shown"]]
    return ["Expected, and not shown here:", "", *(missing or ["- nothing"]), ""]


def _advantage_table(rows: Sequence[Record]) -> list[str]:
    lines = [
        "## 1a. The multiplier that cancels: advantages",
        "",
        "All reward batches of the fixed runs, with multipliers 0.5 and 2 against 1, put on the rewards (published) or "
        "on the advantages behind their normalisation (paretune). Arrives: the factor of the best fit of the new "
        "advantages to the old ones, the multiplier itself if all of it is kept, 1 if it cancels (median over "
        "batches). Change: largest change of an advantage, relative to the batch's largest advantage.",
        "",
        "| algorithm | order | multiplier on | x0.5 arrives | x2 arrives | change at x2, median | largest |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    pairs = zip(rows[::2], rows[1::2], strict=True)
    lines += [
        f"| {b['algorithm']} | {b['order']} | {b['place']} | {a['factor']:.6f} | {b['factor']:.6f} | "
        f"{b['change']:.1e} | {b['largest_change']:.1e} |"
        for a, b in pairs
    ]
    return [*lines, ""]


def _divergence_table(rows: Sequence[Record]) -> list[str]:
    lines = [
        "## 1b. The multiplier that cancels: training",
        "",
        "Each run beside the fixed one with the same seed: how far its parameters are from that one's at the end, in "
        "units of the way that the fixed run went; the first step whose responses earn other rewards; the largest "
        "difference of any validated objective. Medians (extremes) over seeds. `fixed, nudged` differs by one part in "
        "a million of its learning rate: what it shows is how far rounding alone carries runs apart. The last row "
        "compares fixed runs with different seeds. The published and the corrected run are the fixed one until the "
        "first validation after the untrained policy's.",
        "",
        "| run | parameters apart, at the end | largest of a parameter | first other rewards | validation |",
        "|---|---:|---:|---:|---:|",
    ]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        mine = [row for row in rows if row["arm"] == arm]
        first = [row["first_other_rewards"] for row in mine if row["first_other_rewards"] is not None]
        when = f"step {spread(first, '.0f')}" if first else "none"
        lines.append(
            f"| {arm} | {spread([row['distances'][-1] for row in mine], '.2g')} | "
            f"{spread([row['largest_parameter_difference'] for row in mine], '.1e')} | {when} | "
            f"{spread([row['largest_validation_difference'] for row in mine])} |"
        )
    return [*lines, ""]


def _gradient_table(rows: Sequence[Record], norms: Record) -> list[str]:
    lines = [
        "## 1c. What AdamW and gradient clipping leave of a multiplier",
        "",
        "The gradients of the fixed runs (as they came, none clipped; at 10,000 parameters) go through AdamW once "
        "more, times a multiplier. Length: of the updates relative to those with multiplier 1 and the same clipping. "
        "Kept: slope of its logarithm over the multiplier's, 1 if updates follow the multiplier, 0 if they do not. "
        "Turn: angle between the two updates, as momentum then holds other shares of the batches. Medians over seeds. "
        f"Norms of the gradients: median {norms['median']:.2f}, largest {norms['largest']:.2f}; the norm clipped to "
        f"here is {norms['limit']}, which acts on {norms['clipped']:.0%} of them; paretune's default of 1 would act on "
        f"{norms['above_one']:.0%}.",
        "",
        "| gradients | multiplier | length, smallest | largest | last | kept | turn, median | largest |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for clip, course in dict.fromkeys((row["clip"], row["course"]) for row in rows):
        mine = [row for row in rows if (row["clip"], row["course"]) == (clip, course)]
        middle = {key: np.median([row[key] for row in mine]) for key in ("smallest", "largest", "last")}
        kept = [row["kept"] for row in mine if row["kept"] is not None]
        turns = [np.median([row[key] for row in mine]) for key in ("turn", "largest_turn")]
        lines.append(
            f"| {CLIPS[clip]} | {course} | {' | '.join(f'{value:.3f}' for value in middle.values())} | "
            f"{f'{np.median(kept):.2f}' if kept else ''} | {' | '.join(f'{turn:.1f}°' for turn in turns)} |"
        )
    return [*lines, ""]


def _saturation_table(rows: Sequence[Record]) -> list[str]:
    lines = [
        "## 2. Saturation on raw lengths",
        "",
        "The validations of the fixed runs, replayed: r_meta = 0.5 + 1.5 tanh(gain / scale), with conciseness as it is "
        "or in tokens left of the allowance: the task's own, and the paper's 2048 with the same shares, which no run "
        "here had. Near: within 1 % of 0.5 or of 2. A validation that gains nothing gives "
        "0.5 in any unit, so the shares are of those that gain.",
        "",
        "| conciseness | scale | validations that gain | gain, median (extremes) | r_meta, median | near 0.5 | "
        "near 2 | between |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        gains = [gain for gain in row["gains"] if gain > 0]
        shares = [row[f"{name}_of_gains"] for name in ("low", "high", "between")]
        texts = ["" if share is None else f"{share:.0%}" for share in shares]
        extent = spread(gains, ".3g") if gains else ""
        middle = [r for r, gain in zip(row["meta_rewards"], row["gains"], strict=True) if gain > 0]
        texts = [f"{np.median(middle):.3f}" if middle else "", *texts]
        lines.append(
            f"| {row['unit']} | {row['scale']} | {len(gains)} of {len(row['gains'])} | {extent} | {' | '.join(texts)} |"
        )
    return [*lines, ""]


def _comparison_table(comparisons: Sequence[Record], levels: Record, clip_fractions: Record) -> list[str]:
    lines = [
        "## 3. Unfair clipping",
        "",
        "Each arm minus `fixed`, in pairs with the same seed: mean, percentile bootstrap and t interval (95 %). The "
        "verdict follows from the t interval: a bootstrap of so few seeds is too narrow. The three arms called fixed "
        "with another clip or learning rate have the very weights of `fixed`: whatever they differ by is no merit of a "
        "weighting. One in twenty such verdicts falls by luck alone, and this page has several.",
        "",
    ]
    for measure, text in MEASURES.items():
        lines += [
            f"{measure.capitalize()}: {text}; `fixed` itself {levels[measure]:.3f}.",
            "",
            "| arm | mean difference | bootstrap | t | verdict |",
            "|---|---:|---|---|---|",
        ]
        for c in (c for c in comparisons if c["measure"] == measure):
            lines.append(
                f"| {c['arm']} | {c['mean']:+.4f} | {interval(c['bootstrap'])} | {interval(c['t'])} | {word(c)} |"
            )
        lines.append("")
    shares = ", ".join(f"{arm}: {share:.2%}" for arm, share in clip_fractions.items())
    return [*lines, f"Share of tokens whose gradient PPO's clip cut off (mean over steps and seeds): {shares}."]
