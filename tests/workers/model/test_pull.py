"""``vision pull`` on a terminal: a bar, and no log."""

import os
import pty
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.damage import safetensors
from tests.hub_standin import HubStandIn
from tests.workers.model.fetching import CHECKPOINT, contents, start

WEIGHTS = "model.safetensors"
SENT = 12_000_000
"""Bytes of the weights that arrive before the hub pauses."""
SHOWN_CURSOR = b"\x1b[?25h"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[HubStandIn]:
    shutil.copytree(CHECKPOINT, tmp_path / "tiny")
    (tmp_path / "tiny" / WEIGHTS).write_bytes(safetensors("a", size=2 * SENT))
    with HubStandIn({"own/tiny": tmp_path / "tiny"}) as standin:
        yield standin


class Terminal:
    """A terminal in which one program runs."""

    def __init__(self) -> None:
        self._leader, self.program = pty.openpty()
        self._shown = b""

    def wait_for(self, pattern: bytes) -> None:
        """Read until something is shown."""
        while not re.search(pattern, self._shown):
            self._shown += os.read(self._leader, 65536)

    def rest(self) -> bytes:
        """Return all that is shown until the program ends."""
        os.close(self.program)
        try:
            while read := os.read(self._leader, 65536):
                self._shown += read
        except OSError:  # how Linux tells the end
            pass
        os.close(self._leader)
        return self._shown


def started_in(terminal: Terminal, tmp_path: Path, hub: HubStandIn) -> "subprocess.Popen[str]":
    return start(tmp_path, hub.url, "tiny", output=terminal.program, COLUMNS="100", TERM="xterm")


@pytest.mark.slow
def test_a_bar_shows_bytes_and_rate_and_ctrl_c_keeps_what_has_arrived(
    tmp_path: Path, hub: HubStandIn
) -> None:
    hub.holds, terminal = {WEIGHTS: SENT}, Terminal()
    with started_in(terminal, tmp_path, hub) as process:
        terminal.wait_for(rb"tiny.*1\d\.\d/24\.\d MB.*B/s")
        process.send_signal(signal.SIGINT)
        shown = terminal.rest()
    assert process.returncode == 130
    assert SHOWN_CURSOR in shown
    assert b"Traceback" not in shown

    hub.holds, terminal = {}, Terminal()
    with started_in(terminal, tmp_path, hub) as process:
        shown = terminal.rest()
    assert process.returncode == 0, shown
    folder = tmp_path / "models" / "tiny-1"
    assert f"tiny: the weights are in {folder}." in shown.decode()
    assert b"download begins" not in shown
    assert contents(folder) == contents(tmp_path / "tiny")
