"""Page of gradient_cost.py: tables, and which goals are reached."""

from __future__ import annotations

from typing import Any

from origin import told

GOALS = {"exact": 1.25, "sketch": 1.08}
GOAL_OBJECTIVES, GOAL_WEIGHTS = 3, 0.02


def page(record: dict[str, Any]) -> str:
    """Return the results as a Markdown page."""
    settings = record["settings"]
    lines = [
        "# What gradient-guided weights cost",
        "",
        told(record),
        "",
        f"Arithmetic, GRPO, {settings['prompts_per_step']} prompts x {settings['group_size']} responses of at most "
        f"{settings['max_tokens']} tokens (an eighth of the prompts for larger models), gradients of "
        f"{compared(settings)}, sketches of width {settings['width']}; "
        f"medians of {settings['repeats']} steps that take turns, ratios to the fixed-weight step of the same turn. A "
        f"step includes sampling. Goals at K = {GOAL_OBJECTIVES}: exact at most {GOALS['exact']}, "
        f"sketch at most {GOALS['sketch']}.",
        "",
        "| model | K | weights | seconds | ratio | least | most | peak memory, MiB | over fixed |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in record["cost"]:
        lines.append(
            f"| {r['policy']} | {r['objectives']} | {r['arm']} | {r['seconds']:.3g} | {r['ratio']:.2f} | "
            f"{r['least']:.2f} | {r['most']:.2f} | {r['peak_mib']:,.0f} | {r['extra_mib']:+,.0f} |"
        )
    lines += [
        "",
        f"Error of a sketch: root mean square of the entries' errors over {settings['draws']} draws, and the largest "
        "error of their mean, both over the largest entry of the exact matrix.",
        "",
        "| model | K | width | error | error of the mean |",
        "|---|---:|---:|---:|---:|",
    ]
    for r in record["errors"]:
        lines.append(f"| {r['policy']} | {r['objectives']} | {r['width']} | {r['error']:.4f} | {r['bias']:.4f} |")
    return "\n".join([*lines, "", weights(record["weights"]), "", *verdicts(record)]) + "\n"


def compared(settings: dict[str, Any]) -> str:
    """Return how many responses' gradients are compared, in words."""
    if settings["gradient_responses"] is not None:
        return f"{settings['gradient_responses']} responses"
    number = settings["prompts_per_step"] * settings["group_size"]
    fewer = max(number // 8, settings["group_size"])
    return f"{few(number)} of {number} responses ({few(fewer)} of {fewer})"


def few(responses: int) -> int:
    """Return how many responses are compared of so many: a sixteenth, but at least 8, or of few a quarter."""
    return max(min(8, responses // 4), responses // 16, 1)


def weights(differences: dict[str, Any]) -> str:
    """Return how far weights are from each other, in words."""
    along, between = differences["along"], differences["between"]
    return (
        f"Weights over a run of tiny-math, {differences['steps']} steps at its own learning rate, K = "
        f"{GOAL_OBJECTIVES}, move by up to {differences['moved']:.4f}. On the same responses, those under sketch are "
        f"at most {along['sketch']:.4f} from those under exact (goal: {GOAL_WEIGHTS}), and those under backward, which "
        f"differ in rounding only, {along['backward']:.0e}. Runs of their own come apart, because the smallest "
        f"difference of weights leads to other responses: sketch by {between['sketch']:.4f}, backward by "
        f"{between['backward']:.4f}."
    )


def verdicts(record: dict[str, Any]) -> list[str]:
    """Return a line for each goal, reached or missed."""
    lines = []
    for r in record["cost"]:
        if r["objectives"] == GOAL_OBJECTIVES and r["arm"] in GOALS:
            verdict = "reached" if r["ratio"] <= GOALS[r["arm"]] else "missed"
            lines.append(f"- {verdict}: {r['policy']}, {r['arm']}, {r['ratio']:.2f} (goal {GOALS[r['arm']]})")
    difference = record["weights"]["along"]["sketch"]
    verdict = "reached" if difference <= GOAL_WEIGHTS else "missed"
    return [*lines, f"- {verdict}: weights, {difference:.4f} (goal {GOAL_WEIGHTS})"]
