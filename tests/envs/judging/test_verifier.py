import copy
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretune.envs.judging.verifier import MAX_CHARS, AnswerVerifier, shared_verifier
from paretune.envs.judging.worker_process import WorkerProcess
from tests.envs.hostile_answers import hostile_answers

TOWER = r"9^{9^{9^{9}}}"


@pytest.fixture(scope="module")
def verifier():
    with AnswerVerifier() as verifier:
        yield verifier


def worker_processes():
    """The worker processes of this process and their children."""
    workers = [child for child in psutil.Process().children() if "judging/worker.py" in " ".join(child.cmdline())]
    return workers + [grandchild for worker in workers for grandchild in worker.children()]


def wait_until_gone(pids, seconds=20.0):
    """Return the processes that are still there in the end; a zombie is gone, its parent just has not looked."""
    deadline = time.monotonic() + seconds
    while (alive := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("17", "17"),
        ("17", "+17"),
        ("17", "17.0"),
        ("17", "17."),
        ("17", "x = 17"),
        ("17", "16 + 1"),
        ("17", r"17\text{ apples}"),
        ("1,234", "1234"),
        ("1,234", "1234.0"),
        ("10,\\!080", "10080"),
        (r"\frac{3}{4}", "0.75"),
        (r"\frac{3}{4}", "6/8"),
        (r"1\frac12", "1.5"),
        (r"\sqrt{12}", r"2\sqrt3"),
        ("x^2+2x+1", "(x+1)^2"),
        ("6+9i", "9i+6"),
        (r"\{1,2\}", "2, 1"),
        (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\pi/2)"),
        (r"(-\infty, 2] \cup [5, 7)", r"(-\infty,2]\cup[5,7)"),
        (r"\begin{pmatrix} 1/3 \\ 2 \end{pmatrix}", r"\begin{pmatrix} \frac13 \\ 2 \end{pmatrix}"),
        (r"\text{Evelyn}", "Evelyn"),
        (r"\text{(C)}", "C"),
        (r"50\%", "50"),
        (r"\$18.90", "18.90"),
        (r"90^\circ", "90"),
        ("1024", "2^{10}"),
    ],
)
def test_equal_answers(verifier, reference, answer):
    assert verifier.equal([reference], [answer]) == [True]


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("17", "18"),
        ("17", "17.5"),
        ("17", "17, 18"),
        ("17", r"16 \text{ or } 17"),
        ("17", "x"),
        ("17", ""),
        ("17", r"\text{seventeen}"),
        (r"\frac{3}{4}", r"\frac{4}{3}"),
        (r"\sqrt{12}", r"3\sqrt2"),
        ("(1,2)", "(2,1)"),
        ("(1,2)", "[1,2]"),
        ("x^2+1", "x^2-1"),
        (r"\text{east}", r"\text{west}"),
        ("C", "D"),
        ("3.14", r"\pi"),
        ("17", "\ud800"),
    ],
)
def test_different_answers(verifier, reference, answer):
    assert verifier.equal([reference], [answer]) == [False]


@pytest.mark.parametrize(
    "answer",
    [TOWER, "100000000!", r"\sum_{i=1}^{10^{12}} \frac{1}{i}", "x+" * MAX_CHARS + "1", "(" * 21 + "x" + ")" * 21],
)
def test_hostile_answers_are_undecided(verifier, answer):
    assert verifier.equal(["17", "17"], [answer, "34/2"]) == [None, True]


def test_an_answer_is_equal_to_itself_however_long(verifier):
    for text in ("x+" * MAX_CHARS + "1", TOWER, "9" * 1_000_000):
        assert verifier.equal([text], [text]) == [True]


def test_verdicts_keep_their_order_and_do_not_depend_on_company(verifier):
    references = ["17", r"\sqrt{12}", "17", "5", r"\sqrt{12}", "(1,2)"]
    answers = ["17", r"2\sqrt{3}", "x+" * MAX_CHARS, "x", r"2\sqrt{3}", "(1,3)"]
    expected = [True, True, None, False, True, False]
    assert verifier.equal(references, answers) == expected
    assert verifier.equal(references, answers) == expected, "from memory"
    with AnswerVerifier(workers=1) as alone:
        assert [
            alone.equal([reference], [answer])[0] for reference, answer in zip(references, answers, strict=True)
        ] == expected
        assert alone.equal(references[::-1], answers[::-1]) == expected[::-1]
    assert verifier.equal([], []) == []


@given(st.lists(st.text(alphabet="0123456789+-*/^(){}[]\\,.xyfracsqt !%$", max_size=40), min_size=1, max_size=8))
@settings(max_examples=8, deadline=None)
def test_any_text_gets_a_verdict(verifier, answers):
    verdicts = verifier.equal(["17"] * len(answers), answers)
    assert all(verdict in (True, False, None) for verdict in verdicts)
    assert len(verdicts) == len(answers)


def test_bad_arguments():
    with pytest.raises(ValueError, match="workers: must be at least 1, got 0"):
        AnswerVerifier(workers=0)
    for limit in (0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="time_limit: must be a positive number of seconds"):
            AnswerVerifier(time_limit=limit)
    with pytest.raises(ValueError, match="shorter"):
        AnswerVerifier().equal(["1", "2"], ["1"])


def test_processes_start_only_when_needed_and_end_on_close():
    before = worker_processes()
    with AnswerVerifier() as verifier:
        assert verifier.equal(["17", "1,000", "1/2"], ["17", "1000", r"\frac24"]) == [True, True, True]
        assert worker_processes() == before
        assert verifier.equal(["2x", "2y"], ["x+x", "y+y"]) == [True, True]
        started = [process for process in worker_processes() if process not in before]
        assert len(started) >= 3, "two workers, of which at least one has a child"
    assert not any(process.is_running() for process in started)
    assert verifier.equal(["4x"], ["3x+x"]) == [True], "it comes back after close"
    verifier.close()
    verifier.close()
    assert worker_processes() == before


def test_it_works_from_any_thread(verifier):
    with ThreadPoolExecutor(4) as threads:
        verdicts = threads.map(lambda n: verifier.equal([f"{n}x", "2x"], [f"{n - 1}x + x", f"{n}x"]), range(3, 11))
        assert list(verdicts) == [[True, False]] * 8


def test_workers_outlive_the_thread_that_started_them():
    with AnswerVerifier(workers=1) as verifier:
        thread = threading.Thread(target=verifier.equal, args=(["2x"], ["x+x"]))
        thread.start()
        thread.join()
        [worker, _] = started = verifier_pids(verifier)
        assert verifier.equal(["3x"], ["2x+x"]) == [True]
        assert verifier_pids(verifier) == started
        assert is_alive(worker)


def verifier_pids(verifier):
    """The process ids of a verifier's workers and their children."""
    workers = [psutil.Process(worker._process.pid) for worker in verifier.pool._running]
    return [process.pid for worker in workers for process in (worker, *worker.children())]


@pytest.mark.parametrize("make_copy", [copy.copy, copy.deepcopy, lambda verifier: pickle.loads(pickle.dumps(verifier))])
def test_copies_share_settings_but_no_processes(make_copy):
    with AnswerVerifier(workers=1, time_limit=2.0) as original:
        assert original.equal(["2x"], ["x+x"]) == [True]
        with make_copy(original) as twin:
            assert (twin.pool.workers, twin.pool.time_limit) == (1, 2.0)
            assert twin.equal(["2x"], ["x+x"]) == [True]
            assert set(verifier_pids(twin)).isdisjoint(verifier_pids(original))


def test_it_recovers_when_processes_are_killed():
    with AnswerVerifier(workers=1) as verifier:
        assert verifier.equal(["2x", "2y"], ["x+x", "y+y"]) == [True, True]
        for pid in verifier_pids(verifier):
            os.kill(pid, signal.SIGKILL)
        assert verifier.equal(["3x", "3y"], ["2x+x", "2y+y"]) == [True, True]
        [_, child] = verifier_pids(verifier)
        os.kill(child, signal.SIGKILL)
        assert verifier.equal(["4x", "4y"], ["3x+x", "3y+y"]) == [True, True]


def test_it_recovers_when_workers_are_killed_at_work():
    with AnswerVerifier(workers=1) as verifier:
        verifier.equal(["2x"], ["x+x"])
        [worker, _] = verifier_pids(verifier)
        threading.Timer(0.1, os.kill, (worker, signal.SIGKILL)).start()
        assert verifier.equal(["17", "3x"], [TOWER, "2x+x"]) == [None, True]
        assert verifier.equal(["4x"], ["3x+x"]) == [True]


@pytest.fixture
def ctrl_c_is_heard():
    """Python's own handler: a shell that runs the tests in the background has them start with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupted_batch_leaves_nothing_behind(ctrl_c_is_heard):
    with AnswerVerifier() as verifier:
        verifier.equal(["2x", "2y"], ["x+x", "y+y"])
        pids = verifier_pids(verifier)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            verifier.equal(["17"] * 64, [f"{n}00000000!" for n in range(64)])
        assert wait_until_gone(pids) == []
        assert verifier.equal(["2x", "2y"], ["x+x", "x"]) == [True, False]


def test_a_worker_that_cannot_start_is_an_error(monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import sys; sys.exit(3)")
    monkeypatch.setattr(WorkerProcess, "script", broken)
    verifier = AnswerVerifier(workers=1)
    with pytest.raises(RuntimeError, match="ended with exit code 3 while it started"):
        verifier.equal(["2x"], ["x+x"])
    monkeypatch.undo()
    assert verifier.equal(["2x"], ["x+x"]) == [True]
    verifier.close()


def test_a_forked_copy_starts_workers_of_its_own(verifier):
    assert verifier.equal(["2x"], ["x+x"]) == [True]
    pids = verifier_pids(verifier)
    child = os.fork()
    if child == 0:
        good = verifier.equal(["5x", "5y"], ["4x+x", "4y+x"]) == [True, False]
        apart = set(verifier_pids(verifier)).isdisjoint(pids)
        verifier.close()
        os._exit(0 if good and apart else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert verifier.equal(["6x"], ["5x+x"]) == [True]
    assert verifier_pids(verifier) == pids


def test_the_shared_verifier_is_one():
    assert shared_verifier() is shared_verifier()


SCRIPT = """
    import os, sys, psutil
    from paretune.envs.judging.verifier import AnswerVerifier, shared_verifier

    verifier = AnswerVerifier(workers=1)
    for one in (verifier, shared_verifier()):
        assert one.equal(["2x"], ["x+x"]) == [True]
    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)
"""


def run_script(ending):
    """Run `SCRIPT` and `ending`; return the running process and the ids of the processes that it started."""
    code = textwrap.dedent(SCRIPT) + textwrap.dedent(ending)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 4, "two verifiers with a worker, one child each"
    return process, pids


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("raise RuntimeError('unforeseen')", 1),
        ("os._exit(7)", 7),
        ("os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("os.kill(os.getpid(), 15)", -signal.SIGTERM),
    ],
)
def test_no_process_is_left_however_the_program_ends(ending, code):
    process, pids = run_script(ending)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert ("unforeseen" in errors) == (code == 1)
    assert wait_until_gone(pids) == []


def test_no_process_is_left_when_the_program_is_killed_at_work():
    process, pids = run_script("""verifier.equal(["17"] * 64, [f"{n}00000000!" for n in range(64)])""")
    time.sleep(0.5)
    children = {child.pid for child in psutil.Process(process.pid).children(recursive=True)} | set(pids)
    process.kill()
    process.communicate(timeout=60)
    assert wait_until_gone(children) == []


@pytest.mark.slow
def test_512_hostile_answers_take_less_than_a_minute():
    answers = hostile_answers(512)
    with AnswerVerifier() as verifier:
        start = time.monotonic()
        verdicts = verifier.equal(["17"] * 512, answers)
        assert time.monotonic() - start < 60
    assert True not in verdicts
    assert verdicts.count(None) > 400
