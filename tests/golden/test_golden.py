"""Small runs come to what they came to when `expected.json` was written, and runs that were written then go on.

Where numbers are meant to change, write it again:

    python tests/golden/record.py tests/golden/expected.json --only "quick/*"
"""

from __future__ import annotations

import fnmatch
import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.golden.compare import Difference, differences, report
from tests.golden.record import record

EXPECTED: dict[str, Any] = json.loads(Path(__file__).with_name("expected.json").read_text(encoding="utf-8"))

# Another processor sums in another order. A sum of n float32 products is off by about sqrt(n) * 6e-8 of its terms,
# 1e-5 for the longest here; where terms cancel to a tenth that is 1e-4 of the sum, and a Gram matrix holds products of
# two such sums. What cancels to nothing, as GRPO's loss before the first update, is off by 1e-5 of terms of about 1.
# PyTorch's and MKL's other instruction sets differ from the recorded numbers by 5e-5 at most.
RELATIVE, ABSOLUTE = 1e-3, 1e-5
# One step moves weights by a small part of themselves, and only this part has such an error.
OF_WEIGHTS = 1e-5
# A reward is discrete: it is equal, or differs by more than this. The last bits hardly ever decide what is drawn.
# But Adam's first updates divide every gradient by its own size and so enlarge the noise of those that should be zero:
# no run goes further than two updates from where it starts, and digests of parameters are left out.
NOT_COMPARED = ("parameters/*", "step */log_prob_gap*", "config/*")


def is_noise(difference: Difference) -> bool:
    """Whether two records have floats at a place that differ no more than processors make them."""
    place, old, new = difference[0], *map(json.loads, difference[1:])
    relative = OF_WEIGHTS if fnmatch.fnmatch(place, "step */weights/*") else RELATIVE
    floats = isinstance(old, float) and isinstance(new, float)
    return floats and math.isclose(old, new, rel_tol=relative, abs_tol=min(relative, ABSOLUTE))


@pytest.mark.parametrize("name", EXPECTED)
def test_a_run_comes_to_what_it_came_to(name: str) -> None:
    found = json.loads(json.dumps(record(name)[name]))
    unexpected = [
        one
        for one in differences(EXPECTED[name], found)
        if not is_noise(one) and not any(fnmatch.fnmatch(one[0], pattern) for pattern in NOT_COMPARED)
    ]
    assert unexpected == []


def test_a_report_names_the_first_fields_that_differ() -> None:
    old = {
        "text/a": {"step 1": {"loss": 0.5, "rewards": {"b": {"mean": 0.1}}}},
        "text/b": {"step 1": {"weights": [0.25, 0.75]}, "config": {"lr": 1.0}},
        "text/c": {"step 1": {"loss": 0.0}},
        "text/d": {"error": "ValueError: no"},
        "text/e": {},
    }
    new = {
        "text/a": {"step 1": {"loss": 0.5, "rewards": {"b": {"mean": math.nextafter(0.1, 1)}}}},
        "text/b": {"step 1": {"weights": [0.25, 0.75], "kl": None}, "config": {"lr": 2.0}},
        "text/c": {"step 1": {"loss": -0.0}},
        "text/d": {"error": "ValueError: no"},
        "text/e": {},
    }
    lines, unequal = report(old, new, ignored=["config/*"])
    assert unequal == 4
    assert lines == [
        "different  text/a",
        "    step 1/rewards/b/mean: 0.1 -> 0.10000000000000002",
        "different  text/b",
        '    step 1/kl: "(missing)" -> null',
        "different  text/c",
        "    step 1/loss: 0.0 -> -0.0",
        "FAILED     text/d",
        "    on both sides: ValueError: no",
        "equal      text/e",
        "1 runs equal, 4 different or failed",
    ]


def test_a_report_shows_few_fields_of_a_run_and_short_values() -> None:
    lines, unequal = report({"a": {"steps": list(range(9))}}, {"a": {"steps": ["x" * 200] * 9}})
    assert unequal == 1 and len(lines) == 8
    assert lines[1] == f'    steps/0: 0 -> "{"x" * 99}...'
    assert lines[6] == "    ... and 4 fields more"
