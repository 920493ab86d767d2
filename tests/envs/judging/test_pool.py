"""Any judge in processes that can be killed."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from paretune.envs.judging.pool import JudgePool

JUDGE = """
import os

def make_judge(argument):
    made_by = os.getpid()

    def judge(reference, answer):
        if answer == "busy":
            while True:
                pass
        if answer == "greedy":
            return len(bytes(1 << 31))
        if answer == "broken":
            raise RuntimeError
        return [argument, reference, answer, os.getpid() != made_by]

    return judge, (("typical", "a"), ("typical", "b"))
"""


@pytest.fixture
def pool(tmp_path: Path) -> JudgePool:
    judge = tmp_path / "judge.py"
    judge.write_text(JUDGE)
    return JudgePool(judge, "told", workers=1, time_limit=0.2)


def test_verdicts_are_the_judges_own_from_a_process_that_may_die(pool: JudgePool) -> None:
    pairs = [("r", answer) for answer in ("a", "busy", "b", "greedy", "broken", "c", "a")]
    expected = {("r", answer): ["told", "r", answer, True] for answer in "abc"}
    assert pool.verdicts(pairs) == expected
    assert pool.verdicts(iter(pairs[:1])) == {("r", "a"): expected["r", "a"]}
    assert pool.verdicts([]) == {}
    pool.close()


def test_what_is_known_is_not_judged_again(pool: JudgePool) -> None:
    known = pool.verdicts([("r", "a"), ("r", "b")])
    pool.close()
    assert pool.verdicts([("r", "b"), ("r", "a")]) == known and not pool._running


def test_a_copy_has_the_settings_and_no_processes(pool: JudgePool) -> None:
    pool.verdicts([("r", "a")])
    twin = copy.deepcopy(pool)
    assert (twin.judge, twin.argument, twin.workers, twin.time_limit) == (pool.judge, "told", 1, 0.2)
    assert pool._running and not twin._running
    pool.close()


def test_a_judge_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    judge = tmp_path / "judge.py"
    judge.write_text("def make_judge(argument):\n    raise SystemExit(3)\n")
    with pytest.raises(RuntimeError, match="ended with exit code 3 while it started"):
        JudgePool(judge).verdicts([("r", "a")])


def test_bad_settings_are_told() -> None:
    with pytest.raises(ValueError, match="workers: must be at least 1, got 0"):
        JudgePool(Path("judge.py"), workers=0)
    for limit in (0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="time_limit: must be a positive number of seconds"):
            JudgePool(Path("judge.py"), time_limit=limit)
