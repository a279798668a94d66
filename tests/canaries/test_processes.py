"""What is known of the insides of prometheus_client's shared numbers and of supervisord's log."""

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, multiprocess, values

from api.metrics import FOLDER_VARIABLE
from launcher.startup import own_workers
from launcher.supervisord import write_configuration
from tests.stack import end, wait_for


@pytest.fixture
def shared_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As ``api/gunicorn_conf.py`` has it: the folder is named after the library was imported."""
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    monkeypatch.setattr(values, "ValueClass", values.get_value_class())  # type: ignore[no-untyped-call]
    return tmp_path


def test_numbers_go_to_the_folder_that_was_named_after_the_import(shared_numbers: Path) -> None:
    registry = CollectorRegistry()
    Counter("canary", "Counts.", registry=registry).inc(2)
    gauge = Gauge("canaries", "Are.", registry=registry, multiprocess_mode="livesum")
    gauge.set(3)
    collected = CollectorRegistry()
    multiprocess.MultiProcessCollector(collected)  # type: ignore[no-untyped-call]
    pid = int(next(shared_numbers.glob("counter_*.db")).stem.partition("_")[2])
    assert collected.get_sample_value("canary_total") == 2
    assert collected.get_sample_value("canaries") == 3
    # What a process had under way goes with it, what it has counted stays.
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
    assert collected.get_sample_value("canary_total") == 2
    assert collected.get_sample_value("canaries") is None


def test_supervisord_logs_each_end_of_a_program_in_words_that_are_counted(tmp_path: Path) -> None:
    configuration, log = tmp_path / "supervisord.conf", tmp_path / "supervisord.log"
    write_configuration(configuration, {"broken": ["false"]})
    command = ["-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(configuration)]
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    try:
        assert wait_for("its end", lambda: ended(log)) == ["broken"]
    finally:
        end(process, signal.SIGTERM)


def test_supervisord_logs_the_process_id_of_what_it_starts(tmp_path: Path) -> None:
    configuration, log = tmp_path / "supervisord.conf", tmp_path / "supervisord.log"
    write_configuration(configuration, {"worker-blip": ["sleep", "60"]})
    command = ["-m", "supervisor.supervisord", "--nodaemon", "--configuration", str(configuration)]
    process = psutil.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    try:
        (name,) = wait_for("its start", lambda: log.is_file() and own_workers(log.read_text()))
        (child,) = wait_for("its process", process.children)
        assert name == f"blip-{child.pid}@{socket.gethostname()}"
    finally:
        process.terminate()
        process.wait(60)


def ended(log: Path) -> list[str]:
    """Read as ``launcher/startup.py`` does."""
    return re.findall(r"exited: (\S+)", log.read_text()) if log.is_file() else []
