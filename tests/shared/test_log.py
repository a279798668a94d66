"""Log lines are written where somebody reads them, and stop nothing where nobody does."""

import os
import subprocess
import sys

PROGRAM = """
import structlog
from shared.log import configure_logging
from shared.settings import Settings

configure_logging(Settings(), "worker")
structlog.get_logger("test").warning("nobody reads this")
print("went on")
"""


def test_lines_that_nobody_can_read_stop_nothing() -> None:
    """As after a kill of the supervisor, which had the other end of the pipe."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            stdout=subprocess.PIPE, stderr=write, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        os.close(write)
    assert done.stdout == "went on\n"


CONSOLE = """
import logging
import structlog
from shared.log import configure_logging
from shared.settings import Settings

configure_logging(Settings(log_format="console"), "api")
path = "/\\x1b]0;title\\x07\\x1b[2J\\x9b31m\\r\\u202e"
structlog.get_logger("test").warning("request", path=path, error=f"no {path}")
logging.getLogger("test").warning(path)
try:
    raise ValueError(path)
except ValueError:
    structlog.get_logger("test").exception("a bug")
"""


def test_a_terminal_is_told_nothing_by_clients() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CONSOLE], capture_output=True, check=True, timeout=60
    )
    written = done.stderr.decode()
    assert r"path=/\x1b]0;title\x07" in written
    assert "Traceback (most recent call last):\n" in written
    assert all(sign.isprintable() or sign in "\n\t" for sign in written)
