"""How the API ends: after its requests, and never later than gunicorn."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from launcher.ports import free_port
from tests.integration.client import post
from tests.raw_http import caption_request, crowd, read_to_end, slowest_sign_of_life
from tests.stack import API, Stack, end, wait_for

WAITS_FOR_A_SIGNAL = """
import os, pathlib, signal

def until_signalled():
    wait, wake = os.pipe()
    os.set_blocking(wake, False)
    previous = signal.set_wakeup_fd(wake)
    pathlib.Path({mark!r}).touch()
    signalled = os.read(wait, 1)
    signal.set_wakeup_fd(previous)
    if previous != -1:
        os.write(previous, signalled)  # asyncio's
"""
"""Tells that a moment has come, and has it last until a signal has been handled."""
MOMENTS = {
    "just forked": "os.register_at_fork(after_in_child=until_signalled)",
    "loading": "import shared.tracing\nshared.tracing.start_tracing = lambda *_: until_signalled()",
    "about to serve": "import gc\ngc.freeze = until_signalled",
}
HALF_A_BODY = caption_request(f"{API}/caption/slow")[:-20]


def test_a_stopping_api_answers_what_is_under_way_and_closes_the_rest(stack: Stack) -> None:
    stack.worker("slow")
    base = stack.another_api()
    with (
        ThreadPoolExecutor(3) as pool,
        crowd(base, 20, b"") as idle,
        crowd(base, 20, b"GET /livez HTTP/1.1\r\nX-Half: "),
    ):
        with stack.suspended("slow"):
            replies = [pool.submit(post, f"{base}{API}/caption/slow") for _ in range(3)]
            stack.wait_held("slow", 2)
            wait_for("the third", lambda: stack.presence("slow").queued)
            stack.api_process.terminate()
        assert stack.api_process.wait(60) == 0
        assert [reply.result().status_code for reply in replies] == [200] * 3
        assert read_to_end(idle[0]) == b""


@pytest.mark.slow
def test_half_sent_bodies_hold_no_stopping_process(stack: Stack) -> None:
    stack.worker("slow")
    base = stack.another_api(VISION_STOP_GRACE_S="60")
    with crowd(base, 20, HALF_A_BODY) as lines:
        slowest_sign_of_life(base)  # they have been taken before
        assert end(stack.api_process) == 0
        assert b" 429 Too Many Requests" in read_to_end(lines[0])


def test_a_process_that_is_told_to_stop_runs_what_is_to_run_at_its_exit(stack: Stack) -> None:
    """Traces are sent then, for example."""
    stack.another_api(before="import atexit\natexit.register(print, 'at exit', flush=True)")
    (worker,) = psutil.Process(stack.api_process.pid).children()
    worker.terminate()
    worker.wait(10)
    wait_for("its last words", lambda: "at exit" in stack.processes.logs("api"))


@pytest.mark.parametrize(
    ("moment", "sig"),
    [
        ("just forked", signal.SIGTERM),
        pytest.param("just forked", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("loading", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("about to serve", signal.SIGTERM, marks=pytest.mark.slow),
    ],
)
def test_an_api_can_be_stopped_at_any_moment_of_its_start(
    stack: Stack, tmp_path: Path, moment: str, sig: signal.Signals
) -> None:
    mark = tmp_path / "mark"
    before = f"{WAITS_FOR_A_SIGNAL.format(mark=str(mark))}\n{MOMENTS[moment]}"
    api = stack.starting_api(before=before, VISION_PORT=str(free_port()))
    wait_for("the moment", mark.exists)
    assert end(api, sig) == 0


@pytest.mark.parametrize(
    "sig", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_no_process_outlives_gunicorn(stack: Stack, sig: signal.Signals) -> None:
    base = stack.another_api()
    with crowd(base, 5, b"GET /livez HTTP/1.1\r\nX-Half: "):
        workers = psutil.Process(stack.api_process.pid).children()
        end(stack.api_process, sig)
        _, alive = psutil.wait_procs(workers, 15)
    assert alive == []
