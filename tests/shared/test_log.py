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
