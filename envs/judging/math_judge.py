"""What `paretune.envs.judging.verifier` has math-verify decide, in the processes of `worker.py`.

This file is run by itself there, and imports nothing of paretune.
"""

from __future__ import annotations

from collections.abc import Callable

WARM_UP = (
    (r"\frac{1}{2}", "0.5"),
    (r"\sqrt{12}", r"2\sqrt{3}"),
    (r"\left( 3, \frac{\pi}{2} \right)", "(3,1)"),
    (r"(-\infty, 2] \cup [5, 7)", "[2,3]"),
    (r"\begin{pmatrix} 1 \\ -2 \end{pmatrix}", r"\begin{pmatrix} 1 \\ 3 \end{pmatrix}"),
    (r"x^2 - 3xy + 1", "(x+1)(y-2)"),
    (r"\{1\pm\sqrt{5},-2\}", "1, 2"),
    (r"y = 2x + 3", "2x+4"),
    (r"50\%", r"\$18.90"),
    ("6+9i", "-2e^{i}"),
    (r"90^\circ", r"\text{(C)}"),
    (r"x \ge 3", "x < 2"),
)
"""Typical comparisons: sympy imports its parts, and the parser builds its tables, when they are first needed."""


def equal(reference: str, answer: str) -> bool:
    """Return whether math-verify takes `answer` for equal to `reference`; takes any time and memory.

    Both are read as the content of a box: LaTeX, plain expressions, sets, intervals, matrices, text, units.
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    readers = (LatexExtractionConfig(boxed_match_priority=0), ExprExtractionConfig())
    gold, target = (parse(rf"\boxed{{{text}}}", readers, parsing_timeout=None) for text in (reference, answer))
    return verify(gold, target, timeout_seconds=None)


def make_judge(argument: str) -> tuple[Callable[[str, str], bool], tuple[tuple[str, str], ...]]:
    """Return what `worker.py` asks for."""
    return equal, WARM_UP
