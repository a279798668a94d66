"""What is forked behaves as what a fresh interpreter runs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launcher.ports import free_port
from tests import prefork
from tests.stack import ROOT, child_environment, wait_for

NO_REDIS = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize("models", ["a,b", "nobody"])
def test_it_ends_with_the_same_status_and_words(tmp_path: Path, models: str) -> None:
    argv = [sys.executable, "-m", "workers"]
    environment = child_environment(VISION_MODELS=models, VISION_REDIS_URL=NO_REDIS)
    fresh = subprocess.run(argv, env=environment, cwd=ROOT, capture_output=True, check=False)
    with (tmp_path / "log").open("wb") as log:
        forked = prefork.fork(argv, environment, log.fileno())
    assert forked.wait(60) == fresh.returncode == 1
    last_words = [text.splitlines()[-1] for text in (fresh.stderr, (tmp_path / "log").read_bytes())]
    assert last_words[0] == last_words[1]


def test_a_signal_is_told_as_its_end(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn_conf", "api.wsgi"]
    environment = child_environment(VISION_REDIS_URL=NO_REDIS, VISION_PORT=str(free_port()))
    with (tmp_path / "log").open("wb") as log:
        forked = prefork.fork(argv, environment, log.fileno())
    wait_for("it to run", (tmp_path / "log").read_text)
    assert forked.poll() is None
    forked.kill()
    assert forked.wait(60) == forked.poll() == -signal.SIGKILL


def test_a_signal_to_what_has_just_ended_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it runs is asked before the signal is sent, and it may end in between."""
    argv = [sys.executable, "-m", "workers"]
    environment = child_environment(VISION_MODELS="a,b", VISION_REDIS_URL=NO_REDIS)
    with (tmp_path / "log").open("wb") as log:
        forked = prefork.fork(argv, environment, log.fileno())
    assert forked.wait(60) == 1
    monkeypatch.setattr(forked, "poll", lambda: None)
    forked.terminate()


def test_an_interpreter_with_other_variables_of_its_own_is_not_forked() -> None:
    argv = [sys.executable, "-m", "workers", "fake"]
    assert prefork.can_fork(argv, child_environment())
    assert not prefork.can_fork(argv, child_environment(PYTHONPATH="elsewhere"))
    assert not prefork.can_fork([sys.executable, "-m", "celery", "flower"], child_environment())
