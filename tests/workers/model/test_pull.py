"""``vision pull`` on a terminal: a bar, and no log."""

import os
import pty
import re
import shutil
import signal
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


class Pull:
    """``vision pull tiny`` on a terminal of its own."""

    def __init__(self, tmp_path: Path, hub: HubStandIn) -> None:
        self._leader, program = pty.openpty()
        self.process = start(tmp_path, hub.url, "tiny", output=program, COLUMNS="100", TERM="xterm")
        os.close(program)  # so that reading ends with the program
        self.shown = b""

    def wait_for(self, pattern: bytes) -> None:
        """Read until something is shown."""
        while not re.search(pattern, self.shown):
            assert self._read(), self.shown

    def finish(self) -> int:
        """Read to the end; return the exit status."""
        while self._read():
            pass
        os.close(self._leader)
        return self.process.wait(60)

    def _read(self) -> bytes:
        try:
            read = os.read(self._leader, 65536)
        except OSError:  # how Linux tells the end
            return b""
        self.shown += read
        return read


@pytest.mark.slow
def test_a_bar_shows_bytes_and_ctrl_c_keeps_what_has_arrived(
    tmp_path: Path, hub: HubStandIn
) -> None:
    hub.holds = {WEIGHTS: SENT}
    pull = Pull(tmp_path, hub)
    pull.wait_for(rb"tiny.*10\.5/24\.0 MB")
    pull.process.send_signal(signal.SIGINT)
    assert pull.finish() == 130
    assert SHOWN_CURSOR in pull.shown
    assert b"Traceback" not in pull.shown

    hub.holds = {}
    pull = Pull(tmp_path, hub)
    assert pull.finish() == 0, pull.shown
    folder = tmp_path / "models" / "tiny-1"
    assert f"tiny: the weights are in {folder}." in pull.shown.decode()
    assert b"download begins" not in pull.shown
    assert contents(folder) == contents(tmp_path / "tiny")
    (_, begin) = max(row for row in hub.starts if row[0] == WEIGHTS)
    assert begin > 0
