"""The stack as ``make run`` starts it, in a process of its own."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from launcher.ports import free_port
from tests.stack import ROOT, child_environment, wait_for

LAUNCH = [sys.executable, "-m", "launcher"]


def environment(port: int) -> dict[str, str]:
    clean = child_environment(
        PYTHONPATH=".",
        VISION_PORT=str(port),
        VISION_FLOWER_PORT=str(free_port()),
        VISION_MODELS="fake",
    )
    clean.pop("VISION_REDIS_URL", None)
    return clean


class Launched:
    """A running launcher, its output and its processes."""

    def __init__(self, log: Path, **extra: str) -> None:
        self.port = free_port()
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                LAUNCH,
                cwd=ROOT,
                env={**environment(self.port), **extra},
                stdout=output,
                stderr=output,
            )
        wait_for(lambda: f"the banner\n{log.read_text()}", self._banner)

    def _banner(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return "Ctrl-C stops everything" in self.log.read_text()

    @property
    def folder(self) -> Path:
        return ROOT / ".run" / str(self.port)

    def stop(self, sig: signal.Signals) -> int:
        self.process.send_signal(sig)
        return self.process.wait(60)

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def alive(process: psutil.Process) -> bool:
    """Return whether a process runs; one that ended may stay a zombie if init does not reap it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
