"""A benchmark's report as one page that works without a network: its numbers, plotly.js and our scripts are inside.

The scripts read the numbers from JSON blocks in the page, one for each comparison, which is parsed when it is chosen.
Labels, tracebacks and names are other people's text: they enter the page as JSON and leave it through `textContent`.
"""

from __future__ import annotations

import json
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from paretune.bench.reports.page_data import arm_names, details, overview
from paretune.bench.statistics.summary import Summary

SCRIPTS = ("base", "choices", "tables", "setting", "pictures", "dots", "fronts", "curves", "sections", "main")
"""Files of `page/`, in the order in which they are read."""


def html(summary: Summary) -> str:
    """Return the page (4.8 MB and what the numbers take), complete in itself.

    Raises:
        ValueError: If the extra "bench" is not installed.
    """
    names = arm_names(summary)
    blocks = [_json_block("overview", overview(summary))]
    blocks += [_json_block(f"comparison-{i}", details(each, names)) for i, each in enumerate(summary.comparisons)]
    return Template(_file("page.html")).substitute(
        title=escape(summary.name),
        style=_file("page.css"),
        data="\n".join(blocks),
        plotly=_plotly(),
        script="\n".join(_file(f"{name}.js") for name in SCRIPTS),
    )


def _json_block(name: str, value: dict[str, Any]) -> str:
    """Return an element that holds JSON; no text in it can end the element, since every "<" is written as an escape."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _file(name: str) -> str:
    return files("paretune.bench.reports").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ValueError('report.html needs the extra "bench": pip install "paretune[bench]"') from error
    script = get_plotlyjs()
    assert "</script" not in script.lower()
    return script
